//! `kill`, `end` and `start` of a further node of the cluster.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use parallax_probe::unix_ms;
use parallax_vocab::course::Moment;
use serde_json::json;
use tokio::time::Instant;

use super::delete::gone;
use super::{ActError, Done, FIELD_MANAGER, Scope};
use crate::cluster::NotSo;
use parallax_language::scenario::model::Ending;

/// The operation that needs the cluster's owner.
const PURPOSE: &str = "end or start one of its nodes";

/// Kills a node like a loss of power does. Its Node object stays.
///
/// # Errors
///
/// Fails if the node does not run.
pub async fn kill_node(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    bounded(scope, name, own.kill_node(name)).await?.map_err(|NotSo| does_not_run(name))?;
    Ok(done(name, at, "is killed"))
}

/// Removes a node from the cluster: ends it and deletes its Node object. If it ends cleanly, it is drained first.
///
/// # Errors
///
/// Fails if the node does not run. Fails if a pod cannot be evicted, for example because a `PodDisruptionBudget`
/// forbids it. Fails if a pod or the Node object is not gone in time.
pub async fn end_node(scope: &Scope<'_>, name: &str, how: Ending) -> Result<Done, ActError> {
    let deadline = Instant::now() + scope.within;
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    match how {
        Ending::Crash => bounded(scope, name, own.kill_node(name)).await?,
        Ending::Clean => {
            drain(scope, name, deadline).await?;
            bounded(scope, name, own.stop_node(name)).await?
        }
    }
    .map_err(|NotSo| does_not_run(name))?;
    let nodes: Api<Node> = Api::all(scope.cluster.client.clone());
    let title = title(name);
    let node = nodes.get(name).await.map_err(ActError::of(&title, "get"))?;
    nodes.delete(name, &DeleteParams::default()).await.map_err(ActError::of(&title, "delete"))?;
    if gone(&nodes, name, &node.uid().unwrap_or_default(), &title, deadline).await?.is_some() {
        return Err(ActError::cause(&title, late(scope, "its object is still there")));
    }
    Ok(done(name, at, "is removed"))
}

/// Starts a node that does not run.
///
/// # Errors
///
/// Fails if the node runs already.
pub async fn start_node(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    let started = bounded(scope, name, own.start_node(name)).await?;
    let address = started.map_err(|NotSo| ActError::cause(&title(name), "it runs already"))?;
    let done = done(name, at, "is started");
    Ok(Done { said: json!({ "node": name, "address": address }), ..done })
}

/// Cordons a node, evicts its pods, and waits until they are gone.
async fn drain(scope: &Scope<'_>, name: &str, deadline: Instant) -> Result<(), ActError> {
    let client = &scope.cluster.client;
    let title = title(name);
    let nodes: Api<Node> = Api::all(client.clone());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let cordon = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
    nodes.patch(name, &parameters, &cordon).await.map_err(ActError::of(&title, "cordon"))?;
    let all: Api<Pod> = Api::all(client.clone());
    let there = all.list(&ListParams::default().fields(&format!("spec.nodeName={name}"))).await;
    let there = there.map_err(ActError::of(&title, "list the pods of"))?.items;
    let leaving: Vec<Pod> = there.into_iter().filter(is_evicted).collect();
    for pod in &leaving {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let evicted = pods.evict(&name, &EvictParams::default()).await;
        evicted.map_err(ActError::of(&format!("pod {name} in namespace {namespace}"), "evict"))?;
    }
    for pod in &leaving {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let title = format!("pod {name} in namespace {namespace}");
        if gone(&pods, &name, &pod.uid().unwrap_or_default(), &title, deadline).await?.is_some() {
            return Err(ActError::cause(&title, late(scope, "it is evicted, and not gone")));
        }
    }
    Ok(())
}

/// Whether `kubectl drain` evicts a pod. It leaves pods of `DaemonSets`, which would be created again, and static
/// pods of the node.
fn is_evicted(pod: &Pod) -> bool {
    let of_set = pod.owner_references().iter().any(|it| it.kind == "DaemonSet");
    !of_set && !pod.annotations().contains_key("kubernetes.io/config.mirror")
}

/// Limits an operation of the engine by the remaining time of the step.
async fn bounded<T>(
    scope: &Scope<'_>,
    name: &str,
    doing: impl Future<Output = Result<T, crate::cluster::ClusterError>>,
) -> Result<T, ActError> {
    match tokio::time::timeout(scope.within, doing).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ActError::cause(&title(name), late(scope, "its container has not done so"))),
    }
}

fn done(name: &str, unix_ms: u64, what: &str) -> Done {
    let told = format!("{} {what}", title(name));
    let moments = vec![Moment { unix_ms, what: told.clone() }];
    Done { told, said: json!({ "node": name }), moments, ..Done::default() }
}

fn title(name: &str) -> String {
    format!("node {name}")
}

fn does_not_run(name: &str) -> ActError {
    ActError::cause(&title(name), "it does not run")
}

fn late(scope: &Scope<'_>, what: &str) -> String {
    format!("{what} after {} s", scope.within.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_drain_leaves_the_pods_that_would_come_back() {
        let of = |metadata: Value| -> Pod { serde_json::from_value(json!({ "metadata": metadata })).expect("a pod") };
        let owner = |kind: &str| json!({ "ownerReferences": [{ "apiVersion": "apps/v1", "kind": kind, "name": "a", "uid": "" }] });
        for (metadata, evicted) in [
            (json!({}), true),
            (owner("ReplicaSet"), true),
            (owner("DaemonSet"), false),
            (json!({ "annotations": { "kubernetes.io/config.mirror": "a" } }), false),
        ] {
            assert_eq!(is_evicted(&of(metadata.clone())), evicted, "{metadata}");
        }
    }
}
