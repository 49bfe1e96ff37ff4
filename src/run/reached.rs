//! Waiting until pods reach every Service of their namespace: a flow that begins before takes the set-up's race for a fault
//! of the system under test.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use parallax_vocab::Cause;
use parallax_vocab::question::{Probe, Question, TlsQuestion, View};

use super::error::RunError;
use super::scene::Scene;
use crate::apply::ApplyError;
use crate::probe::Vantage;

/// The label by which the endpoints of a Service are found.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Between two tries: neither a process that begins to listen nor the node's packet rules give notice.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// A port that is not there after this time is left to the flow, whose steps say what is wrong with it.
const WITHIN: Duration = Duration::from_secs(20);
/// A Service has no endpoints for a moment after its pod is ready (docs/facts.md#services-and-addresses). One without after this
/// time has none: nobody is to answer there, and nothing is waited for.
const ENDPOINT_WITHIN: Duration = Duration::from_secs(3);
/// One try, in milliseconds.
const QUESTION_MS: u64 = 5_000;

/// A port of a Service, at the address that pods use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    service: String,
    address: String,
    port: u16,
}

/// Waits until each vantage in a pod gets a connection at each port of each Service with endpoints. By address, so that DNS
/// plays no part, and whatever the peer says then: that a process listens is all that is waited for.
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

/// The TCP ports of a Service of the scenario's own that selects pods.
fn published(service: &Service) -> Vec<Published> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let Some(spec) = &service.spec else { return Vec::new() };
    let selects = spec.selector.as_ref().is_some_and(|it| !it.is_empty());
    let address = spec.cluster_ip.clone().filter(|it| !it.is_empty() && it != "None");
    let (true, Some(address)) = (selects, address) else { return Vec::new() };
    let tcp = spec.ports.iter().flatten().filter(|it| it.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.filter_map(|it| u16::try_from(it.port).ok())
        .map(|port| Published { service: name.clone(), address: address.clone(), port })
        .collect()
}

async fn reached(
    scene: &Scene<'_>,
    client: &kube::Client,
    vantage: &Vantage,
    port: &Published,
) -> Result<(), RunError> {
    let began = Instant::now();
    let mut has_endpoint = false;
    loop {
        let host = port.address.clone();
        let probe = Probe::Tls(TlsQuestion { host, port: port.port, server_name: None });
        let question = Question { view: View::default(), deadline_ms: QUESTION_MS, probe };
        let answer = vantage.ask(question).await?;
        if !matches!(answer.outcome, Err(Cause::Connect { .. })) || began.elapsed() >= WITHIN {
            return Ok(());
        }
        if !has_endpoint && began.elapsed() >= ENDPOINT_WITHIN {
            has_endpoint = self::has_endpoint(scene, client, &port.service).await?;
            if !has_endpoint {
                return Ok(());
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn has_endpoint(scene: &Scene<'_>, client: &kube::Client, service: &str) -> Result<bool, RunError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &scene.plan.namespace);
    let of = ListParams::default().labels(&format!("{SERVICE_NAME}={service}"));
    let slices = slices.list(&of).await.map_err(|error| unread("the endpoints of its Services", scene, &error))?;
    let ready = |slice: &EndpointSlice| {
        slice.endpoints.iter().any(|it| it.conditions.as_ref().and_then(|it| it.ready).unwrap_or(true))
    };
    Ok(slices.items.iter().any(ready))
}

fn unread(what: &str, scene: &Scene<'_>, error: &kube::Error) -> RunError {
    let what = format!("namespace {}: {what}", scene.plan.namespace);
    ApplyError::Watch { what, reason: error.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tcp_port_of_a_service_that_selects_pods_is_waited_for() {
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
        let port = |port| Published { service: "store".into(), address: "10.43.0.7".into(), port };
        assert_eq!(both, [port(443), port(9001)]);
        // Without pods of its own, or without an address, there is nothing that could be waited for.
        assert!(service(serde_json::json!({ "clusterIP": "10.43.0.7", "ports": ports })).is_empty());
        let headless = serde_json::json!({ "clusterIP": "None", "selector": { "app": "store" }, "ports": ports });
        assert!(service(headless).is_empty());
        assert!(service(serde_json::json!({ "type": "ExternalName", "externalName": "example.com" })).is_empty());
    }
}
