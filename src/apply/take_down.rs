//! Takes an environment down while other environments still run. This module requests the deletion of the namespace and
//! does not wait until the namespace is gone.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::discovery::{Scope, verbs};
use kube::{Api, Client, Discovery};

use super::Applier;
use super::error::ApplyError;
use parallax_record::Noted as _;

/// The time limit of the deletion request. If the request fails in a cluster that the harness started, the namespace is
/// removed later together with the cluster.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// A message names at most this number of objects that block the deletion of a namespace.
const NAMED_AT_MOST: usize = 5;

/// Requests the deletion of an environment's namespace. Kubernetes then deletes the namespace's objects in the
/// background, which frees resources of the node.
pub async fn take_down(applier: &Applier, namespace: &str) -> Result<(), ApplyError> {
    let api: Api<Namespace> = Api::all(applier.client().clone());
    let in_background = DeleteParams::background();
    let deletion = api.delete(namespace, &in_background);
    match tokio::time::timeout(ASKED_WITHIN, deletion).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => {
            Err(ApplyError::Api { doing: format!("delete namespace {namespace}"), source: Box::new(source) })
        }
        Err(_) => Err(ApplyError::Watch {
            what: format!("the deletion of namespace {namespace}"),
            reason: format!("the apiserver has not answered within {} s", ASKED_WITHIN.as_secs()),
        }),
    }
}

/// The objects and kinds that block the requested deletion of a namespace: objects whose finalizers are not removed,
/// and kinds that the apiserver could not list or delete.
///
/// The list is empty if the namespace is gone, or if its pods are just terminating. The list is also empty if the
/// namespace controller has not processed the namespace yet. The controller processes the namespace at the earliest
/// five seconds after the deletion request (`namespaceDeletionGracePeriod` in `pkg/controller/namespace`).
pub async fn held_by(client: &Client, namespace: &str) -> Result<Vec<String>, ApplyError> {
    let doing =
        |source| ApplyError::Api { doing: format!("ask what holds namespace {namespace}"), source: Box::new(source) };
    let api: Api<Namespace> = Api::all(client.clone());
    let Some(found) = api.get_opt(namespace).await.map_err(doing)? else { return Ok(Vec::new()) };
    let holds = conditions(&found).iter().filter(|it| it.status == "True");
    let (mut held, mut by_finalizers) = (Vec::new(), false);
    for condition in holds {
        let says = condition.message.clone().unwrap_or_default();
        match condition.type_.as_str() {
            "NamespaceFinalizersRemaining" => by_finalizers = true,
            kind if passes_by_itself(kind, &says) => {}
            kind => held.push(format!("{kind}: {says}")),
        }
    }
    if by_finalizers {
        held.extend(with_finalizers(client, namespace).await.map_err(doing)?);
    }
    Ok(held)
}

fn conditions(namespace: &Namespace) -> &[NamespaceCondition] {
    namespace.status.as_ref().and_then(|it| it.conditions.as_deref()).unwrap_or_default()
}

/// Whether a condition of a namespace only says that pods are still terminating. This condition disappears by itself.
/// The namespace controller reports terminating pods as remaining content. It reports a failure if it expected the pods
/// to end at once, and they still exist at its next check (`pkg/controller/namespace/deletion`).
fn passes_by_itself(kind: &str, says: &str) -> bool {
    let still_there = says.contains("unexpected items still remain in namespace") && says.ends_with("Resource=pods");
    kind == "NamespaceContentRemaining" || (kind == "NamespaceDeletionContentFailure" && still_there)
}

/// All objects of the namespace, of any kind, that are marked for deletion and have finalizers.
async fn with_finalizers(client: &Client, namespace: &str) -> Result<Vec<String>, kube::Error> {
    let mut found = Vec::new();
    // The kinds are discovered again, because a fixture may have added kinds. A finalizer that blocks the deletion is
    // most often on an object of an added kind.
    let kinds = Discovery::new(client.clone()).run_aggregated().await?;
    let kinds = kinds.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
    let kinds = kinds.filter(|(_, it)| it.scope == Scope::Namespaced && it.supports_operation(verbs::LIST));
    for (resource, _) in kinds {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        // Skip a kind that cannot be listed, such as metrics without a metrics server. Its objects cannot be named.
        let Some(objects) = api.list(&ListParams::default()).await.noted("list a kind") else { continue };
        for object in objects {
            let finalizers = object.metadata.finalizers.unwrap_or_default();
            if object.metadata.deletion_timestamp.is_some() && !finalizers.is_empty() {
                let name = object.metadata.name.unwrap_or_default();
                found.push(format!("{} {name} has finalizer {}", resource.kind, finalizers.join(", ")));
            }
        }
    }
    let more = found.len().saturating_sub(NAMED_AT_MOST);
    found.truncate(NAMED_AT_MOST);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::passes_by_itself;

    #[test]
    fn only_terminating_pods_disappear_without_help() {
        let pods = "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: a for gvr: \
                    /v1, Resource=pods";
        let leases = pods.replace("/v1, Resource=pods", "coordination.k8s.io/v1, Resource=leases");
        for (kind, says, passes) in [
            ("NamespaceContentRemaining", "Some resources are remaining: pods. has 1 resource instances", true),
            ("NamespaceDeletionContentFailure", pods, true),
            ("NamespaceDeletionContentFailure", leases.as_str(), false),
            ("NamespaceDeletionContentFailure", "Failed to delete all resource types, 1 remaining: forbidden", false),
            ("NamespaceDeletionDiscoveryFailure", pods, false),
        ] {
            assert_eq!(passes_by_itself(kind, says), passes, "{kind}: {says}");
        }
    }
}
