//! `parallax shards` prints a manifest that runs the shards of a run on a Kubernetes cluster.

mod archive;
mod manifest;

use parallax_language::fixture::is_host;
use parallax_vocab::event::Exit;

use self::manifest::{Files, Manifest};
use super::args::{Cli, Command, E2e, Form, Shards};
use super::wiring::{self, Project};
use super::{CliError, choose, printer, session};
use clap::Parser as _;

/// The region for which the pods sign their requests to the bucket, if the user names none.
const REGION: &str = "us-east-1";
/// The largest length of the Job's name. The host name of a pod is the name of the Job and `-INDEX`, and a host name
/// has at most 63 characters.
const NAME_LENGTH: usize = 59;

/// Checks the arguments against the project, and prints the manifest. The command sends no request to a cluster, and starts
/// nothing but the programs that make objects of charts.
pub(super) async fn shards(project: &Project, args: Shards) -> Result<Exit, CliError> {
    let Form::Job = args.form;
    let name = args.name.clone().unwrap_or_else(|| format!("parallax-{}", wiring::fresh_run_id()));
    check(&args, &name)?;
    let options = e2e(&args)?;
    let recipes = wiring::recipes(&project.root, options.common.lock)?;
    let recipes = wiring::at(recipes, &options.common.versions.single("shards")?)?;
    // The call makes the command fail if the filters select nothing, or if there are more shards than scenarios.
    let out = session::out_folder(&project.root, &options);
    let chosen = choose::choose(project, &options.selection, (options.common.k3s, &recipes), &out).await?;
    let files = if let Some(folder) = &args.project_in_image {
        Files::Image(folder.display().to_string())
    } else {
        let whole = chosen.part_of.map(|(_, whole)| whole).unwrap_or_default();
        let made = wiring::ready_made(project, (&whole, args.shards), &options, &recipes).await?;
        let archive = archive::of_project(&project.root, &made);
        let archive = archive.map_err(|error| CliError::Usage(error.to_string()))?;
        Files::Archive { archive, has_objects: !made.outputs.is_empty() }
    };
    let mut arguments = args.e2e;
    if !options.common.provision {
        // No container engine runs in the pod yet. With the option `--provision`, the run starts one.
        arguments.insert(0, "--provision".to_owned());
    }
    let manifest = Manifest {
        upload: args.upload.join(&name),
        name,
        namespace: args.namespace,
        shards: args.shards,
        parallelism: args.parallelism.unwrap_or(args.shards).min(args.shards),
        image: args.image,
        files,
        endpoint: args.endpoint,
        region: args.region.unwrap_or_else(|| REGION.to_owned()),
        secret: args.secret,
        service_account: args.service_account,
        ca: args.ca,
        cpu: args.cpu,
        memory: args.memory,
        node_cache: args.node_cache.map(|it| it.display().to_string()),
        arguments,
    };
    printer::data(&manifest::text(&manifest));
    Ok(Exit::AsExpected)
}

/// Parses the arguments after `--` as options of `e2e`, together with the options that every pod gets. The shards
/// differ only in their number, so the options of the first shard are parsed.
fn e2e(args: &Shards) -> Result<E2e, CliError> {
    let shard = format!("1/{}", args.shards);
    let upload = args.upload.to_string();
    let fixed = ["parallax", "e2e", "--shard", &shard, "--upload", &upload];
    let words = fixed.into_iter().chain(args.e2e.iter().map(String::as_str));
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::E2e(options)) => Ok(options),
        Ok(_) => unreachable!("the second word is e2e"),
        Err(error) => Err(CliError::Usage(format!("`parallax e2e` in the pods would refuse its arguments: {error}"))),
    }
}

/// Refuses values that Kubernetes would refuse. Otherwise the user would learn of some of them only when the Job
/// already runs.
fn check(args: &Shards, name: &str) -> Result<(), CliError> {
    let label = |text: &str, length: usize| text.len() <= length && !text.contains('.') && is_host(text);
    let wrong = |what: &str, text: &str, rule: &str| Err(CliError::Usage(format!("{what} `{text}`: {rule}")));
    if !label(name, NAME_LENGTH) {
        return wrong("--name", name, "write at most 59 of a-z, 0-9 and `-`, without `-` at the ends");
    }
    if let Some(namespace) = args.namespace.as_deref().filter(|it| !label(it, 63)) {
        return wrong("--namespace", namespace, "write at most 63 of a-z, 0-9 and `-`, without `-` at the ends");
    }
    let names = [("--secret", &args.secret), ("--service-account", &args.service_account), ("--ca", &args.ca)];
    for (option, text) in names {
        if let Some(text) = text.as_deref().filter(|it| !is_host(it)) {
            return wrong(
                option,
                text,
                "it is not the name of an object: parts of a-z, 0-9 and `-` with `.` between them",
            );
        }
    }
    if args.image.is_empty() || args.image.contains(char::is_whitespace) {
        return wrong("--image", &args.image, "it is not the name of an image");
    }
    if let Some(endpoint) = args.endpoint.as_deref().filter(|it| !is_url(it)) {
        return wrong("--endpoint", endpoint, "write http:// or https:// and the store's host, with a port if needed");
    }
    for (option, text) in [("--cpu", &args.cpu), ("--memory", &args.memory)] {
        if !is_quantity(text) {
            return wrong(option, text, "write a number, with a unit if needed: `2`, `500m`, `8Gi`");
        }
    }
    let folders = [("--node-cache", &args.node_cache), ("--project-in-image", &args.project_in_image)];
    for (option, folder) in folders {
        if let Some(folder) = folder.as_deref().filter(|it| !it.is_absolute()) {
            return wrong(option, &folder.display().to_string(), "write a path from `/` on");
        }
    }
    if args.secret.is_none() && args.service_account.is_none() {
        return Err(CliError::Usage(
            "the pods need credentials for the bucket: --secret NAME, or --service-account NAME".to_owned(),
        ));
    }
    Ok(())
}

fn is_url(text: &str) -> bool {
    let uri: Option<http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|it| !it.is_empty())
    })
}

/// Whether a text is a Kubernetes quantity, such as `2` or `8Gi`. Exponents are not accepted.
fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 10] = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - unit.len()];
    number.parse::<f64>().is_ok_and(|number| number > 0.0) && UNITS.contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(more: &str) -> Shards {
        let line = format!("parallax shards --as job --shards 2 --image runner:1 --upload s3://runs {more}");
        match Cli::try_parse_from(line.split_whitespace()).expect("a command line").command {
            Command::Shards(args) => args,
            _ => unreachable!("the line is of shards"),
        }
    }

    #[test]
    fn what_kubernetes_or_the_pods_would_refuse_is_refused_here() {
        for (more, said) in [
            ("--secret s", ""),
            ("--service-account a.b", ""),
            ("--secret s --cpu 500m --memory 1.5Gi --endpoint http://store:9000", ""),
            ("", "the pods need credentials"),
            ("--secret s --name -a", "--name `-a`"),
            ("--secret s --name Nightly", "--name `Nightly`"),
            ("--secret s --namespace a.b", "--namespace `a.b`"),
            ("--secret S", "--secret `S`"),
            ("--secret s --ca a..b", "--ca `a..b`"),
            ("--secret s --endpoint minio.example.com", "--endpoint `minio.example.com`"),
            ("--secret s --cpu two", "--cpu `two`"),
            ("--secret s --memory 8GB", "--memory `8GB`"),
            ("--secret s --memory 0", "--memory `0`"),
            ("--secret s --node-cache cache", "--node-cache `cache`"),
        ] {
            let more = more.replace("--name -a", "--name=-a");
            let args = of(&more);
            let name = args.name.clone().unwrap_or_else(|| "nightly".to_owned());
            let saw = check(&args, &name).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(saw.starts_with(said) && saw.is_empty() == said.is_empty(), "{more}: {saw:?}");
        }
    }

    #[test]
    fn arguments_that_e2e_in_the_pods_would_refuse_are_refused_here() {
        let options = e2e(&of("-- presign --breaks none")).expect("arguments of e2e");
        assert_eq!(
            (options.selection.filters.as_slice(), options.common.provision),
            (["presign".to_owned()].as_slice(), false)
        );
        for wrong in ["-- --nosuch", "-- --shard 2/2", "-- --upload s3://others", "-- --failed"] {
            let said = e2e(&of(wrong)).expect_err(wrong).to_string();
            assert!(
                said.starts_with("`parallax e2e` in the pods would refuse its arguments: error: "),
                "{wrong}: {said}"
            );
        }
    }
}
