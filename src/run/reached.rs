//! Waits until the vantage pods reach every Service of their namespace. If a flow begins earlier, a race of the set-up
//! looks like a fault of the system under test.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use kube::core::Selector;
use parallax_vocab::question::{Probe, Question, TlsQuestion, View};
use parallax_vocab::{Cause, ConnectFault};

use super::error::RunError;
use super::scene::Scene;
use crate::apply::ApplyError;
use crate::probe::Vantage;

/// The annotation with the names of the ports, separated by commas, that the wait leaves out: the fixture knows that
/// nothing may listen there when the flow begins.
const NOT_AWAITED: &str = "io.parallax/not-awaited";
/// The pause between two tries. There is no event to wait for when a process begins to listen or when the node's packet
/// rules change.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// After this time the flow starts even if a port cannot be reached. Its steps then show what is wrong.
const WITHIN: Duration = Duration::from_secs(20);
/// A Service has no endpoints for a moment after its pod is ready (docs/facts.md#services-and-addresses). If none of its
/// pods is ready after this time, nothing is meant to answer there, so the wait ends.
const ENDPOINT_WITHIN: Duration = Duration::from_secs(3);
/// Time limit of one try, in milliseconds.
const QUESTION_MS: u64 = 5_000;

/// A port of a Service, at the address that pods use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    service: String,
    /// The labels of its pods, as a selector.
    pods: String,
    address: String,
    port: u16,
}

/// Waits until each vantage in a pod can connect to each port of each Service with a ready pod. It connects by address,
/// so that DNS does not matter. Any answer of the peer is accepted, because it is enough that a process listens: a peer
/// that accepts the connection and closes it listens, too, as Envoy does if no server name is sent.
pub(super) async fn by(scene: &Scene<'_>, client: &kube::Client, vantages: &[&Vantage]) -> Result<(), RunError> {
    if vantages.is_empty() {
        return Ok(());
    }
    let services: Api<Service> = Api::namespaced(client.clone(), &scene.plan.namespace);
    let listed = services.list(&ListParams::default()).await.map_err(|error| unread("its Services", scene, &error))?;
    let published: Vec<Published> = listed.items.iter().flat_map(published).collect();
    let waits =
        vantages.iter().flat_map(|vantage| published.iter().map(move |port| reached(scene, client, vantage, port)));
    futures::future::try_join_all(waits).await?;
    Ok(())
}

/// The TCP ports of a Service that selects pods and has a cluster address, without those that are not awaited.
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
        .filter_map(|it| u16::try_from(it.port).ok())
        .map(|port| Published { service: name.clone(), pods: pods.clone(), address: address.clone(), port })
        .collect()
}

async fn reached(
    scene: &Scene<'_>,
    client: &kube::Client,
    vantage: &Vantage,
    port: &Published,
) -> Result<(), RunError> {
    let began = Instant::now();
    let mut has_pod = false;
    loop {
        let host = port.address.clone();
        let probe = Probe::Tls(TlsQuestion { host, port: port.port, server_name: None });
        let question = Question { view: View::default(), deadline_ms: QUESTION_MS, probe };
        let answer = vantage.ask(question).await?;
        if listens(&answer.outcome) {
            return Ok(());
        }
        if began.elapsed() >= WITHIN {
            let Published { service, address, port, .. } = port;
            let cause = answer.outcome.err().map(|it| it.to_string()).unwrap_or_default();
            tracing::debug!(service, address, port, cause, "a flow begins although a Service is not reached");
            return Ok(());
        }
        if !has_pod && began.elapsed() >= ENDPOINT_WITHIN {
            has_pod = has_ready_pod(scene, client, &port.pods).await?;
            if !has_pod {
                return Ok(());
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Whether a process listens where this answer comes from.
fn listens<T>(outcome: &Result<T, Cause>) -> bool {
    match outcome {
        Err(Cause::Connect { fault, .. }) => *fault == ConnectFault::Reset,
        Ok(_) | Err(_) => true,
    }
}

/// Whether a pod of a Service is ready. The endpoints of the Service would say the same, but late, if the controller that
/// writes them is.
async fn has_ready_pod(scene: &Scene<'_>, client: &kube::Client, selector: &str) -> Result<bool, RunError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &scene.plan.namespace);
    let pods = pods.list(&ListParams::default().labels(selector)).await;
    let pods = pods.map_err(|error| unread("the pods of its Services", scene, &error))?;
    Ok(pods.items.iter().any(is_ready))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|it| it.conditions.as_ref()).flatten();
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

fn unread(what: &str, scene: &Scene<'_>, error: &kube::Error) -> RunError {
    let what = format!("namespace {}: {what}", scene.plan.namespace);
    ApplyError::Watch { what, reason: error.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_has_every_tcp_port_of_a_service_that_selects_pods() {
        let service = |spec: serde_json::Value| {
            let object = serde_json::json!({ "metadata": { "name": "store" }, "spec": spec });
            published(&serde_json::from_value(object).expect("is a Service"))
        };
        let ports = serde_json::json!([
            { "name": "api", "port": 443 }, { "name": "console", "port": 9001, "protocol": "TCP" },
            { "name": "names", "port": 53, "protocol": "UDP" },
        ]);
        let both =
            service(serde_json::json!({ "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports }));
        let port =
            |port| Published { service: "store".into(), pods: "app=store".into(), address: "10.43.0.7".into(), port };
        assert_eq!(both, [port(443), port(9001)]);
        let annotated = serde_json::json!({
            "metadata": { "name": "store", "annotations": { NOT_AWAITED: "names, console" } },
            "spec": { "clusterIP": "10.43.0.7", "selector": { "app": "store" }, "ports": ports },
        });
        assert_eq!(published(&serde_json::from_value(annotated).expect("is a Service")), [port(443)]);
        // A Service without a selector or without an address is not waited for.
        assert!(service(serde_json::json!({ "clusterIP": "10.43.0.7", "ports": ports })).is_empty());
        let headless = serde_json::json!({ "clusterIP": "None", "selector": { "app": "store" }, "ports": ports });
        assert!(service(headless).is_empty());
        assert!(service(serde_json::json!({ "type": "ExternalName", "externalName": "example.com" })).is_empty());
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
