//! Tests of a run that waits in its flow. The tests look at its listening sockets and its secrets, and delete the pod
//! in which its agent runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use parallax::cluster::{client, outside};
use parallax_engine::{Engine, RealSurroundings, find};
use parallax_vocab::event::Outcome;

use super::bench::{Ended, Project, lists, no_engine, reserve};
use crate::engine::bench::docker;

const SCENARIO: &str = r#"name: standing
summary: A store that is used, and a gate before the last step
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: put, from: app, s3: { put: photos/a.txt, body: hello } }
  - { id: url, from: app, presign: { get: photos/a.txt, expires: 5m } }
  - { id: inside, from: app, http: { get: "{{ url }}" }, expect: { status: 200, body: other } }
  - { id: gate, resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } } }
  - { id: after, from: app, dns: { name: "{{ store.host }}" }, expect: { address: "{{ store.cluster-ip }}" } }
"#;

/// Returns a client for the run's only cluster. The client uses the node's kubeconfig and its published port.
pub(super) async fn cluster(run: &str) -> Client {
    cluster_named(run, "c1").await
}

/// Returns a client for the run's cluster with the name `name`.
pub(super) async fn cluster_named(run: &str, name: &str) -> Client {
    // Another test may already have installed a TLS provider. All tests install the same provider, so an error is
    // ignored.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let engine = Engine::connect(&find(&RealSurroundings).unwrap()).await.unwrap();
    let label = format!("label=io.parallax.run={run}");
    let what = format!("label=io.parallax.what={name}-node");
    let names = docker(&["ps", "--filter", &label, "--filter", &what, "--format", "{{.Names}}"]);
    let node = names.trim();
    let kubeconfig = engine.read_file(node, "/etc/rancher/k3s/k3s.yaml").await.unwrap();
    let published = engine.locate("node", node).await.unwrap().tcp(6443).unwrap();
    client(outside(std::str::from_utf8(&kubeconfig).unwrap(), published).unwrap()).await.unwrap()
}

/// Returns the local addresses of all listening sockets on this machine, in the notation of the kernel. Sockets on
/// loopback are left out.
fn listeners() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The state `0A` is LISTEN. Addresses are in the machine's byte order, which is little-endian here.
            let is_loopback =
                words[1].starts_with("0100007F:") || words[1].starts_with("00000000000000000000000001000000:");
            if words[3] == "0A" && !is_loopback {
                found.insert(words[1].to_owned());
            }
        }
    }
    found
}

/// Returns all published ports of a run's containers, as `address:port`.
fn published(run: &str) -> Vec<String> {
    let ids = docker(&["ps", "--quiet", "--filter", &format!("label=io.parallax.run={run}")]);
    let format =
        "{{range .NetworkSettings.Ports}}{{range .}}{{println (printf \"%s:%s\" .HostIp .HostPort)}}{{end}}{{end}}";
    let args: Vec<&str> = ["inspect", "--format", format].into_iter().chain(ids.lines()).collect();
    docker(&args).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Returns the outputs in which any of `secrets` occurs.
fn leaks(ended: &Ended, secrets: &[String]) -> Vec<String> {
    let mut texts = vec![("stdout".to_owned(), ended.stdout.clone()), ("stderr".to_owned(), ended.stderr.clone())];
    let folder: &Path = &ended.directory;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        texts.push((entry.file_name().to_string_lossy().into_owned(), text));
    }
    assert!(
        texts.len() > 4,
        "the run's folder is nearly empty: {:?}",
        texts.iter().map(|it| &it.0).collect::<Vec<_>>()
    );
    let holds = |text: &str| secrets.iter().any(|secret| text.contains(secret.as_str()));
    texts.into_iter().filter(|(_, text)| holds(text)).map(|(name, _)| name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_on_loopback_secrets_stay_secret_and_a_deleted_agent_is_an_error_of_the_harness() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let project = Project::new();
    project.scenario("standing", SCENARIO);
    let (before, listened) = (lists(&[]), listeners());
    let run = project.e2e(&[]);
    run.wait_for_step("inside");

    let ports = published(&run.id);
    assert!(!ports.is_empty(), "no port is published");
    assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
    let new: Vec<_> = listeners().difference(&listened).cloned().collect();
    assert_eq!(new, Vec::<String>::new(), "something listens elsewhere than on loopback");

    let client = cluster(&run.id).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "standing");
    let root = secrets.get("minio-root").await.unwrap().data.unwrap();
    let values: Vec<String> =
        ["access-key", "secret-key"].iter().map(|key| String::from_utf8(root[*key].0.clone()).unwrap()).collect();
    let encoded = values.iter().map(|value| base64::engine::general_purpose::STANDARD.encode(value));
    let values: Vec<String> = values.iter().cloned().chain(encoded).collect();

    let pods: Api<Pod> = Api::namespaced(client.clone(), "standing");
    pods.delete("vantage-app", &DeleteParams::default()).await.unwrap();
    let gate: ConfigMap = serde_json::from_value(serde_json::json!({ "metadata": { "name": "gate" } })).unwrap();
    Api::<ConfigMap>::namespaced(client, "standing").create(&PostParams::default(), &gate).await.unwrap();

    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(3);
    let Outcome::Error { failure } = ended.outcome("standing") else { panic!("{:?}", ended.outcome("standing")) };
    // The text of the failure depends on timing. At the end of the flow, the pod may still be terminating, or its
    // container may have ended.
    let said = "in namespace standing, during `standing`, something ended that nobody ended: ";
    assert!(failure.what.starts_with(said) && failure.what.contains("pod vantage-app: "), "{}", failure.what);
    ended.assert_says(&["ERROR  standing: nothing is said about the system under test", &failure.what, "(exit 3,"]);
    assert_eq!(leaks(&ended, &values), Vec::<String>::new(), "a secret is visible");
    assert_eq!(lists(&[&id]), before);
}
