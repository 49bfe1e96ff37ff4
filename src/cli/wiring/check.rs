//! `parallax check`: reads the settings from the command line and the environment, runs the check, and prints the
//! result.

use std::path::{Path, PathBuf};

use parallax_images::Cache;
use parallax_vocab::event::Exit;
use parallax_vocab::inert;
use parallax_vocab::question::{Addressing, S3Access};
use parallax_vocab::settings::only_certificates;
use parallax_vocab::{RunId, Secret};
use tokio_util::sync::CancellationToken;

use super::fresh_run_id;
use super::machine::own_programs;
use crate::apply::{Attached, Guest, Terms};
use crate::check::{self, Application, Identity, Inside, Wanted};
use crate::cli::args::Check;
use crate::cli::{CliError, printer};
use crate::cluster::{self, Access};
use crate::tokens;

/// The program that runs in a container and asks the questions there.
const AGENT: &str = "parallax-agent";
/// The lifetime in seconds of the token with which the check tests web identity. The apiserver accepts no shorter
/// lifetime.
const TOKEN_LIVES_S: i64 = 600;
/// The largest size of a file of certificates that is read, in bytes.
const LARGEST_CA: u64 = 1 << 20;

/// Checks a store from inside a cluster and from this machine.
pub async fn check(args: &Check, cancel: CancellationToken) -> Result<Exit, CliError> {
    let (endpoint, host, port) = check::endpoint(&args.endpoint).map_err(CliError::Usage)?;
    let save = match args.save.as_deref() {
        Some(name) => Some((name, to_save(name)?)),
        None => None,
    };
    let id = fresh_run_id();
    let (there, application) =
        if args.outside_only { (Err("--outside-only".to_owned()), None) } else { place(args, &id).await? };
    let region = args.region.clone().or_else(|| variable("AWS_REGION")).unwrap_or_else(|| "us-east-1".to_owned());
    let keys = match (&args.credentials_from, &there) {
        (Some(named), Ok((access, at))) => Some(of_secret(access, at.namespace(), named).await?),
        (Some(_), Err(why)) => return Err(CliError::Usage(format!("--credentials-from needs the cluster: {why}"))),
        (None, _) => of_environment(),
    };
    let access = keys.map(|keys| S3Access {
        endpoint: endpoint.clone(),
        region: region.clone(),
        access_key: keys.0,
        secret_key: keys.1,
        session_token: keys.2,
        addressing: Addressing::Path,
    });
    let token = match (&args.service_account, &there) {
        (Some(account), Ok((access, Inside::Attached(at)))) => Some(issued(access, at, account, &args.audience).await?),
        _ => None,
    };
    let identity = args.service_account.clone().map(|account| Identity {
        account,
        audience: args.audience.clone(),
        role: args.role.clone(),
        authority: there.as_ref().ok().map(|it| it.0.authority.clone()).filter(|it| !it.is_empty()),
        token,
    });
    let wanted = Wanted {
        endpoint,
        host,
        port,
        region,
        access,
        bucket: args.bucket.clone(),
        trust: trusted(args)?,
        given_trust: !args.ca.is_empty(),
        name_servers: args.name_server.clone(),
        identity,
        large_mib: args.large_body,
        links_for_s: args.links_for.map(|it| it.to_duration().as_secs()),
        application,
        id: id.as_str().to_owned(),
    };
    for line in announced(&wanted, &there) {
        printer::word(&inert(&line));
    }
    let place = there.as_ref().map(|(access, at)| (access, at)).map_err(Clone::clone);
    let announce = |line: &str| printer::word(&inert(line));
    let checked = Box::pin(check::check(&wanted, place, &announce, &cancel)).await;
    printer::data(&if args.json { check::json(&checked) } else { inert(&check::text(&checked)).into_owned() });
    if let Some(path) = &args.junit {
        let text = check::junit(&checked, args.outside_only).map_err(CliError::Harness)?;
        parallax_report::write_whole(path, &text)?;
    }
    if checked.cancelled {
        return Ok(Exit::Interrupted);
    }
    if let Some((name, path)) = save {
        let text = check::scenario(name, &wanted, &checked);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        made.map_err(CliError::file("write", &path))?;
        printer::word(&format!("wrote {}: `parallax lint` checks it, `parallax e2e` runs it", path.display()));
    }
    if !checked.remains.is_empty() {
        return Err(CliError::Harness(checked.remains.join("; ")));
    }
    let good = checked.rows.iter().all(|it| !it.is_bad()) && (checked.no_inside.is_none() || args.outside_only);
    Ok(if good { Exit::AsExpected } else { Exit::NotAsExpected })
}

/// The access to the cluster, and the pod in this cluster from which the check asks its questions. The error is the
/// reason why no question can be asked inside the cluster.
type There = Result<(Access, Inside), String>;

/// Finds the cluster, and the pod in this cluster from which the check asks its questions. Also reads the settings of
/// the application that the user named.
async fn place(args: &Check, id: &RunId) -> Result<(There, Option<Application>), CliError> {
    let foreign = match cluster::foreign(args.kubeconfig.as_deref(), args.context.as_deref()).await {
        Ok(foreign) => foreign,
        Err(error) => match [("--app", &args.app), ("--attach", &args.attach)].iter().find(|it| it.1.is_some()) {
            Some((option, _)) => return Err(CliError::Usage(format!("{option} needs the cluster: {error}"))),
            None => return Ok((Err(error.to_string()), None)),
        },
    };
    let cluster::Foreign { access, namespace, .. } = foreign;
    let namespace = args.namespace.clone().unwrap_or(namespace);
    let name = format!("parallax-check-{}", id.as_str());
    if let Some(named) = &args.attach {
        let pod = check::pod_of(&access, &namespace, ("--attach", named), args.container.as_deref())
            .await
            .map_err(CliError::Usage)?;
        let program = own_programs()?.find(AGENT, "the pod", &Cache::open()?)?;
        let mut attached =
            Attached::of(&pod, args.container.as_deref(), name, program, Terms::CHECK).map_err(CliError::Usage)?;
        attached.image.clone_from(&args.image);
        return Ok((Ok((access, Inside::Attached(attached))), Some(check::of_pod(named, &pod))));
    }
    let application = match &args.app {
        Some(named) => {
            let pod = check::pod_of(&access, &namespace, ("--app", named), None).await.map_err(CliError::Usage)?;
            Some(check::of_pod(named, &pod))
        }
        None => None,
    };
    let guest = Guest {
        namespace,
        name,
        image: args.image.clone().unwrap_or_default(),
        identity: args.service_account.clone().map(|account| (account, args.audience.clone())),
        dns_policy: application.as_ref().and_then(|it| it.dns_policy.clone()),
        dns_config: application.as_ref().and_then(|it| it.dns_config.clone()),
    };
    Ok((Ok((access, Inside::Guest(guest))), application))
}

/// Requests from the apiserver the token with which the check tests web identity. A token in the application's pod
/// cannot be used: the pod may have no token for this audience, and the token's path is not known. If the pod runs as
/// the ServiceAccount `account`, the new token is bound to the pod, like the tokens that the kubelet requests for a
/// pod.
async fn issued(access: &Access, at: &Attached, account: &str, audience: &str) -> Result<Secret, CliError> {
    let pod = Some(at.pod.as_str()).filter(|_| at.service_account == account);
    let wanted = tokens::Wanted { namespace: &at.namespace, account, audience, expires_s: TOKEN_LIVES_S, pod };
    let token = tokens::request(access.client.clone(), &wanted).await;
    token.map_err(|error| {
        CliError::Usage(format!(
            "--service-account {account}: {error}; with --attach, the right `create` on `serviceaccounts/token` is needed"
        ))
    })
}

/// Returns the path of the scenario that `--save` writes. The name becomes a folder below `scenarios` and a part of
/// the names of namespaces. Therefore only lower-case letters, digits and hyphens are accepted. An existing file is
/// an error.
fn to_save(name: &str) -> Result<PathBuf, CliError> {
    let is_letter = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    if !name.starts_with(|it: char| it.is_ascii_lowercase()) || !name.chars().all(is_letter) {
        return Err(CliError::Usage(format!(
            "--save {name}: this name must have only lower-case letters, digits and hyphens, and begin with a letter"
        )));
    }
    let path = Path::new("scenarios").join(name).join("scenario.yaml");
    if path.exists() {
        return Err(CliError::Usage(format!("--save {name}: {} exists already", path.display())));
    }
    Ok(path)
}

/// Returns lines that announce what `check` is going to create.
fn announced(wanted: &Wanted, there: &There) -> Vec<String> {
    let mut lines = Vec::new();
    match there {
        Err(_) => {}
        Ok((access, Inside::Guest(Guest { namespace, name, image, .. }))) => {
            lines.push(format!("makes      pod {name} in namespace {namespace} of {}, of image {image}", access.name));
        }
        Ok((access, Inside::Attached(attached))) => {
            let Attached { namespace, pod, container, name, program, .. } = attached;
            let size = std::fs::metadata(program).map(|it| it.len() >> 20).unwrap_or_default();
            let folders = attached.folders().collect::<Vec<_>>().join(", ");
            lines.push(format!(
                "puts       the agent ({size} MiB) as file {name} into container {container} of pod {pod} in namespace {namespace} of {},",
                access.name
            ));
            lines.push(format!("           in $TMPDIR or the first of {folders} in which a program may be written and run, and runs it there"));
        }
    }
    if let (Some(bucket), Some(_)) = (&wanted.bucket, &wanted.access) {
        let large = if wanted.large_mib > 0 { format!(", and two of {} MiB", wanted.large_mib) } else { String::new() };
        lines.push(format!("writes     two small objects{large} below {bucket}/{}, if the keys may", wanted.prefix()));
    }
    if !lines.is_empty() {
        lines.push("           and removes them at the end".to_owned());
    }
    if let Ok((_, Inside::Attached(_))) = there {
        lines.push("memory     the agent takes 16 MiB of this container's memory: if that is short, Kubernetes may end the application with it".to_owned());
        if wanted.bucket.is_some() && wanted.access.is_some() {
            lines.push("keys       the agent gets the store's keys, and runs as the application's user: its programs can read them".to_owned());
        }
        if let Some(Identity { account, audience, .. }) = &wanted.identity {
            lines.push(format!("token      the apiserver issued one of ServiceAccount {account} for {audience}, valid for {} min; the agent gets it", TOKEN_LIVES_S / 60));
        }
    }
    lines
}

/// The keys for a store: the access key, the secret key and, if there is one, the session token.
type Keys = (String, Secret, Option<Secret>);

fn of_environment() -> Option<Keys> {
    let secret = |name: &str| variable(name).map(Secret::new);
    Some((variable("AWS_ACCESS_KEY_ID")?, secret("AWS_SECRET_ACCESS_KEY")?, secret("AWS_SESSION_TOKEN")))
}

async fn of_secret(access: &Access, namespace: &str, named: &str) -> Result<Keys, CliError> {
    let name = named.strip_prefix("secret/").unwrap_or(named);
    check::keys_of(access, namespace, name).await.map_err(CliError::Usage)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

/// Returns the certificates to trust: those in the files of `--ca`, or else those that this machine trusts.
fn trusted(args: &Check) -> Result<Vec<String>, CliError> {
    if args.ca.is_empty() {
        let named = variable("SSL_CERT_FILE");
        return Ok(check::system(named.as_deref().map(Path::new)).into_iter().collect());
    }
    of_files(&args.ca)
}

/// Returns the certificates in these files. Other content of the files, such as private keys, is left out.
fn of_files(paths: &[PathBuf]) -> Result<Vec<String>, CliError> {
    let read = |path: &PathBuf| {
        let unreadable =
            |why: &dyn std::fmt::Display| CliError::Usage(format!("{} cannot be read: {why}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
        if size > LARGEST_CA {
            return Err(unreadable(&"it is larger than a certificate"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        // Only the certificates are kept, because the text is sent to the agent in the cluster, and a file of
        // certificates often also contains a private key.
        only_certificates(&text).ok_or_else(|| {
            let path = path.display();
            CliError::Usage(format!(
                "--ca {path}: the file contains no certificate in PEM format; name one with the authority's certificates"
            ))
        })
    };
    paths.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_beside_a_certificate_is_not_taken() {
        let one = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----";
        let home = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let both = file("both.pem", &format!("{key}\n{one}"));
        assert_eq!(of_files(&[both]).expect("a certificate"), [format!("{one}\n")]);
        let error = of_files(&[file("key.pem", key)]).expect_err("only a key").to_string();
        assert!(error.contains("key.pem: the file contains no certificate in PEM format"), "{error}");
    }
}
