//! `delete`: deletes an object with all its dependents, and waits until it is gone.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::runtime::wait::conditions;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::{ActError, Done, Scope};
use crate::cluster::{Ended, until};
use parallax_record::Noted as _;

/// The finalizer that keeps an object until its dependents are deleted.
const FOREGROUND: &str = "foregroundDeletion";

/// Deletes an object with foreground cascading deletion, so that its dependents are deleted first, and waits until the
/// object is gone.
///
/// # Errors
///
/// At the deadline, the error says what blocks the deletion: finalizers, and pods that still exist.
pub async fn delete(scope: &Scope<'_>, api: &Api<DynamicObject>, title: &str, name: &str) -> Result<Done, ActError> {
    let object = api.get(name).await.map_err(ActError::of(title, "get"))?;
    let uid = object.uid().unwrap_or_default();
    api.delete(name, &DeleteParams::foreground()).await.map_err(ActError::of(title, "delete"))?;
    let Some(object) = gone(api, name, &uid, title, Instant::now() + scope.within).await? else {
        return Ok(Done { summary: format!("{title} is gone"), said: json!({ "uid": uid }), ..Done::default() });
    };
    let blocks = blocks(scope, &object, &uid).await;
    Err(ActError::cause(title, format!("it is not gone after {} s: {blocks}", scope.within.as_secs())))
}

/// Waits until an object is gone. Returns the object if it still exists at the deadline, otherwise `None`.
pub(super) async fn gone<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    title: &str,
    deadline: Instant,
) -> Result<Option<K>, ActError>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    match until(api, name, conditions::is_deleted(uid), deadline).await {
        Ended::Met(_) => Ok(None),
        Ended::NotMet(object) => Ok(object),
        Ended::Unseen(reason) => Err(ActError::unseen(title, reason)),
    }
}

/// Describes what blocks the deletion of an object.
async fn blocks(scope: &Scope<'_>, object: &DynamicObject, uid: &str) -> String {
    let mut blocks: Vec<String> = object
        .finalizers()
        .iter()
        .filter(|it| *it != FOREGROUND)
        .map(|finalizer| format!("finalizer {finalizer} is still on it"))
        .collect();
    blocks.extend(conditions_of(object));
    blocks.extend(pods(scope, uid).await);
    if blocks.is_empty() {
        blocks.push("nothing is seen that keeps it".to_owned());
    }
    blocks.join("; ")
}

/// Returns messages that say what a namespace still contains. The messages come from the conditions of the namespace.
/// For an object of another kind, the result is empty, because only namespaces have these conditions.
fn conditions_of(object: &DynamicObject) -> Vec<String> {
    if object.types.as_ref().is_none_or(|types| types.kind != "Namespace") {
        return Vec::new();
    }
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let left = conditions.iter().filter(|it| it["status"] == "True" && it["reason"] != "ContentDeleted");
    left.filter_map(|it| it["message"].as_str().map(str::to_owned)).collect()
}

/// Describes the pods that still exist and belong to an object, directly or through a `ReplicaSet`. Each description
/// says what blocks the deletion of the pod.
async fn pods(scope: &Scope<'_>, uid: &str) -> Vec<String> {
    let all = ListParams::default();
    let sets: Api<ReplicaSet> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let owned = |owners: &[OwnerReference], of: &BTreeSet<String>| owners.iter().any(|it| of.contains(&it.uid));
    let mut owners = BTreeSet::from([uid.to_owned()]);
    let sets = sets.list(&all).await.noted("list what lies between an object and its pods");
    let sets = sets.map(|it| it.items).unwrap_or_default();
    let between: Vec<String> =
        sets.iter().filter(|it| owned(it.owner_references(), &owners)).filter_map(ResourceExt::uid).collect();
    owners.extend(between);
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let Some(pods) = pods.list(&all).await.noted("list pods") else {
        return vec!["its pods cannot be listed".to_owned()];
    };
    pods.items
        .iter()
        .filter(|it| owned(it.owner_references(), &owners))
        .map(|it| match it.finalizers() {
            [] => format!("pod {} is still there", it.name_any()),
            finalizers => format!("pod {} is still there, kept by finalizer {}", it.name_any(), finalizers.join(", ")),
        })
        .collect()
}
