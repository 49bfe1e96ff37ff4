//! `wait`: waits until a workload has rolled out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{ActError, Done, Scope, Workload};

/// Waits until every replica of a workload is available and comes from the newest pod template, and until older pods
/// are gone. Also returns the Services that select the workload's pods.
///
/// # Errors
///
/// Fails at the deadline, or as soon as one of the pods is in a state from which it cannot recover.
pub async fn wait(scope: &Scope<'_>, workload: &Workload) -> Result<(Done, Vec<Service>), ActError> {
    let title = workload.title(scope.namespace);
    let object = workload.api(scope).get(workload.name()).await.map_err(ActError::of(&title, "get"))?;
    let generation = object.metadata.generation.unwrap_or(0);
    workload.settled(scope, generation, |_| true).await?;
    let services: Api<Service> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let services = services.list(&ListParams::default()).await.map_err(ActError::of(&title, "list the Services of"))?;
    let labels = &object.data["spec"]["template"]["metadata"]["labels"];
    let selecting = services.items.into_iter().filter(|it| selects(it, labels)).collect();
    let summary = format!("{title} has rolled out");
    Ok((Done { summary, said: json!({ "generation": generation }), ..Done::default() }, selecting))
}

/// Whether a Service selects pods that have the labels in `labels`.
fn selects(service: &Service, labels: &Value) -> bool {
    let selector: Option<&BTreeMap<String, String>> = service.spec.as_ref().and_then(|it| it.selector.as_ref());
    selector.is_some_and(|it| !it.is_empty() && it.iter().all(|(name, value)| labels[name] == value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_selects_pods_that_have_all_its_labels() {
        let labels = json!({ "app": "web", "tier": "front" });
        for (selector, selected) in [
            (json!({ "app": "web" }), true),
            (json!({ "app": "web", "tier": "front" }), true),
            (json!({ "app": "web", "tier": "back" }), false),
            (json!({ "app": "web", "zone": "a" }), false),
            // A Service without a selector selects no pods: somebody else writes its endpoints.
            (json!({}), false),
            (Value::Null, false),
        ] {
            let service = serde_json::from_value(json!({ "spec": { "selector": selector } })).expect("a Service");
            assert_eq!(selects(&service, &labels), selected, "{selector}");
        }
    }
}
