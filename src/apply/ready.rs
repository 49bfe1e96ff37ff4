//! Waiting for workloads, by watches; given up before the deadline where a pod says that waiting is in vain, or where
//! the failure that was declared is seen.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use parallax_vocab::Cause;

use super::error::ApplyError;
use super::unready::{Accepts, Unready};
use super::{evidence, hopeless, objects, words};
use parallax_language::fixture::Admission;

/// The apiserver serves a new kind within a second or so.
const KIND_WITHIN: Duration = Duration::from_secs(30);

/// Between two tries of admission.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Before it is in force, admission does nothing either: a declared cause must last this long.
const SETTLES_AFTER: Duration = Duration::from_secs(10);

/// A Deployment that is waited for.
pub(super) struct Awaited<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    /// The Deployment.
    pub(super) name: &'a str,
    /// The expectation: `store.deployment`.
    pub(super) what: String,
    pub(super) within: Duration,
    /// Where it is declared to fail: whether a cause is the declared one.
    pub(super) declared: Option<&'a Accepts<'a>>,
}

/// Waits until a Deployment has every replica available at its newest generation. What comes back is why not: at the
/// deadline, as soon as one of its pods is beyond hope ([`hopeless`]), or as soon as one says what was declared.
pub(super) async fn deployment(it: &Awaited<'_>) -> Result<Option<Unready>, ApplyError> {
    let api: Api<Deployment> = Api::namespaced(it.client.clone(), it.namespace);
    let began = Instant::now();
    let resource = format!("Deployment {} in namespace {}", it.name, it.namespace);
    let available = async {
        tokio::select! {
            available = await_condition(api.clone(), it.name, is_available) => available.map(|_| None),
            why = in_vain(it, &api, &resource) => Ok(Some(why)),
        }
    };
    let detail = match tokio::time::timeout(it.within, Box::pin(available)).await {
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(why))) => why,
        Ok(Err(error)) => {
            return Err(ApplyError::Watch { what: format!("Deployment {}", it.name), reason: error.to_string() });
        }
        Err(_) => at_the_deadline(it, &api).await,
    };
    let waited = began.elapsed();
    let evidence = evidence::namespace(it.client, it.namespace).await;
    let cause = words::cause(&resource, &detail);
    Ok(Some(Unready { what: it.what.clone(), cause, waited, within: it.within, evidence }))
}

/// Resolves when waiting is in vain, with the reason. Of a Deployment that is not there (yet), nothing can be said.
async fn in_vain(it: &Awaited<'_>, api: &Api<Deployment>, resource: &str) -> String {
    let Some(selector) = selector(api, it.name).await else { return std::future::pending().await };
    let pods = watcher::Config::default().labels(&selector);
    let Some(declared) = it.declared else {
        return hopeless::pod(it.client.clone(), it.namespace, pods, |_| true, None).await;
    };
    let wanted = |line: &str| declared(&words::cause(resource, line));
    tokio::select! {
        why = hopeless::pod(it.client.clone(), it.namespace, pods, |_| true, Some(&wanted)) => why,
        why = words::said(it.client, it.namespace, &selector, &wanted) => why,
    }
}

/// Waits until admission adds to a pod what it is to add; `it` names the pod's ServiceAccount. The apiserver gives no notice
/// when a policy or a webhook comes into force: so pods are tried, as dry runs, which store nothing.
pub(super) async fn admission(it: &Awaited<'_>, wanted: &Admission) -> Result<Option<Unready>, ApplyError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(it.client.clone(), it.namespace, &ApiResource::erase::<Pod>(&()));
    let pod = serde_json::from_value(objects::tried_pod(&wanted.service_account)).expect("a pod is an object");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let resource = format!("a pod of ServiceAccount {} in namespace {}", it.name, it.namespace);
    let began = Instant::now();
    let cause = loop {
        let detail = match api.create(&parameters, &pod).await {
            Ok(pod) if pod.data.pointer(&wanted.adds).is_some() => return Ok(None),
            Ok(_) => format!("admission adds no {}", wanted.adds),
            Err(kube::Error::Api(status)) => status.message.clone(),
            Err(error) => return Err(ApplyError::Watch { what: resource, reason: error.to_string() }),
        };
        let cause = Cause::Resource { resource: resource.clone(), detail };
        let settled = it.declared.is_some_and(|accepts| accepts(&cause)) && began.elapsed() >= SETTLES_AFTER;
        if settled || began.elapsed() >= it.within {
            break cause;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    };
    let evidence = evidence::namespace(it.client, it.namespace).await;
    Ok(Some(Unready { what: it.what.clone(), cause, waited: began.elapsed(), within: it.within, evidence }))
}

/// Waits until the apiserver serves a kind that was defined just now.
pub(super) async fn kind(client: &Client, name: &str) -> Result<(), ApplyError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let what = || format!("CustomResourceDefinition {name}");
    let established = await_condition(api, name, conditions::is_crd_established());
    match tokio::time::timeout(KIND_WITHIN, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ApplyError::Watch { what: what(), reason: error.to_string() }),
        Err(_) => {
            let reason = format!("it is not established after {} s", KIND_WITHIN.as_secs());
            Err(ApplyError::Watch { what: what(), reason })
        }
    }
}

async fn at_the_deadline(it: &Awaited<'_>, api: &Api<Deployment>) -> String {
    let Some(seen) = api.get_opt(it.name).await.ok().flatten() else { return "it does not exist".to_owned() };
    let says = match selector(api, it.name).await {
        Some(selector) => words::of_unready(it.client, it.namespace, &selector).await,
        None => None,
    };
    let says = says.map_or_else(String::new, |says| format!("; {says}"));
    format!("after {} s {}{says}", it.within.as_secs(), replicas(&seen))
}

/// The labels by which a Deployment finds its pods.
async fn selector(api: &Api<Deployment>, name: &str) -> Option<String> {
    let labels = api.get_opt(name).await.ok().flatten()?.spec?.selector.match_labels?;
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!labels.is_empty()).then(|| labels.join(","))
}

/// Resolves when a pod of a Deployment says what makes a declared cause, with that cause; otherwise never. For what is
/// watched by other means than the Deployment, as a store's own health.
pub async fn said_by(client: &Client, namespace: &str, name: &str, declared: &Accepts<'_>) -> Cause {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let Some(selector) = selector(&api, name).await else { return std::future::pending().await };
    let resource = format!("Deployment {name} in namespace {namespace}");
    let wanted = |line: &str| declared(&words::cause(&resource, line));
    let line = words::said(client, namespace, &selector, &wanted).await;
    words::cause(&resource, &line)
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

pub(super) fn is_available(deployment: Option<&Deployment>) -> bool {
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
