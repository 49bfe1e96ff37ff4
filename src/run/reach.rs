//! Describes how a person reaches an environment that is kept: commands that can be pasted into a shell, and the files
//! that these commands read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use parallax_vocab::question::S3Access;

use super::Context;
use super::environment::{AGENT_CONTAINER, Stage};
use super::scene::Scene;
use crate::apply::pod_of_vantage;
use crate::certs::write_private;
use crate::probe::Proxy;
use parallax_plan::Plan;

/// The commands with which a person reaches one environment, and the files and the proxy that these commands need.
#[derive(Debug)]
pub(super) struct Reach {
    /// The commands. Each entry is a word for the purpose of a command, and the command.
    pub(super) lines: Vec<(String, String)>,
    /// The files that contain secrets. They are removed when this value is dropped.
    secret: Vec<PathBuf>,
    /// The running proxy, which ends when this value is dropped. `None` if no proxy runs.
    proxy: Option<Proxy>,
}

impl Reach {
    /// The commands that need only the cluster. They also work if a part of the environment is not ready.
    pub(super) fn of_cluster(context: &Context, scene: &Scene<'_>) -> Self {
        let mut reach = Self { lines: Vec::new(), secret: Vec::new(), proxy: None };
        let kubeconfig = context.options.directory.join(format!("{}.kubeconfig", scene.cluster.name));
        let namespace = &scene.plan.namespace;
        reach.line("cluster", format!("kubectl --kubeconfig {} -n {namespace} get pods", shown(&kubeconfig)));
        reach.secret.push(kubeconfig);
        reach
    }

    /// The commands for an environment that is ready. Writes the files that the commands read, and starts the proxy
    /// through which programs of this machine reach the environment's host names.
    pub(super) async fn of(stage: &Stage<'_>) -> Self {
        let (context, scene) = (stage.context, &stage.scene);
        let (folder, namespace) = (&context.options.directory, &scene.plan.namespace);
        let mut reach = Self::of_cluster(context, scene);
        let proxy = match Proxy::start(scene.outside()).await {
            Ok(proxy) => proxy,
            Err(error) => {
                context.sink.warn(format!("no proxy leads to the environment's names: {error}"));
                return reach;
            }
        };
        let trust = folder.join(format!("{namespace}-trust.pem"));
        if let Err(error) = write_private(&trust, stage.outside_trust().join("").as_bytes()) {
            context.sink.warn(error.to_string());
            return reach;
        }
        for (id, store) in scene.stores().filter(|(_, store)| store.endpoint.starts_with("https://")) {
            let Ok(access) = scene.access(id, store) else { continue };
            let file = folder.join(format!("{namespace}-{id}.env"));
            if let Err(error) = write_private(&file, variables(&access, &trust, &proxy).as_bytes()) {
                context.sink.warn(error.to_string());
                continue;
            }
            let begin = format!("( . {};", shown(&file));
            reach.line(&format!("{id}, aws"), format!("{begin} aws s3 ls )"));
            reach.line(&format!("{id}, mc"), format!("{begin} mc ls store )"));
            let path = store.buckets.first().map(|bucket| format!("/{bucket}")).unwrap_or_default();
            let signed = "--aws-sigv4 \"aws:amz:$AWS_REGION:s3\" -u \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\"";
            reach.line(&format!("{id}, curl"), format!("{begin} curl -sS {signed} \"$AWS_ENDPOINT_URL{path}\" )"));
            reach.secret.push(file);
        }
        reach.proxy = Some(proxy);
        reach
    }

    /// The URL of the proxy through which programs of this machine reach the environment's host names.
    pub(super) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| format!("http://{}", proxy.address()))
    }

    fn line(&mut self, what: &str, line: String) {
        self.lines.push((what.to_owned(), line));
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        for file in &self.secret {
            if let Err(error) = std::fs::remove_file(file) {
                tracing::warn!(%error, "{} was not removed", file.display());
            }
        }
    }
}

/// Writes the root certificates of an environment that is kept into the run's folder. Also reports the `curl` command
/// that sends requests to the environment from outside.
pub(super) fn keep_authorities(context: &Context, scene: &Scene<'_>) {
    for (id, issuer) in &scene.environment.certificates.issuers {
        let path = context.options.directory.join(format!("{}-{id}.pem", scene.plan.namespace));
        if let Err(error) = write_private(&path, issuer.root_pem().as_bytes()) {
            context.sink.warn(error.to_string());
            continue;
        }
        let Ok(own) = scene.cluster.own("meet its edge on this machine") else { continue };
        for edge in &scene.plan.edges {
            let Some(met) = own.edge_on_this_machine(edge.port) else { continue };
            context.sink.note(format!(
                "`curl --cacert {} --connect-to {host}:{}:{} https://{host}` asks from outside",
                path.display(),
                edge.port,
                met,
                host = edge.host,
            ));
        }
    }
}

/// The text of a shell file with environment variables from which tools on this machine learn how to reach a store.
fn variables(access: &S3Access, trust: &Path, proxy: &Proxy) -> String {
    let (key, secret, trust) = (&access.access_key, access.secret_key.expose(), trust.display().to_string());
    let with_key = access.endpoint.replacen("://", &format!("://{key}:{secret}@"), 1);
    let proxy = format!("http://{}", proxy.address());
    let variables = [
        ("AWS_ENDPOINT_URL", access.endpoint.as_str()),
        ("AWS_REGION", &access.region),
        ("AWS_DEFAULT_REGION", &access.region),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_CA_BUNDLE", &trust),
        ("CURL_CA_BUNDLE", &trust),
        ("SSL_CERT_FILE", &trust),
        ("MC_HOST_store", &with_key),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ];
    // The user's own shell may contain variables for another store. The secrets of that store must not be sent to the
    // environment's store, and the addresses of that store must not be used in place of this store's address.
    let own = "unset AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_PROFILE AWS_ENDPOINT_URL_S3\n";
    variables.iter().fold(own.to_owned(), |mut text, (name, value)| {
        writeln!(text, "export {name}={}", quoted(value)).expect("a String takes every write");
        text
    })
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// The commands with which a person looks into the environments that a run keeps. For each environment, one command
/// shows the pods. For each vantage whose image contains programs, one command opens a shell.
pub(super) fn of_kept(directory: &Path, plan: &Plan) -> Vec<String> {
    let environments =
        plan.clusters.iter().flat_map(|cluster| cluster.environments.iter().map(move |it| (cluster, it)));
    let lines = environments.map(|(cluster, environment)| {
        let kubeconfig = directory.join(format!("{}.kubeconfig", cluster.name));
        let kubectl = format!("kubectl --kubeconfig {} -n {}", shown(&kubeconfig), environment.namespace);
        let programs = environment.pods.iter().filter(|(_, pod)| pod.image.is_some());
        let shells = programs.map(|(vantage, _)| {
            format!(", `{kubectl} exec -it {} -c {AGENT_CONTAINER} -- sh`", pod_of_vantage(vantage))
        });
        let shells: String = shells.collect();
        let without = if shells.is_empty() { "; no pod of its vantages has programs (`image: clients`)" } else { "" };
        format!("look into {}: `{kubectl} get pods`{shells}{without}", environment.id)
    });
    lines.collect()
}

/// Quotes a word for a shell, if it contains characters that the shell would interpret.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_a_shell_stays_one_word() {
        let table =
            [("", "''"), ("/a/b-c.env", "/a/b-c.env"), ("/a b", "'/a b'"), ("it's", r"'it'\''s'"), ("$x", "'$x'")];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }
}
