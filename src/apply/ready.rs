//! Waits by watches until workloads are ready. A wait that cannot succeed ends before its deadline in two cases: the
//! state of a pod shows that the workload will never be ready, or the failure that a break declares is observed.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::runtime::wait::conditions;
use kube::{Api, Client};
use parallax_vocab::Cause;
use tokio::time::{Instant, timeout_at};

use super::error::ApplyError;
use super::rollout::{Part, State};
use super::unready::{Accepts, Lasting, Unready};
use super::unrecoverable::{self, ANOTHER_TRY};
use super::{evidence, objects, words};
use crate::cluster::{Ended, is_transient, pauses, until};
use crate::probe::lives::last_end;
use parallax_language::fixture::Admission;
use parallax_record::in_full;

/// The time limit for the apiserver to serve a kind that a CRD has just added. Usually this takes about a second.
const KIND_WITHIN: Duration = Duration::from_secs(30);

/// The pause between two pods that are created as dry runs to test admission. The harness polls because the apiserver
/// does not report that it can reach a webhook.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A dry run that began before the deadline may end this much later than the deadline.
const LAST_TRY: Duration = Duration::from_secs(5);

/// One wait for an entry of a fixture's `ready` section: for a Deployment, for all objects of the fixture, or for the
/// admission of pods of a ServiceAccount.
pub(super) struct Awaited<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    /// The name of the Deployment or of the ServiceAccount for which the harness waits. Empty for all objects of a
    /// fixture.
    pub(super) name: &'a str,
    /// The entry of the fixture's `ready` section, for example `store.deployment`.
    pub(super) what: String,
    pub(super) within: Duration,
    /// Decides whether a cause is the one that a break declares for this wait. `None` if no variant declares that this
    /// wait fails.
    pub(super) declared: Option<&'a Accepts<'a>>,
    /// Whether the state of a pod counts.
    pub(super) counts: &'a (dyn Fn(&Pod) -> bool + Send + Sync),
}

/// Waits until every pod of a Deployment is available at the Deployment's newest generation. Returns `None` if the
/// Deployment is ready, otherwise the reason why it is not. The wait ends early as soon as one of the pods cannot
/// recover ([`unrecoverable`]), or as soon as a log line of a pod matches the declared cause.
pub(super) async fn deployment(it: &Awaited<'_>) -> Result<Option<Unready>, ApplyError> {
    let began = Instant::now();
    let cause = part(it, &Part::deployment(it.namespace, it.name), began + it.within).await?;
    Ok(match cause {
        Some(cause) => Some(unready(it, it.namespace, cause, began).await),
        None => None,
    })
}

/// Waits until the objects of a fixture are ready, each as [`deployment`] does. Objects that are ready as soon as they
/// exist need no wait. The wait ends with the first object that will not be ready, unless a break declares another cause.
/// Then the wait goes on for the other objects, one of which may have the declared cause.
pub(super) async fn objects(it: &Awaited<'_>, parts: &[Part]) -> Result<Option<Unready>, ApplyError> {
    let began = Instant::now();
    let deadline = began + it.within;
    let mut waits: FuturesUnordered<_> =
        parts.iter().map(|awaited| async move { (awaited, Box::pin(part(it, awaited, deadline)).await) }).collect();
    let mut first = None;
    while let Some((part, ended)) = waits.next().await {
        let Some(cause) = ended? else { continue };
        if it.declared.is_none_or(|declared| declared(&cause)) {
            return Ok(Some(unready(it, &part.namespace, cause, began).await));
        }
        first.get_or_insert((&part.namespace, cause));
    }
    Ok(match first {
        Some((namespace, cause)) => Some(unready(it, namespace, cause, began).await),
        None => None,
    })
}

async fn unready(it: &Awaited<'_>, namespace: &str, cause: Cause, began: Instant) -> Unready {
    let waited = began.elapsed();
    let evidence = evidence::namespace(it.client, namespace).await;
    Unready { what: it.what.clone(), cause, waited, within: it.within, evidence }
}

/// Waits until one object is ready. Returns the cause if it is not ready at the deadline, or will never be.
async fn part(it: &Awaited<'_>, part: &Part, deadline: Instant) -> Result<Option<Cause>, ApplyError> {
    let api = part.api(it.client);
    let resource = part.title();
    let is_over = |seen: Option<&DynamicObject>| part.is_gone(seen) || part.state(seen).is_final();
    let detail = tokio::select! {
        ended = until(&api, &part.name, is_over, deadline) => match ended {
            Ended::Met(seen) if part.is_gone(seen.as_ref()) => match Box::pin(left(it.client, part, deadline)).await {
                Some(State::Failed(why)) => why,
                Some(State::Ready | State::Pending(_)) => return Ok(None),
                None => "it is gone, and no event says whether it was complete".to_owned(),
            },
            Ended::Met(seen) => match part.state(seen.as_ref()) {
                State::Failed(why) => format!("{why}{}", pods_say(it, part, seen.as_ref()).await),
                State::Ready | State::Pending(_) => return Ok(None),
            },
            Ended::NotMet(seen) => at_the_deadline(it, part, seen.as_ref()).await,
            Ended::Unseen(reason) => return Err(ApplyError::Watch { what: resource, reason }),
        },
        why = Box::pin(never_ready(it, part, &api, &resource)) => why,
    };
    Ok(Some(words::cause(&resource, &detail)))
}

/// What the events say about the end of an object that the cluster has removed. The event may come a moment after the
/// removal, so it is looked for until the deadline. `None` if there is none.
async fn left(client: &Client, part: &Part, deadline: Instant) -> Option<State> {
    let api: Api<Event> = Api::namespaced(client.clone(), &part.namespace);
    let about = ListParams::default().fields(&format!("involvedObject.kind=Job,involvedObject.name={}", part.name));
    let mut pauses = pauses();
    loop {
        match api.list(&about).await {
            Ok(events) => match Part::left(events.items) {
                Some(state) => return Some(state),
                None if Instant::now() >= deadline => return None,
                None => {}
            },
            Err(_) if Instant::now() >= deadline => return None,
            Err(error) => tracing::debug!(error = in_full(&error), "the events of a Job are listed again"),
        }
        // A watch would pass the existing events one by one, and would not say which is the newest of them. The newest
        // one decides, so the code polls.
        tokio::time::sleep_until((Instant::now() + pauses.pause()).min(deadline)).await;
    }
}

/// Resolves with the reason when the object cannot become ready any more, or when a log line shows the cause that a
/// break declares. Never resolves if the object does not exist, because it then has no pods.
async fn never_ready(it: &Awaited<'_>, part: &Part, api: &Api<DynamicObject>, resource: &str) -> String {
    let Some(seen) = known(api, &part.name).await else { return std::future::pending().await };
    let Some(pods) = part.pods(&seen) else { return std::future::pending().await };
    // A pod that another one replaces may crash. It counts if its container never ran.
    let concerns = |pod: &Pod| (it.counts)(pod) && (!part.tries_again() || !has_run(pod));
    let pod = |wanted| {
        let client = it.client.clone();
        unrecoverable::pod(client, &part.namespace, pods.clone(), concerns, ANOTHER_TRY, wanted)
    };
    let Some(declared) = it.declared else { return pod(None).await };
    let wanted = |line: &str| declared(&words::cause(resource, line));
    let logged = async {
        match part.labels(&seen) {
            Some(labels) => words::wanted_line(it.client, &part.namespace, &labels, &wanted).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        why = pod(Some(&wanted)) => why,
        why = logged => why,
    }
}

/// Whether a container of the pod has ended, or was started again.
fn has_run(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|it| it.init_container_statuses.iter().chain(&it.container_statuses));
    statuses.flatten().any(|it| it.restart_count > 0 || last_end(it).is_some())
}

/// Waits until admission adds the expected field to a pod of the ServiceAccount that `it` names. The apiserver does not
/// report that a policy or a webhook has come into force. Therefore the function creates pods as dry runs, which store
/// nothing.
pub(super) async fn admission(it: &Awaited<'_>, wanted: &Admission) -> Result<Option<Unready>, ApplyError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(it.client.clone(), it.namespace, &ApiResource::erase::<Pod>(&()));
    let pod = serde_json::from_value(objects::tried_pod(&wanted.service_account)).expect("a pod is an object");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let resource = format!("a pod of ServiceAccount {} in namespace {}", it.name, it.namespace);
    let began = Instant::now();
    let deadline = began + it.within;
    let mut as_declared = Lasting::default();
    let cause = loop {
        // If a dry run takes longer than this limit, it counts as a request without an answer.
        let tried = timeout_at(deadline + LAST_TRY, api.create(&parameters, &pod)).await;
        let detail = match tried {
            Ok(Ok(pod)) if pod.data.pointer(&wanted.adds).is_some() => return Ok(None),
            Ok(Ok(_)) => Ok(format!("admission adds no {}", wanted.adds)),
            Ok(Err(kube::Error::Api(status))) if !is_transient(&kube::Error::Api(status.clone())) => {
                Ok(status.message.clone())
            }
            Ok(Err(error)) => Err(in_full(&error)),
            Err(_) => Err("the apiserver does not answer".to_owned()),
        };
        let over = Instant::now() >= deadline;
        match detail {
            Ok(detail) => {
                let cause = Cause::Resource { resource: resource.clone(), detail };
                let is_declared = it.declared.is_some_and(|accepts| accepts(&cause));
                if as_declared.take(is_declared, Instant::now().into_std()) || over {
                    break cause;
                }
            }
            Err(reason) if over => return Err(ApplyError::Watch { what: resource, reason }),
            Err(reason) => {
                as_declared = Lasting::default();
                tracing::debug!(resource, reason, "admission could not be tried and is tried again");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    };
    let evidence = evidence::namespace(it.client, it.namespace).await;
    Ok(Some(Unready { what: it.what.clone(), cause, waited: began.elapsed(), within: it.within, evidence }))
}

/// Waits until the apiserver serves a kind whose definition was just applied.
pub(super) async fn kind(client: &Client, name: &str) -> Result<(), ApplyError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    match until(&api, name, conditions::is_crd_established(), Instant::now() + KIND_WITHIN).await {
        Ended::Met(_) => Ok(()),
        Ended::NotMet(_) => Err(ApplyError::Late {
            what: format!("the establishment of CustomResourceDefinition {name}"),
            within_s: KIND_WITHIN.as_secs(),
        }),
        Ended::Unseen(reason) => Err(ApplyError::Watch { what: format!("CustomResourceDefinition {name}"), reason }),
    }
}

async fn at_the_deadline(it: &Awaited<'_>, part: &Part, seen: Option<&DynamicObject>) -> String {
    let State::Pending(missing) = part.state(seen) else { return "it became ready at the deadline".to_owned() };
    if seen.is_none() {
        return missing;
    }
    format!("after {} s {missing}{}", it.within.as_secs(), pods_say(it, part, seen).await)
}

/// What the first container that is not ready says, as the end of a sentence. Empty if nothing is known.
async fn pods_say(it: &Awaited<'_>, part: &Part, seen: Option<&DynamicObject>) -> String {
    let pods = seen.and_then(|seen| part.pods(seen));
    let says = match pods {
        Some(pods) => words::of_unready(it.client, &part.namespace, &pods).await,
        None => None,
    };
    says.map_or_else(String::new, |says| format!("; {says}"))
}

/// Gets an object. `None` if the object does not exist. While the apiserver does not answer, the request is repeated;
/// the caller sets the time limit.
async fn known(api: &Api<DynamicObject>, name: &str) -> Option<DynamicObject> {
    let mut pauses = pauses();
    loop {
        match api.get_opt(name).await {
            Ok(found) => return found,
            Err(error) => tracing::debug!(name, error = in_full(&error), "an object is looked up again"),
        }
        // No event reports that the apiserver is reachable again, so the code polls.
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// Resolves with the cause when a log line of a Deployment's pod matches a declared cause. Otherwise the future never
/// resolves. This function is for states that the Deployment's own status does not show, such as the health of a store.
pub async fn logged_cause(client: &Client, namespace: &str, name: &str, declared: &Accepts<'_>) -> Cause {
    let part = Part::deployment(namespace, name);
    let seen = known(&part.api(client), name).await;
    let Some(selector) = seen.and_then(|it| part.labels(&it)) else { return std::future::pending().await };
    let resource = part.title();
    let wanted = |line: &str| declared(&words::cause(&resource, line));
    let line = words::wanted_line(client, namespace, &selector, &wanted).await;
    words::cause(&resource, &line)
}

/// Builds the error for a part of the environment whose pods cannot recover. The states, events and log lines of the
/// namespace are the evidence.
pub(super) async fn cannot_be_ready(client: &Client, namespace: &str, what: &str, reason: String) -> ApplyError {
    ApplyError::Unrecoverable {
        what: what.to_owned(),
        namespace: namespace.to_owned(),
        reason,
        evidence: evidence::namespace(client, namespace).await,
    }
}

/// Builds the error for a part of the environment that did not become ready. The states, events and log lines of the
/// namespace are the evidence.
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
