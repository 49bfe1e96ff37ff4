//! Waits until the vantage pods reach every Service of their namespace. If a flow began earlier, a Service that is not
//! reachable yet would look like a fault of the system under test. If a Service is never reached although one of its
//! pods answers, the cluster's own network does not work. Then a failed connection to this Service proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
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
/// The longest wait for one port. After this time the flow starts even if the port cannot be reached, so that a step
/// can show the fault.
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

/// A port of a Service, at the address that pods use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    service: String,
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
    let listed = services.list(&ListParams::default()).await.map_err(|error| unread("its Services", scene, &error))?;
    let published: Vec<Published> = listed.items.iter().flat_map(published).collect();
    let waits =
        vantages.iter().flat_map(|vantage| published.iter().map(move |port| reached(scene, client, vantage, port)));
    let unreached: Vec<Unreached> = futures::future::try_join_all(waits).await?.into_iter().flatten().collect();
    for it in &unreached {
        context.sink.warn(format!(
            "namespace {}: {it}: the cluster's network does not work; a step that fails because of this gives no verdict",
            scene.plan.namespace
        ));
    }
    Ok(unreached)
}

/// The TCP ports of a Service that selects pods and has a cluster address. Ports that the annotation [`NOT_AWAITED`]
/// names are left out.
fn published(service: &Service) -> Vec<Published> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let Some(spec) = &service.spec else { return Vec::new() };
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
            Some(Published { service: name.clone(), pods: pods.clone(), address: address.clone(), port, target })
        })
        .collect()
}

async fn reached(
    scene: &Scene<'_>,
    client: &kube::Client,
    (name, vantage): (&String, &Vantage),
    published: &Published,
) -> Result<Option<Unreached>, RunError> {
    let Published { service, address, port, .. } = published;
    let began = Instant::now();
    let mut has_pod = false;
    loop {
        let answer = vantage.ask(connect(address.clone(), *port)).await?;
        if listens(&answer.outcome) {
            return Ok(None);
        }
        if began.elapsed() >= WITHIN {
            let cause = answer.outcome.err().map(|it| it.to_string()).unwrap_or_default();
            tracing::debug!(service, address, port, cause, "a flow begins although a Service is not reached");
            let pods = ready_pods(scene, client, &published.pods).await?;
            let pod = answering_pod(vantage, &pods, &published.target).await?;
            return Ok(pod.map(|pod| Unreached {
                vantage: name.clone(),
                service: service.clone(),
                address: address.clone(),
                port: *port,
                pod,
            }));
        }
        if !has_pod && began.elapsed() >= ENDPOINT_WITHIN {
            has_pod = !ready_pods(scene, client, &published.pods).await?.is_empty();
            if !has_pod {
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

/// The address of the first pod that answers a vantage directly, without the Service. `None` if no pod answers. In this
/// case, the pods or a network policy are the reason, so the failure belongs to the system under test.
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
/// gives it.
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

/// Whether this outcome shows that a process listens. A refused connection does not show this; a reset connection does.
fn listens<T>(outcome: &Result<T, Cause>) -> bool {
    match outcome {
        Err(Cause::Connect { fault, .. }) => *fault == ConnectFault::Reset,
        Ok(_) | Err(_) => true,
    }
}

/// The ready pods of a Service. The code does not read the Service's endpoints, because the controller that writes them
/// may be late.
async fn ready_pods(scene: &Scene<'_>, client: &kube::Client, selector: &str) -> Result<Vec<Pod>, RunError> {
    let pods = lives::pods(client, &scene.plan.namespace, selector).await;
    let mut pods = pods.map_err(|error| unread("the pods of its Services", scene, &error))?;
    pods.retain(lives::is_ready);
    Ok(pods)
}

fn unread(what: &str, scene: &Scene<'_>, error: &kube::Error) -> RunError {
    let what = format!("namespace {}: {what}", scene.plan.namespace);
    ApplyError::Watch { what, reason: error.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;

    use super::*;

    #[test]
    fn published_has_every_tcp_port_of_a_service_that_selects_pods() {
        let service = |spec: serde_json::Value| {
            let object = serde_json::json!({ "metadata": { "name": "store" }, "spec": spec });
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
            pods: "app=store".into(),
            address: "10.43.0.7".into(),
            port,
            target,
        };
        let (https, same) = (IntOrString::String("https".into()), IntOrString::Int(9001));
        assert_eq!(both, [port(443, https.clone()), port(9001, same)]);
        let annotated = serde_json::json!({
            "metadata": { "name": "store", "annotations": { NOT_AWAITED: "names, console" } },
            "spec": { "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports },
        });
        assert_eq!(published(&serde_json::from_value(annotated).expect("is a Service")), [port(443, https)]);
        // A Service without a selector or without a cluster IP address is left out.
        assert!(service(serde_json::json!({ "clusterIP": "10.43.0.7", "ports": ports })).is_empty());
        let headless = serde_json::json!({ "clusterIP": "None", "selector": { "app": "store" }, "ports": ports });
        assert!(service(headless).is_empty());
        assert!(service(serde_json::json!({ "type": "ExternalName", "externalName": "example.com" })).is_empty());
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
            // The Service names a port that no container of the pod has, so no process can answer.
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
