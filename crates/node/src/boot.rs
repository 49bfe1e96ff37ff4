//! Starts the components of a node in the order of their dependencies, and waits until one of them ends.
//!
//! ```text
//! containerd ─► images ─────────────────────────┐
//! etcd ─────────┬─► apiserver ─► first answer ──┼─► kubelet ─► kube-proxy ─► CoreDNS answers
//! certificates ─┘                               └─► controllers, scheduler, manifests, CoreDNS
//! ```
//!
//! The picture shows the server node. Controllers, scheduler, manifests and CoreDNS do not wait for the images. An
//! agent node starts differently ([`agent`]).

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Node as KubeNode};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::{TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::deploy::Deployer;
use crate::error::NodeError;
use crate::say::{Clock, say};
use crate::settings::{Node, Settings};
use crate::supervise::{Component, Stage, Supervisor, log_path, tail};
use crate::until::until;
use crate::{agent, approve, components, coredns, dns, files, images, kubeconfig, machine, paths, pki, probe, routes};

/// The time limit for one phase of the start, for example until the apiserver answers.
const PHASE_LIMIT: Duration = Duration::from_mins(2);
/// The pause between two checks of a condition that reports no event.
pub(crate) const RETRY: Duration = Duration::from_millis(20);

pub(crate) const CONTAINERD: Component =
    Component { name: "containerd", program: "containerd", stage: Stage::Base, environment: true };
const ETCD: Component = Component { name: "etcd", program: "etcd", stage: Stage::Base, environment: false };
const APISERVER: Component =
    Component { name: "kube-apiserver", program: "kube-apiserver", stage: Stage::Server, environment: false };
const CONTROLLER_MANAGER: Component = client("kube-controller-manager");
const SCHEDULER: Component = client("kube-scheduler");
pub(crate) const KUBELET: Component = client("kubelet");
pub(crate) const PROXY: Component = client("kube-proxy");

const fn client(name: &'static str) -> Component {
    Component { name, program: name, stage: Stage::Client, environment: false }
}

/// Runs a node. Returns `Ok` after a signal has stopped the node, and an error if the start fails or a component ends.
pub(crate) async fn run(settings: &Settings) -> Result<(), NodeError> {
    let clock = Clock::start();
    let stopped = stop_signal()?;
    let (supervisor, mut ends) = Supervisor::new();
    let outcome = tokio::select! {
        biased;
        () = stopped => {
            say("stopping");
            Ok(())
        }
        Some(end) = ends.recv() => Err(end),
        Err(error) = start_either(settings, &supervisor, clock) => Err(error),
    };
    // A component may end at the same moment at which the start fails. The end of the component is then the reason for
    // the failed start, so the end is reported and not the failure.
    let outcome = match (outcome, ends.recv().now_or_never().flatten()) {
        (Err(error), Some(end)) if !matches!(error, NodeError::Ended { .. }) => Err(end),
        (outcome, _) => outcome,
    };
    supervisor.stop().await;
    outcome
}

fn stop_signal() -> Result<impl Future<Output = ()>, NodeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Runtime)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn start_either(settings: &Settings, supervisor: &Supervisor, clock: Clock) -> Result<(), NodeError> {
    match &settings.join {
        None => Box::pin(start(settings, supervisor, clock)).await,
        Some(join) => Box::pin(agent::start(settings, join, supervisor, clock)).await,
    }
}

/// Starts all components of a server node, then applies manifests until the node stops. This function returns only
/// after an error.
async fn start(settings: &Settings, supervisor: &Supervisor, clock: Clock) -> Result<(), NodeError> {
    refuse_unsupported_files()?;
    if !settings.absent.is_empty() {
        say(format!("not part of this source-built node, so not deployed: {}", settings.absent.join(", ")));
    }
    let node = machine::node(settings)?;
    machine::prepare()?;
    write_files(settings, &node)?;
    write_network(&settings.cluster_range.first_node().to_string())?;
    supervisor.start(CONTAINERD, &["--config".to_owned(), paths::own("containerd.toml")])?;
    supervisor.start(ETCD, &components::etcd())?;
    machine::masquerade(settings.cluster_range)?;
    machine::reject_unknown_service_addresses(settings.service_range)?;
    pki::prepare(Path::new("/"), settings, &node)?;
    write_kubeconfigs(settings)?;
    if let Some(token) = &settings.token {
        files::write_private(&paths::own(components::TOKENS), &files::tokens(token))?;
    }
    supervisor.start(APISERVER, &components::apiserver(settings, &node))?;
    let client = api_client(paths::credential("admin")).await?;

    let (served, serving) = tokio::sync::oneshot::channel();
    let kubelet = async {
        reach(CONTAINERD.name, || async { UnixStream::connect(paths::CONTAINERD_SOCKET).await.is_ok() }).await?;
        clock.reached("containerd ready");
        let count = images::import_all(settings.snapshotter).await?;
        clock.reached(format_args!("{count} image archives imported"));
        // `serving` is an error only if the start of the control plane failed before the apiserver answered. The future
        // `control_plane` returns the reason of that failure, so nothing is reported here.
        if serving.await.is_ok() {
            supervisor.start(KUBELET, &components::kubelet(settings, &node))?;
        }
        Ok(())
    };
    let control_plane = async {
        reach(ETCD.name, || async { TcpStream::connect(components::ETCD_ADDRESS).await.is_ok() }).await?;
        clock.reached("etcd ready");
        reach(APISERVER.name, || probe::answers(&client, "/version")).await?;
        clock.reached("kube-apiserver serves");
        // The kubelet can start as soon as the apiserver answers. The controller-manager and the scheduler must wait
        // until the apiserver has created their roles.
        let _ = served.send(());
        let controllers = async {
            reach(APISERVER.name, || probe::answers(&client, probe::ROLES)).await?;
            supervisor.start(CONTROLLER_MANAGER, &components::controller_manager(settings))?;
            supervisor.start(SCHEDULER, &components::scheduler(settings))?;
            reach(APISERVER.name, || probe::answers(&client, probe::READY)).await?;
            clock.reached("kube-apiserver ready");
            // k3s prints the same line at this point, so a program that waits for this line works with k3s and with
            // this node. From now on, clients can watch nodes and pods.
            say("k3s is up and running");
            Ok(())
        };
        tokio::try_join!(first_manifests(settings, &node, &client), controllers)
    };
    let ((), (deployer, ())) = tokio::try_join!(kubelet, control_plane)?;

    let nodes: Api<KubeNode> = Api::all(client.clone());
    within("the node's registration", KUBELET, until(nodes.clone(), &node.name, probe::exists)).await?;
    clock.reached(format_args!("node {} registered", node.name));
    supervisor.start(PROXY, &components::proxy(settings, &node))?;
    let up = async {
        within("a Ready node", KUBELET, until(nodes, &node.name, probe::is_ready)).await?;
        clock.reached("node Ready");
        // Until kube-proxy has written its rules, packets to the address of a Service do not reach the Service's pods.
        reach(PROXY.name, probe::service_rules_written).await?;
        clock.reached("kube-proxy ready");
        if settings.coredns {
            let name = format!("kubernetes.default.svc.{}", settings.cluster_domain);
            reach("an answer of CoreDNS", || dns::answers(settings.cluster_dns, &name)).await?;
            clock.reached("CoreDNS answers");
        }
        Ok::<(), NodeError>(())
    };
    let agents = async {
        if settings.token.is_some() {
            let routes = routes::keep(client.clone(), node.name.clone());
            tokio::join!(approve::run(client.clone()), routes);
        }
        Ok(())
    };
    tokio::try_join!(up, deployer.run().map(Ok), agents)?;
    Ok(())
}

/// Returns an error if a file exists that k3s reads and this node does not read. Without the error, the user would not
/// notice that the file has no effect.
pub(crate) fn refuse_unsupported_files() -> Result<(), NodeError> {
    for (path, fix) in [
        (paths::REGISTRIES, "put archives of the images into /var/lib/rancher/k3s/agent/images instead"),
        (paths::CONFIG_FOLDER, "put its settings into /etc/rancher/k3s/config.yaml instead"),
    ] {
        if Path::new(path).exists() {
            return Err(NodeError::NotSupported(path, fix));
        }
    }
    Ok(())
}

/// Writes the configuration of containerd and the kubelet.
pub(crate) fn write_files(settings: &Settings, node: &Node) -> Result<(), NodeError> {
    let root = machine::containerd_root(settings.snapshotter)?;
    let resolv_conf = machine::resolv_conf(settings, node)?;
    for (path, text) in [
        (paths::own("containerd.toml"), files::containerd_config(root, settings.snapshotter)),
        (paths::own("kubelet.yaml"), files::kubelet_config(settings, &resolv_conf, machine::cgroup_v1())),
    ] {
        std::fs::write(&path, text).map_err(NodeError::file("write", path))?;
    }
    Ok(())
}

/// Writes the CNI configuration of the pods' network. `pods` is the address range of this node's pods. The kubelet
/// reports the node as Ready only after this file exists.
pub(crate) fn write_network(pods: &str) -> Result<(), NodeError> {
    let path = format!("{}/10-parallax.conflist", paths::CNI_CONFIG);
    std::fs::write(&path, files::network_config(pods)).map_err(NodeError::file("write", path))
}

fn write_kubeconfigs(settings: &Settings) -> Result<(), NodeError> {
    let by_path = |stem: &str| {
        kubeconfig::by_path(None, &paths::tls("server-ca.crt"), &format!("{stem}.crt"), &format!("{stem}.key"))
    };
    for (path, stem) in [
        (paths::credential("admin"), paths::tls("client-admin")),
        (paths::credential("controller"), paths::tls("client-controller")),
        (paths::credential("scheduler"), paths::tls("client-scheduler")),
        (paths::agent("kubelet.kubeconfig"), paths::agent("client-kubelet")),
        (paths::agent("kubeproxy.kubeconfig"), paths::agent("client-kube-proxy")),
    ] {
        kubeconfig::write(&path, &by_path(&stem), 0o600)?;
    }
    let text = |name: &str| {
        let path = paths::tls(name);
        std::fs::read_to_string(&path).map_err(NodeError::file("read", path))
    };
    let admin = kubeconfig::embedded(&text("server-ca.crt")?, &text("client-admin.crt")?, &text("client-admin.key")?);
    kubeconfig::write(paths::KUBECONFIG, &admin, settings.kubeconfig_mode)
}

/// Makes a client of the apiserver from the kubeconfig file at `path`.
pub(crate) async fn api_client(path: String) -> Result<Client, NodeError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| NodeError::Client(error);
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(error.into()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| failed(error.into()))?;
    // The container may have proxy variables for pulling images. Requests to the apiserver must not go through that
    // proxy.
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| failed(error.into()))
}

/// Applies the manifests that exist at the start. This must happen before any pod starts, because CoreDNS reads the
/// ConfigMap `coredns-custom` only at its own start.
async fn first_manifests(settings: &Settings, node: &Node, client: &Client) -> Result<Deployer, NodeError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [coredns::NAMESPACE, "default"] {
        within("the system's namespaces", APISERVER, until(namespaces.clone(), name, probe::exists)).await?;
    }
    let mut deployer = Deployer::new(client.clone());
    if settings.coredns {
        deployer.add("CoreDNS", coredns::dependencies(settings, node));
    }
    if settings.token.is_some() {
        deployer.add("agents", approve::rights());
    }
    deployer.pass().await;
    if settings.coredns {
        deployer.add("CoreDNS", vec![coredns::deployment(node)]);
        deployer.pass().await;
    }
    Ok(deployer)
}

/// Calls `ready` until it returns true, for at most [`PHASE_LIMIT`]. `what` is the name, in the error message, of the
/// thing that did not become ready.
pub(crate) async fn reach<F: Future<Output = bool>>(
    what: &'static str,
    ready: impl Fn() -> F,
) -> Result<(), NodeError> {
    let tries = async {
        while !ready().await {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(PHASE_LIMIT, tries).await.map_err(|_| late(what, what))
}

/// Waits for `waited` (a condition of an object of the apiserver), for at most [`PHASE_LIMIT`]. The error message says
/// that `what` did not appear in time, and quotes the log of `who`, the component that should have caused it.
async fn within<T>(what: &'static str, who: Component, waited: impl Future<Output = T>) -> Result<(), NodeError> {
    tokio::time::timeout(PHASE_LIMIT, waited).await.map(drop).map_err(|_| late(what, who.name))
}

fn late(what: &'static str, log: &str) -> NodeError {
    let path = log_path(log);
    let hint = if path.exists() { format!("; the last lines of {log}:\n{}", tail(&path)) } else { String::new() };
    NodeError::Deadline { what, seconds: PHASE_LIMIT.as_secs(), hint }
}
