//! The steps `kill`, `end` and `start` for an agent node. An agent node is any node of the cluster except the server
//! node.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use parallax_probe::unix_ms;
use parallax_vocab::course::Moment;
use serde_json::json;
use tokio::time::Instant;

use super::delete::gone;
use super::{ActError, Done, FIELD_MANAGER, Scope};
use crate::cluster::{NotSo, pauses};
use parallax_language::scenario::model::Ending;

/// What the steps of this module do, in words. In a cluster that the harness did not start, these steps fail, and their
/// error message quotes this text.
const PURPOSE: &str = "end or start one of its nodes";

/// Kills a node without warning, like a power failure. The Node object of the killed node stays in the apiserver.
///
/// # Errors
///
/// Fails if the node does not run.
pub async fn kill_node(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    scope.in_time(&title(name), own.kill_node(name)).await?.map_err(|NotSo| does_not_run(name))?;
    Ok(done(name, at, "is killed"))
}

/// Removes a node from the cluster: ends the node and deletes its Node object. With a clean ending, the node is drained
/// first.
///
/// # Errors
///
/// Fails if the node does not run. Fails if a pod cannot be evicted, for example because a `PodDisruptionBudget`
/// forbids the eviction. Fails if a pod or the Node object is not gone in time.
pub async fn end_node(scope: &Scope<'_>, name: &str, how: Ending) -> Result<Done, ActError> {
    let deadline = Instant::now() + scope.within;
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    match how {
        Ending::Crash => scope.in_time(&title(name), own.kill_node(name)).await?,
        Ending::Clean => {
            drain(scope, name, deadline).await?;
            scope.in_time(&title(name), own.stop_node(name)).await?
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

/// Starts a node.
///
/// # Errors
///
/// Fails if the node runs already.
pub async fn start_node(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let own = scope.cluster.own(PURPOSE)?;
    let at = unix_ms();
    let started = scope.in_time(&title(name), own.start_node(name)).await?;
    let address = started.map_err(|NotSo| ActError::cause(&title(name), "it runs already"))?;
    let done = done(name, at, "is started");
    Ok(Done { said: json!({ "node": name, "address": address }), ..done })
}

/// Cordons a node, evicts its pods, and waits until these pods are gone.
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
        evict(&pods, &name, &format!("pod {name} in namespace {namespace}"), deadline).await?;
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

/// Evicts a pod as `kubectl drain` does. If a `PodDisruptionBudget` forbids the eviction (429), the eviction is tried
/// again until the deadline. A pod that is already gone counts as evicted.
async fn evict(pods: &Api<Pod>, name: &str, title: &str, deadline: Instant) -> Result<(), ActError> {
    let mut pauses = pauses();
    loop {
        let refused = match pods.evict(name, &EvictParams::default()).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 429 => status.message.clone(),
            Err(error) => return Err(ActError::of(title, "evict")(error)),
        };
        let again = Instant::now() + pauses.pause();
        if again >= deadline {
            return Err(ActError::cause(title, format!("cannot evict {title}: {refused}")));
        }
        // The code polls, because no event reports that the `PodDisruptionBudget` allows an eviction again.
        tokio::time::sleep_until(again).await;
    }
}

/// Whether `kubectl drain` would evict this pod. It would not evict a pod of a `DaemonSet`, because the controller
/// would create the pod again at once. It would not evict a static pod either, because the kubelet runs it without the
/// apiserver.
fn is_evicted(pod: &Pod) -> bool {
    let of_set = pod.owner_references().iter().any(|it| it.kind == "DaemonSet");
    !of_set && !pod.annotations().contains_key("kubernetes.io/config.mirror")
}

fn done(name: &str, unix_ms: u64, what: &str) -> Done {
    let summary = format!("{} {what}", title(name));
    let moments = vec![Moment { unix_ms, what: summary.clone() }];
    Done { summary, said: json!({ "node": name }), moments, ..Done::default() }
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
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::testing::{apiserver, status};

    #[tokio::test]
    async fn an_eviction_waits_for_a_budget_and_takes_a_pod_that_is_gone_for_drained() {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        for (codes, evicted) in [(vec![201], true), (vec![429, 429, 201], true), (vec![404], true), (vec![429], false)]
        {
            let answers = codes.clone();
            let (client, _server) = apiserver(Duration::from_secs(5), move |number, _| {
                let code = answers.get(number - 1).or(answers.last()).copied().unwrap_or(500);
                status(code, budget)
            })
            .await;
            let pods: Api<Pod> = Api::namespaced(client, "n");
            let done = evict(&pods, "a", "pod a", Instant::now() + Duration::from_secs(1)).await;
            match done {
                Ok(()) => assert!(evicted, "{codes:?}"),
                Err(ActError::Cause(cause)) => assert!(!evicted && cause.to_string().contains(budget), "{cause}"),
                Err(other) => panic!("{codes:?}: {other}"),
            }
        }
    }

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
