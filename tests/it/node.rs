//! Tests of the source-built node image as a container. The tests cover the requirements that no scenario can test.
//! Such a requirement is about the time before or after a cluster exists, or about something outside the cluster.
//!
//! All cases are in one test function, because they share the image and run at the same time, two nodes at once. The
//! image is obtained in the same way as in a run: from the engine if the engine has it, otherwise by a build.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use parallax::cluster::{authority, client, outside};
use parallax::probe::Vantage;
use parallax::run::supply_of;
use parallax_engine::{Container, ContainerSpec, EngineError, InlineFile, Network, Port, Ready, Site};
use parallax_images::{K3s, NODE, Recipes, Want};
use parallax_record::Sink;
use parallax_vocab::answer::Reply;
use parallax_vocab::question::{HttpQuestion, Probe, TlsQuestion, View};
use parallax_vocab::{Answer, Question};
use serial_test::serial;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::engine::bench::{Bench, docker};

/// The largest number of nodes that run at the same time. A machine with two cores cannot run more.
const NODES_LIMIT: usize = 2;
/// The time limit within which a node must start.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// The time limit within which a running node must react to a change.
const REACTION_TIMEOUT: Duration = Duration::from_mins(1);
const API_PORT: u16 = 6443;
const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
const MANIFEST: &str = "/var/lib/rancher/k3s/server/manifests/opening.yaml";
const ARCHIVE: &str = "/var/lib/rancher/k3s/agent/images/broken.tar";
const AUTHENTICATION: &str = "/etc/parallax/authentication.yaml";

/// An apiserver configuration that allows anonymous requests for the two discovery paths and for nothing else
/// (docs/facts.md#issuer-and-discovery).
const NARROW: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
    - path: /.well-known/openid-configuration
    - path: /openid/v1/jwks
";

/// A role binding that allows anonymous users to read the discovery documents.
const BINDING: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: opening }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:service-account-issuer-discovery }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: system:anonymous }]
";

/// The config file of the node `configured`. This node has no flags.
const SETTINGS: &str = "write-kubeconfig-mode: \"0640\"
node-name: configured
tls-san: [apiserver.example.org]
disable: [coredns, traefik, servicelb, metrics-server, local-storage]
kube-apiserver-arg: [authentication-config=/etc/parallax/authentication.yaml]
";
/// A shell script that creates a network namespace. The namespace behaves like a pod: it reaches all other networks
/// through the node.
const POD_NETWORK: &str = "ip netns list | grep -q pod || {
    ip netns add pod && ip link add of-pod type veth peer name eth0 netns pod &&
    ip address add 10.99.0.1/24 dev of-pod && ip link set of-pod up &&
    ip -n pod address add 10.99.0.2/24 dev eth0 && ip -n pod link set eth0 up && ip -n pod route add default via 10.99.0.1
}";
/// A shell command that connects to an address in the range of Services that belongs to no Service. The command
/// succeeds if the connection fails in time.
const NO_SERVICE: &str = "! timeout 5 bash -c \"exec 3<>/dev/tcp/10.43.200.200/443\"";

/// The resources that all cases of the test share.
struct Surroundings {
    site: Site,
    network: Network,
    image: String,
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn the_node_keeps_its_contract_before_and_outside_of_a_cluster() {
    let Some(bench) = Bench::new().await else { return };
    let image = node_image(&bench).await;
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    let surroundings = Surroundings { site: site.clone(), network, image };
    let mut cases: Vec<(&str, BoxFuture<'_, ()>)> =
        vec![("configured", configured(&surroundings).boxed()), ("by default", by_default(&surroundings).boxed())];
    cases.extend(refusals().into_iter().map(|case| (case.what, refused(&surroundings, case).boxed())));
    let permits = Semaphore::new(NODES_LIMIT);
    let ended = join_all(cases.into_iter().map(|(what, case)| {
        let permits = &permits;
        async move {
            let _permit = permits.acquire().await.unwrap();
            let began = Instant::now();
            // The panic is caught, because a failed case must not stop the other cases from reporting their results.
            let failed = std::panic::AssertUnwindSafe(case).catch_unwind().await.is_err();
            println!("{what}: {} after {:.1} s", if failed { "failed" } else { "ok" }, began.elapsed().as_secs_f32());
            failed.then_some(what)
        }
    }))
    .await;
    let swept = site.close().await;
    assert!(swept.remaining.is_empty(), "{:?}", swept.remaining);
    bench.assert_nothing_left();
    let failed: Vec<&str> = ended.into_iter().flatten().collect();
    assert!(failed.is_empty(), "failed: {failed:?}; the output of each is above");
}

/// Returns the reference of the source-built node image.
async fn node_image(bench: &Bench) -> String {
    let recipes = Recipes::of(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let wanted = [Want { name: NODE.to_owned(), engine: true, archive: false }];
    let sink = Sink::new(|event| eprintln!("{event:?}"));
    let supplied =
        supply_of(&recipes, K3s::Built, &bench.engine, false, &wanted, &sink, CancellationToken::new()).await;
    let supplied = supplied.unwrap_or_else(|error| panic!("{error}"));
    supplied[NODE].reference.clone()
}

/// Arguments and files with which a node must not start.
struct Refusal {
    what: &'static str,
    flags: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    code: i64,
    /// Texts that the last lines of the node's output must contain.
    says: &'static [&'static str],
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal {
            what: "an unknown flag",
            flags: &["--flannel-backend=none"],
            files: &[],
            code: 2,
            says: &["unexpected argument '--flannel-backend'"],
        },
        Refusal {
            what: "an unknown key of the config file",
            flags: &[],
            files: &[(CONFIG, "flannel-backend: none\n")],
            code: 2,
            says: &[CONFIG, "unknown key `flannel-backend`"],
        },
        Refusal {
            what: "a file of k3s that the node does not support",
            flags: &[],
            files: &[("/etc/rancher/k3s/registries.yaml", "mirrors: {}\n")],
            code: 1,
            says: &["/etc/rancher/k3s/registries.yaml", "does not read it"],
        },
        Refusal {
            what: "an invalid image archive",
            flags: &["--disable=coredns"],
            files: &[(ARCHIVE, "this is no archive")],
            code: 1,
            says: &["cannot import the image archive", ARCHIVE],
        },
        Refusal {
            // The apiserver itself refuses a configuration with two rules for anonymous access (k3s issue 12277).
            what: "anonymous access configured twice",
            flags: &[
                "--disable=coredns",
                "--kube-apiserver-arg=anonymous-auth=true",
                "--kube-apiserver-arg=authentication-config=/etc/parallax/authentication.yaml",
            ],
            files: &[(AUTHENTICATION, NARROW)],
            code: 1,
            says: &["kube-apiserver ended with exit status: 1", "--anonymous-auth"],
        },
    ]
}

async fn refused(surroundings: &Surroundings, case: Refusal) {
    let spec = surroundings.node(&case.what.replace(' ', "-"), case.flags, case.files);
    let error = surroundings.site.start(spec).await.expect_err(case.what);
    let EngineError::StartFailed { reason, log, .. } = &error else { panic!("{}: {error}", case.what) };
    assert!(reason.starts_with(&format!("exited with code {} ", case.code)), "{}: {reason}: {log:#?}", case.what);
    let output = log.join("\n");
    for words in case.says {
        assert!(output.contains(words), "{}: no {words:?} in {output}", case.what);
    }
}

/// Tests a node that is configured by a file, with anonymous access to discovery. At the end, this function kills the
/// node's etcd, and the node must end too.
async fn configured(surroundings: &Surroundings) {
    let files = [(CONFIG, SETTINGS), (AUTHENTICATION, NARROW), (MANIFEST, BINDING)];
    let node = surroundings.site.start(surroundings.node("configured", &[], &files)).await.unwrap();
    assert_eq!(mode(&node), "640");
    let kubeconfig = surroundings.kubeconfig(&node).await;
    let here = Apiserver::of(&node, &kubeconfig);

    let nodes: Api<Node> = Api::all(client(outside(&kubeconfig, here.published).unwrap()).await.unwrap());
    assert_eq!(nodes.get("configured").await.unwrap().metadata.name.as_deref(), Some("configured"));
    for (name, holds) in [("apiserver.example.org", true), ("configured", true), ("other.example.org", false)] {
        let answer = here.handshake(name).await;
        assert_eq!(answer.outcome.is_ok(), holds, "{name}: {:?}", answer.cause());
        let leaf = answer.evidence.chain.first().expect("a chain, whether it was accepted or not");
        assert_eq!(leaf.names.iter().any(|it| it == name), holds, "{name}: {:?}", leaf.names);
    }

    // The node applies the role binding for anonymous users from a manifest, some time after the apiserver is ready.
    let discovery = here.until("/.well-known/openid-configuration", 200).await;
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let document: serde_json::Value = serde_json::from_str(&discovery).unwrap();
    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["jwks_uri"], format!("{issuer}/openid/v1/jwks"));
    let keys: serde_json::Value = serde_json::from_str(&here.until("/openid/v1/jwks", 200).await).unwrap();
    assert_eq!(keys["keys"][0]["alg"], "RS256");
    for path in ["/version", "/api", "/healthz", "/openid/v2", "/.well-known/openid-configuration/"] {
        assert_eq!(here.get(path).await.0, 401, "{path}");
    }

    surroundings.assert_ends_with(&node, "etcd").await;
}

/// Tests that a node without a config file has the defaults of k3s. At the end, this function kills the node's
/// scheduler, and the node must end too.
async fn by_default(surroundings: &Surroundings) {
    let node = surroundings.site.start(surroundings.node("by-default", &["--disable=coredns"], &[])).await.unwrap();
    assert_eq!(mode(&node), "600");
    let kubeconfig = surroundings.kubeconfig(&node).await;
    assert!(kubeconfig.contains("https://127.0.0.1:6443"), "the kubeconfig has another server");
    let here = Apiserver::of(&node, &kubeconfig);
    for path in ["/version", "/.well-known/openid-configuration", "/openid/v1/jwks"] {
        assert_eq!(here.get(path).await.0, 401, "{path}");
    }
    assert!(here.handshake("apiserver.example.org").await.outcome.is_err());
    for from in ["", "ip netns exec pod "] {
        let output =
            docker(&["exec", &node.name, "bash", "-c", &format!("{POD_NETWORK}\n{from}bash -c '{NO_SERVICE}' 2>&1")]);
        assert!(output.contains("Connection refused"), "from {from:?}: {output}");
    }
    surroundings.assert_ends_with(&node, "kube-scheduler").await;
}

impl Surroundings {
    /// Returns the specification of a container that runs `k3s server FLAGS`, in the same way as the harness starts a
    /// node.
    fn node(&self, what: &str, flags: &[&str], files: &[(&str, &str)]) -> ContainerSpec {
        let command = std::iter::once("server").chain(flags.iter().copied()).map(str::to_owned).collect();
        let file = |(path, text): &(&str, &str)| InlineFile {
            path: (*path).to_owned(),
            mode: 0o644,
            bytes: text.as_bytes().to_vec(),
        };
        ContainerSpec {
            command,
            privileged: true,
            private_cgroup_namespace: true,
            tmpfs: BTreeMap::from(["/run", "/var/run"].map(|path| (path.to_owned(), String::new()))),
            volumes: ["/var/lib/containerd", "/var/lib/kubelet", "/var/lib/rancher/k3s"].map(str::to_owned).to_vec(),
            ports: vec![Port::tcp(API_PORT)],
            files: files.iter().map(file).collect(),
            ready: Ready::LogLine("k3s is up and running".to_owned()),
            ready_within: START_TIMEOUT,
            ..ContainerSpec::new(what, &self.image, &self.network.name)
        }
    }

    async fn kubeconfig(&self, node: &Container) -> String {
        String::from_utf8(self.site.engine().read_file(&node.name, KUBECONFIG).await.unwrap()).unwrap()
    }

    /// Kills a component of a node. Checks that the container of the node ends, and that it logs the component's name
    /// and the component's last lines.
    async fn assert_ends_with(&self, node: &Container, component: &str) {
        let log = format!("/var/log/parallax-node/{component}.log");
        // The node is ready when its apiserver is ready. Another component may have just started and may not have
        // logged a line yet.
        let spoke = format!("until [ -s {log} ]; do sleep 0.05; done");
        docker(&["exec", &node.name, "timeout", "20", "sh", "-c", &spoke]);
        docker(&["exec", &node.name, "pkill", "-KILL", "-x", component]);
        let ended = tokio::time::timeout(REACTION_TIMEOUT, self.site.engine().wait_exit(&node.name)).await;
        assert_eq!(ended.expect("the container continues to run").unwrap(), 1);
        let output = self.site.engine().logs(&node.name, 40).await.unwrap().join("\n");
        let expected = format!("error: {component} ended with signal: 9 (SIGKILL); its last lines:\n");
        assert!(output.contains(&expected), "{output}");
        let written = String::from_utf8(self.site.engine().read_file(&node.name, &log).await.unwrap()).unwrap();
        let last = written.lines().rfind(|line| !line.trim().is_empty()).expect("it wrote something");
        assert!(output.trim_end().ends_with(last), "{last:?} is not the end of {output}");
    }
}

/// Returns the file mode of the node's kubeconfig.
fn mode(node: &Container) -> String {
    docker(&["exec", &node.name, "stat", "--format", "%a", KUBECONFIG]).trim().to_owned()
}

/// The apiserver of a node. The tests send requests to it without authentication.
struct Apiserver {
    published: std::net::SocketAddr,
    view: View,
}

impl Apiserver {
    fn of(node: &Container, kubeconfig: &str) -> Self {
        let published = node.tcp(API_PORT).expect("the port is published");
        Self { published, view: View { trust: vec![authority(kubeconfig).unwrap()], ..View::default() } }
    }

    async fn ask(&self, probe: Probe) -> Answer {
        Vantage::Outside.ask(Question { view: self.view.clone(), deadline_ms: 5_000, probe }).await.unwrap()
    }

    async fn handshake(&self, server_name: &str) -> Answer {
        let (host, port) = (self.published.ip().to_string(), self.published.port());
        self.ask(Probe::Tls(TlsQuestion { host, port, server_name: Some(server_name.to_owned()) })).await
    }

    /// Sends a GET request. Returns the status and the body.
    async fn get(&self, path: &str) -> (u16, String) {
        let question = HttpQuestion::new("GET", format!("https://{}{path}", self.published));
        let answer = self.ask(Probe::Http(question)).await;
        match answer.outcome {
            Ok(Reply::Http(http)) => (http.status, http.body),
            other => panic!("GET {path}: {other:?}"),
        }
    }

    /// Repeats a GET request until the answer has this status. Returns the body.
    async fn until(&self, path: &str, status: u16) -> String {
        let deadline = Instant::now() + REACTION_TIMEOUT;
        loop {
            let (seen, body) = self.get(path).await;
            if seen == status {
                return body;
            }
            assert!(Instant::now() < deadline, "GET {path}: {seen} after {} s: {body}", REACTION_TIMEOUT.as_secs());
            // No event reports the change in the apiserver, so this code polls. The deadline is checked above.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
