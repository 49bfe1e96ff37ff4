//! Waits until the vantage pods reach every Service of their namespace. If a flow began earlier, a Service that is not
//! reachable yet would look like a fault of the system under test. If a Service is never reached although one of its
//! pods answers, the cluster's own network does not work. Then a failed connection to this Service proves nothing.
//!
//! An `apply` step waits in the same way for the Services that it applies. The wait is necessary because no field of a
//! Service shows whether the nodes already have the packet rules for the Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use kube::core::Selector;
use parallax_vocab::question::{Probe, Question, TlsQuestion, View};
use parallax_vocab::{Answer, Cause, ConnectFault};

use super::Context;
use super::environment::Stage;
use super::error::RunError;
use super::scene::Scene;
use crate::apply::ApplyError;
use crate::probe::{Vantage, lives};

/// The annotation that excludes ports of a Service from this wait. The value lists the names of the ports, separated by
/// commas. A fixture sets the annotation for ports on which no process may listen when the flow begins.
const NOT_AWAITED: &str = "io.parallax/not-awaited";
/// The pause between two tries. The code polls because no event reports that a process begins to listen or that the
/// node's packet rules change.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The longest wait for one port of a Service. After this time the flow starts even if the port cannot be reached, so
/// that a step can show the fault.
const WITHIN: Duration = Duration::from_secs(20);
/// If no pod of a Service is ready after this time, no process is expected to answer, so the wait for this Service
/// ends. The wait does not end earlier, because a Service has no endpoints for a moment after its pod is ready
/// (docs/facts.md#services-and-addresses).
const ENDPOINT_WITHIN: Duration = Duration::from_secs(3);
/// The time limit of one try, in milliseconds.
const QUESTION_MS: u64 = 5_000;

/// A port of a Service that a vantage does not reach, although one of the Service's pods answers this vantage directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreached {
    /// The vantage's pod, by its name in the plan.
    vantage: String,
    service: String,
    address: String,
    port: u16,
    /// The address of the Service's pod that answers.
    pod: SocketAddr,
}

impl std::fmt::Display for Unreached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { vantage, service, address, port, pod } = self;
        write!(
            f,
            "pod {vantage} does not reach Service {service} at {address}:{port}, although its pod answers at {pod}"
        )
    }
}

/// The error for a step that got no connection because the cluster's network does not work. `None` if the step failed
/// for another reason. `pod` is the pod of the step's vantage.
pub(super) fn error(stage: &Stage<'_>, pod: &str, answer: &Answer, cause: &Cause) -> Option<RunError> {
    let it = explains(&stage.unreached, pod, answer, cause)?;
    Some(RunError::Machine {
        what: format!("namespace {}: {it}: {cause}", stage.scene.plan.namespace),
        fix: "`parallax e2e --keep` leaves the cluster standing to look at its network rules (kube-proxy)".to_owned(),
    })
}

/// The unreached port that explains why a question from the vantage's pod got no connection. `None` if the question was
/// for another address or port, or failed in another way.
fn explains<'a>(unreached: &'a [Unreached], vantage: &str, answer: &Answer, cause: &Cause) -> Option<&'a Unreached> {
    let peer = answer.evidence.peer.filter(|_| matches!(cause, Cause::Connect { .. }))?;
    let is_it =
        |it: &&Unreached| it.vantage == vantage && (&it.address, it.port) == (&peer.ip().to_string(), peer.port());
    unreached.iter().find(is_it)
}

/// The condition under which a vantage must reach a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The rule while the environment is set up: the vantage must reach the Service if one of its pods is ready, even
    /// if no process of the pod listens yet. If no pod is ready, the wait for the Service ends after
    /// [`ENDPOINT_WITHIN`].
    SetUp,
    /// The rule after a step has applied the Service: the vantage must reach the Service only if one of its pods
    /// answers the vantage directly. The scenario may break the Service's pods on purpose, and a Service without a
    /// working pod must not delay the step.
    Applied,
}

/// A port of a Service, with an address at which pods can connect to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    service: String,
    namespace: String,
    /// The label selector of the Service's pods.
    pods: String,
    address: String,
    port: u16,
    /// The port on which the Service's pods listen, by number or by name.
    target: IntOrString,
}

/// Waits until each vantage in a pod can connect to each port of each Service that has a ready pod. Returns the ports
/// that were not reached although a pod answered directly.
///
/// The vantage connects to the Service's IP address, so DNS does not matter. Any answer is accepted, because it shows
/// that a process listens. Even a peer that closes the connection is accepted, because Envoy does so if the client
/// sends no server name.
pub(super) async fn by(
    context: &Context,
    scene: &Scene<'_>,
    client: &kube::Client,
    vantages: &BTreeMap<String, Vantage>,
) -> Result<Vec<Unreached>, RunError> {
    if vantages.is_empty() {
        return Ok(Vec::new());
    }
    let services: Api<Service> = Api::namespaced(client.clone(), &scene.plan.namespace);
    let listed = services.list(&ListParams::default()).await;
    let listed = listed.map_err(|error| unread("its Services", &scene.plan.namespace, &error))?;
    let published: Vec<Published> = listed.items.iter().flat_map(published).collect();
    let unreached = all_reached(Rule::SetUp, client, vantages, &published).await?;
    for it in &unreached {
        context.sink.warn(format!(
            "namespace {}: {it}: the cluster's network does not work; a step that fails because of this gives no verdict",
            scene.plan.namespace
        ));
    }
    Ok(unreached)
}

/// Waits until each vantage in a pod can connect to each port of the Services in `applied`. A vantage connects to the
/// cluster address of the Service. If the Service has the type `NodePort`, the vantage also connects to the address of
/// each ready node. The function waits for a port only if a pod of the Service answers the vantage directly on this
/// port. Returns the ports that a vantage still did not reach.
///
/// Services of type `LoadBalancer` are left out, because only the controller of the balancer knows when they can be
/// used.
pub(super) async fn applied(
    client: &kube::Client,
    vantages: &BTreeMap<String, Vantage>,
    applied: &[Service],
) -> Result<Vec<Unreached>, RunError> {
    let is_balanced = |it: &&Service| it.spec.as_ref().is_some_and(|it| it.type_.as_deref() == Some("LoadBalancer"));
    let services: Vec<&Service> = applied.iter().filter(|it| !is_balanced(it)).collect();
    let mut ports: Vec<Published> = services.iter().flat_map(|it| published(it)).collect();
    if vantages.is_empty() || ports.is_empty() {
        return Ok(Vec::new());
    }
    if services.iter().any(|it| !node_ports(it).is_empty()) {
        let nodes: Api<Node> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default()).await;
        let nodes =
            nodes.map_err(|source| ApplyError::Api { doing: "list the nodes".to_owned(), source: Box::new(source) })?;
        let addresses: Vec<String> = nodes.items.iter().filter_map(ready_address).collect();
        ports.extend(services.iter().flat_map(|it| at_nodes(it, &addresses)));
    }
    all_reached(Rule::Applied, client, vantages, &ports).await
}

/// Waits concurrently until each vantage reaches each port. Returns the ports that were not reached.
async fn all_reached(
    rule: Rule,
    client: &kube::Client,
    vantages: &BTreeMap<String, Vantage>,
    ports: &[Published],
) -> Result<Vec<Unreached>, RunError> {
    let pairs = vantages.iter().flat_map(|vantage| ports.iter().map(move |port| (vantage, port)));
    let waits = pairs.map(|(vantage, port)| async move {
        match reached(rule, client, vantage, port).await {
            // An earlier step may have ended the vantage's pod. A later step at that vantage reports this, so this wait
            // ignores it.
            Err(RunError::Probe(error)) if rule == Rule::Applied => {
                tracing::debug!(%error, vantage = vantage.0, "a vantage cannot say whether it reaches a Service");
                Ok(None)
            }
            other => other,
        }
    });
    Ok(futures::future::try_join_all(waits).await?.into_iter().flatten().collect())
}

/// The node ports of a Service of type `NodePort`. The key is the Service's own port. The result is empty if a node
/// forwards only to pods on the same node, because then a node without such a pod never answers.
fn node_ports(service: &Service) -> BTreeMap<u16, u16> {
    let Some(spec) = service.spec.as_ref().filter(|it| it.type_.as_deref() == Some("NodePort")) else {
        return BTreeMap::new();
    };
    if spec.external_traffic_policy.as_deref() == Some("Local") {
        return BTreeMap::new();
    }
    let ports = spec.ports.iter().flatten();
    ports.filter_map(|it| Some((u16::try_from(it.port).ok()?, u16::try_from(it.node_port?).ok()?))).collect()
}

/// The ports of a Service of type `NodePort` at the addresses of the nodes.
fn at_nodes(service: &Service, addresses: &[String]) -> Vec<Published> {
    let node_ports = node_ports(service);
    let with_node_port = published(service).into_iter().filter_map(|it| Some((*node_ports.get(&it.port)?, it)));
    let at_each = with_node_port.flat_map(|(port, it)| {
        addresses.iter().map(move |address| Published { address: address.clone(), port, ..it.clone() })
    });
    at_each.collect()
}

/// The address of a node within the cluster. `None` if the node is not ready. A node that is not ready is left out,
/// because the scenario may have stopped it.
fn ready_address(node: &Node) -> Option<String> {
    let status = node.status.as_ref()?;
    let is_ready = status.conditions.iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
    let internal = status.addresses.iter().flatten().find(|it| it.type_ == "InternalIP");
    internal.filter(|_| is_ready).map(|it| it.address.clone())
}

/// The TCP ports of a Service that selects pods and has a cluster address. The ports in the annotation [`NOT_AWAITED`]
/// are left out. The result is empty if each node forwards only to pods on the same node.
fn published(service: &Service) -> Vec<Published> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.internal_traffic_policy.as_deref() == Some("Local") {
        return Vec::new();
    }
    let selector = spec.selector.as_ref().filter(|it| !it.is_empty());
    let address = spec.cluster_ip.clone().filter(|it| !it.is_empty() && it != "None");
    let (Some(selector), Some(address)) = (selector, address) else { return Vec::new() };
    let pods = selector.clone().into_iter().collect::<Selector>().to_string();
    let tcp = spec.ports.iter().flatten().filter(|it| it.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let annotation = service.metadata.annotations.as_ref().and_then(|it| it.get(NOT_AWAITED));
    let not_awaited: BTreeSet<&str> = annotation.into_iter().flat_map(|it| it.split(',')).map(str::trim).collect();
    tcp.filter(|it| !it.name.as_deref().is_some_and(|name| not_awaited.contains(name)))
        .filter_map(|it| {
            let port = u16::try_from(it.port).ok()?;
            let target = it.target_port.clone().unwrap_or(IntOrString::Int(it.port));
            let (service, namespace, pods) = (name.clone(), namespace.clone(), pods.clone());
            Some(Published { service, namespace, pods, address: address.clone(), port, target })
        })
        .collect()
}

async fn reached(
    rule: Rule,
    client: &kube::Client,
    (name, vantage): (&String, &Vantage),
    published: &Published,
) -> Result<Option<Unreached>, RunError> {
    let Published { service, address, port, target, .. } = published;
    let began = Instant::now();
    let mut counts = false;
    loop {
        let answer = vantage.ask(connect(address.clone(), *port)).await?;
        if listens(&answer.outcome) {
            return Ok(None);
        }
        if began.elapsed() >= WITHIN {
            let cause = answer.outcome.err().map(|it| it.to_string()).unwrap_or_default();
            tracing::debug!(service, address, port, cause, "the flow goes on although a Service is not reached");
            let pods = ready_pods(client, published).await?;
            let pod = answering_pod(vantage, &pods, target).await?;
            return Ok(pod.map(|pod| Unreached {
                vantage: name.clone(),
                service: service.clone(),
                address: address.clone(),
                port: *port,
                pod,
            }));
        }
        if !counts && (rule == Rule::Applied || began.elapsed() >= ENDPOINT_WITHIN) {
            let pods = ready_pods(client, published).await?;
            counts = match rule {
                Rule::SetUp => !pods.is_empty(),
                Rule::Applied => answering_pod(vantage, &pods, target).await?.is_some(),
            };
            if !counts {
                return Ok(None);
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// A question that tests whether a process listens at an address.
fn connect(host: String, port: u16) -> Question {
    let probe = Probe::Tls(TlsQuestion { host, port, server_name: None });
    Question { view: View::default(), deadline_ms: QUESTION_MS, probe }
}

/// The address of the first pod that answers a vantage directly, without the Service. `None` if no pod answers. Then
/// the pods or a network policy are the reason, and the failure belongs to the system under test.
async fn answering_pod(vantage: &Vantage, pods: &[Pod], target: &IntOrString) -> Result<Option<SocketAddr>, RunError> {
    for at in pods.iter().filter_map(|pod| target_of(pod, target)) {
        let answer = vantage.ask(connect(at.ip().to_string(), at.port())).await?;
        if listens(&answer.outcome) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The address at which a pod serves a port of its Service. `target` is the port by number, or by the name that the pod
/// gives to this port.
fn target_of(pod: &Pod, target: &IntOrString) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let port = match target {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let ports = pod.spec.iter().flat_map(|it| &it.containers).flat_map(|it| it.ports.iter().flatten());
            ports.into_iter().find(|it| it.name.as_ref() == Some(name))?.container_port
        }
    };
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// Whether the result of a connection attempt shows that a process listens. A refused connection does not show this; a
/// reset connection does.
fn listens<T>(outcome: &Result<T, Cause>) -> bool {
    match outcome {
        Err(Cause::Connect { fault, .. }) => *fault == ConnectFault::Reset,
        Ok(_) | Err(_) => true,
    }
}

/// The ready pods of a Service. The code does not read the Service's endpoints, because the controller that writes them
/// may be late.
async fn ready_pods(client: &kube::Client, of: &Published) -> Result<Vec<Pod>, RunError> {
    let pods = lives::pods(client, &of.namespace, &of.pods).await;
    let mut pods = pods.map_err(|error| unread("the pods of its Services", &of.namespace, &error))?;
    pods.retain(lives::is_ready);
    Ok(pods)
}

fn unread(what: &str, namespace: &str, error: &kube::Error) -> RunError {
    let what = format!("namespace {namespace}: {what}");
    ApplyError::Watch { what, reason: error.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;

    use super::*;

    #[test]
    fn published_has_every_tcp_port_of_a_service_that_selects_pods() {
        let service = |spec: serde_json::Value| {
            let object = serde_json::json!({ "metadata": { "name": "store", "namespace": "a" }, "spec": spec });
            published(&serde_json::from_value(object).expect("is a Service"))
        };
        let ports = serde_json::json!([
            { "name": "api", "port": 443, "targetPort": "https" }, { "name": "console", "port": 9001, "protocol": "TCP" },
            { "name": "names", "port": 53, "protocol": "UDP" },
        ]);
        let both =
            service(serde_json::json!({ "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports }));
        let port = |port, target| Published {
            service: "store".into(),
            namespace: "a".into(),
            pods: "app=store".into(),
            address: "10.43.0.7".into(),
            port,
            target,
        };
        let (https, same) = (IntOrString::String("https".into()), IntOrString::Int(9001));
        assert_eq!(both, [port(443, https.clone()), port(9001, same)]);
        let annotated = serde_json::json!({
            "metadata": { "name": "store", "namespace": "a", "annotations": { NOT_AWAITED: "names, console" } },
            "spec": { "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports },
        });
        assert_eq!(published(&serde_json::from_value(annotated).expect("is a Service")), [port(443, https)]);
        // A Service without a selector or without a cluster IP address is left out.
        assert!(service(serde_json::json!({ "clusterIP": "10.43.0.7", "ports": ports })).is_empty());
        let headless = serde_json::json!({ "clusterIP": "None", "selector": { "app": "store" }, "ports": ports });
        assert!(service(headless).is_empty());
        assert!(service(serde_json::json!({ "type": "ExternalName", "externalName": "example.com" })).is_empty());
        // A vantage on a node without a pod of this Service never reaches the Service.
        let local = serde_json::json!({
            "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports, "internalTrafficPolicy": "Local",
        });
        assert!(service(local).is_empty());
    }

    #[test]
    fn node_ports_are_awaited_at_each_node_that_is_ready() {
        let node = |ready: &str, address: &str| {
            serde_json::from_value(serde_json::json!({ "status": {
                "addresses": [{ "type": "Hostname", "address": "node" }, { "type": "InternalIP", "address": address }],
                "conditions": [{ "type": "Ready", "status": ready }],
            } }))
            .expect("is a Node")
        };
        let nodes = [node("True", "172.18.0.2"), node("Unknown", "172.18.0.3"), node("True", "172.18.0.4")];
        let addresses: Vec<String> = nodes.iter().filter_map(ready_address).collect();
        assert_eq!(addresses, ["172.18.0.2", "172.18.0.4"]);
        let https = serde_json::json!({ "name": "https", "port": 443, "targetPort": 9000, "nodePort": 30443 });
        let names = serde_json::json!({ "name": "names", "port": 53, "protocol": "UDP", "nodePort": 30053 });
        for (kind, policy, annotation, expected) in [
            ("NodePort", "Cluster", "", vec!["172.18.0.2:30443", "172.18.0.4:30443"]),
            ("NodePort", "Cluster", "https", vec![]),
            // With the policy `Local`, a node without a pod of the Service never answers.
            ("NodePort", "Local", "", vec![]),
            ("ClusterIP", "Cluster", "", vec![]),
            ("LoadBalancer", "Cluster", "", vec![]),
        ] {
            let service = serde_json::from_value(serde_json::json!({
                "metadata": { "name": "store", "annotations": { NOT_AWAITED: annotation } },
                "spec": {
                    "type": kind, "externalTrafficPolicy": policy, "clusterIP": "10.43.0.7",
                    "selector": { "app": "store" }, "ports": [https, names],
                },
            }))
            .expect("is a Service");
            let ports = at_nodes(&service, &addresses);
            let at: Vec<String> = ports.iter().map(|it| format!("{}:{}", it.address, it.port)).collect();
            assert_eq!(at, expected, "{kind} {policy} {annotation}");
            assert!(ports.iter().all(|it| it.target == IntOrString::Int(9000)), "a pod listens on its own port");
        }
    }

    #[test]
    fn a_pod_serves_the_port_that_the_service_names() {
        let ports = serde_json::json!([{ "name": "https", "containerPort": 9000 }]);
        let spec = serde_json::json!({ "containers": [{ "name": "minio", "ports": ports }] });
        let pod = serde_json::json!({ "spec": spec, "status": { "podIP": "10.42.0.9" } });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        for (target, expected) in [
            (IntOrString::String("https".into()), Some("10.42.0.9:9000")),
            (IntOrString::Int(9001), Some("10.42.0.9:9001")),
            // The Service refers to a port by the name `http`, and no container of the pod has a port of this name.
            (IntOrString::String("http".into()), None),
        ] {
            assert_eq!(target_of(&pod, &target).map(|it| it.to_string()).as_deref(), expected, "{target:?}");
        }
    }

    #[test]
    fn only_a_failed_connection_to_the_unreached_port_from_the_same_vantage_is_explained() {
        let unreached = [Unreached {
            vantage: "vantage-app".into(),
            service: "store".into(),
            address: "10.43.0.7".into(),
            port: 443,
            pod: "10.42.0.9:9000".parse().expect("an address"),
        }];
        let refused = || Cause::Connect { fault: ConnectFault::Refused, detail: String::new() };
        let other = Cause::Client { detail: String::new() };
        for (vantage, peer, cause, explained) in [
            ("vantage-app", Some("10.43.0.7:443"), refused(), true),
            ("vantage-app", Some("10.43.0.7:9001"), refused(), false),
            ("vantage-app", Some("10.43.0.8:443"), refused(), false),
            ("vantage-other", Some("10.43.0.7:443"), refused(), false),
            ("vantage-app", None, refused(), false),
            ("vantage-app", Some("10.43.0.7:443"), other, false),
        ] {
            let peer = peer.map(|it| it.parse().expect("an address"));
            let evidence = Evidence { peer, ..Evidence::default() };
            let answer = Answer { outcome: Err(cause.clone()), evidence };
            let found = explains(&unreached, vantage, &answer, &cause);
            assert_eq!(found.is_some(), explained, "{vantage} {peer:?} {cause}");
        }
    }

    #[test]
    fn a_peer_that_accepts_the_connection_listens_even_if_it_closes_it() {
        let connect = |fault| listens::<()>(&Err(Cause::Connect { fault, detail: String::new() }));
        assert!(connect(ConnectFault::Reset));
        for fault in [ConnectFault::Refused, ConnectFault::Timeout, ConnectFault::Unreachable] {
            assert!(!connect(fault), "{fault:?}");
        }
        assert!(listens(&Ok(())));
    }
}
