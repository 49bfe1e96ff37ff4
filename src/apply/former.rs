//! The pods of the time before a change.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::error::ApplyError;
use crate::cluster::selector;
use crate::probe::lives::is_ready;

/// The pods of the time before a change, by their uids. Their state says nothing about what was changed.
#[derive(Debug, Default)]
pub struct Former(BTreeSet<String>);

impl Former {
    /// Lists the pods of all namespaces.
    pub async fn of(client: &Client) -> Result<Self, ApplyError> {
        let listed = Api::<Pod>::all(client.clone()).list_metadata(&ListParams::default()).await;
        let listed = listed.map_err(failed("list the pods"))?;
        Ok(Self(listed.items.into_iter().filter_map(|it| it.metadata.uid).collect()))
    }

    /// Whether the pod is of the time before the change.
    pub(super) fn contains(&self, pod: &Pod) -> bool {
        pod.metadata.uid.as_ref().is_some_and(|uid| self.0.contains(uid))
    }

    /// Deletes the former pods of a changed `StatefulSet` that are not ready. Kubernetes waits until such a pod is ready
    /// before it replaces it, and so it would wait for ever.
    pub async fn replace(&self, client: &Client, namespace: &str, manifest: &Value) -> Result<(), ApplyError> {
        let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or(namespace);
        let selected: Option<LabelSelector> = serde_json::from_value(manifest["spec"]["selector"].clone()).ok();
        let Some(labels) = selected.and_then(|it| selector(it).ok()) else { return Ok(()) };
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let listed = api.list(&ListParams::default().labels(&labels)).await;
        for pod in listed.map_err(failed("list the pods of a StatefulSet"))? {
            if is_ready(&pod) || !self.contains(&pod) {
                continue;
            }
            match api.delete(&pod.metadata.name.unwrap_or_default(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                deleted => drop(deleted.map_err(failed("delete a pod of a StatefulSet"))?),
            }
        }
        Ok(())
    }
}

fn failed(doing: &'static str) -> impl Fn(kube::Error) -> ApplyError {
    move |source| ApplyError::Api { doing: doing.to_owned(), source: Box::new(source) }
}
