//! Waiting for workloads, by watches; given up before the deadline where a pod says that waiting is in vain.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Api, Client};

use super::error::ApplyError;
use super::{evidence, hopeless};

/// Waits until a Deployment has every replica available at its newest generation.
///
/// # Errors
///
/// At the deadline, or as soon as one of its pods is beyond hope ([`hopeless`]).
pub(super) async fn deployment(
    client: &Client,
    namespace: &str,
    name: &str,
    what: &str,
    within: Duration,
) -> Result<(), ApplyError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let available = async {
        tokio::select! {
            available = await_condition(api.clone(), name, is_available) => available.map(|_| None),
            why = beyond_hope(client, &api, namespace, name) => Ok(Some(why)),
        }
    };
    match tokio::time::timeout(within, available).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(why))) => Err(cannot_be_ready(client, namespace, &format!("{what} (Deployment {name})"), why).await),
        Ok(Err(error)) => Err(ApplyError::Watch { what: format!("Deployment {name}"), reason: error.to_string() }),
        Err(_) => {
            let seen = api.get_opt(name).await.ok().flatten();
            let reason = seen.map_or("it does not exist".to_owned(), |it| replicas(&it));
            let what = format!("{what} (Deployment {name})");
            Err(not_ready(client, namespace, &what, within, &reason).await)
        }
    }
}

/// Resolves when a pod of a Deployment is beyond hope. Of one that is not there (yet), nothing can be said.
async fn beyond_hope(client: &Client, api: &Api<Deployment>, namespace: &str, name: &str) -> String {
    let deployment = api.get_opt(name).await.ok().flatten();
    let labels = deployment.and_then(|it| it.spec).and_then(|it| it.selector.match_labels).unwrap_or_default();
    if labels.is_empty() {
        return std::future::pending().await;
    }
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods = watcher::Config::default().labels(&selector.join(","));
    hopeless::pod(client.clone(), namespace, pods, |_| true).await
}

/// The error for something whose pods are beyond hope, with the namespace's state as evidence.
pub(super) async fn cannot_be_ready(client: &Client, namespace: &str, what: &str, reason: String) -> ApplyError {
    ApplyError::Hopeless {
        what: what.to_owned(),
        namespace: namespace.to_owned(),
        reason,
        evidence: evidence::namespace(client, namespace).await,
    }
}

/// The error for something that did not become ready, with the namespace's state as evidence.
pub(super) async fn not_ready(
    client: &Client,
    namespace: &str,
    what: &str,
    within: Duration,
    reason: &str,
) -> ApplyError {
    ApplyError::NotReady {
        what: what.to_owned(),
        namespace: namespace.to_owned(),
        within_s: within.as_secs(),
        reason: reason.to_owned(),
        evidence: evidence::namespace(client, namespace).await,
    }
}

fn is_available(deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return false };
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.available_replicas.unwrap_or(0) >= wanted
}

fn replicas(deployment: &Deployment) -> String {
    let wanted = deployment.spec.as_ref().and_then(|it| it.replicas).unwrap_or(1);
    let available = deployment.status.as_ref().and_then(|it| it.available_replicas).unwrap_or(0);
    format!("{available} of {wanted} replicas are available")
}
