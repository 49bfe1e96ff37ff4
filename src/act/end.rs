//! `end`: ends a whole pod, by a simulated node crash or by a deletion, and collects the last output of the pod's
//! containers.
//!
//! A finalizer of the harness keeps the pod's object until the kubelet has reported the end of each container. So the
//! harness can read exit codes and restarts from the pod's status. Until the finalizer is removed, no other pod of the
//! same name can start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use parallax_probe::unix_ms;
use parallax_vocab::course::Moment;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delete::gone;
use super::kill::{PURPOSE, find};
use super::{ActError, Done, FIELD_MANAGER, Scope};
use crate::cluster::{Ended, until};
use crate::probe::exec::is_of_the_machine;
use parallax_engine::lines;
use parallax_language::scenario::model::{Ending, Signal};
use parallax_language::scenario::target::Which;
use parallax_record::{Noted as _, in_full};

/// The harness sets this finalizer on the pod, so that the apiserver keeps the pod's object until the harness has read
/// how the containers ended.
const FINALIZER: &str = "parallax.local/held";
/// The number of last log lines that are kept for each container.
const LINES: usize = 12;
/// The time limit for a followed log to end after its container has ended. If the log has not ended by then, the lines
/// that have been read so far are used.
const LOG_ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Ends a pod and waits until it is gone.
///
/// # Errors
///
/// Fails if the pod does not exist or does not run. Fails if a killed container has another exit code than 137. Fails
/// if the pod's status does not show the end of all containers in time. A simulated crash also fails if the harness
/// does not own the node. The harness removes its finalizer from the pod in every case.
pub async fn end(scope: &Scope<'_>, which: &Which, how: Ending) -> Result<Done, ActError> {
    let deadline = Instant::now() + scope.within;
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let pod = find(scope, &pods, which).await?;
    let name = pod.name_any();
    let title = format!("pod {name} in namespace {}", scope.namespace);
    let runs = running(&pod);
    if runs.is_empty() {
        return Err(ActError::cause(&title, "none of its containers runs"));
    }
    let logs: Vec<_> = runs.keys().map(|container| follow(&pods, &name, container)).collect();
    let logs = futures::future::join_all(logs).await;
    hold(&pods, &pod, &title, true).await?;
    let ended = Box::pin(end_held(scope, &pods, &pod, how, deadline)).await;
    let released = hold(&pods, &pod, &title, false).await;
    let mut seen = ended?;
    released?;
    let mut said = BTreeMap::new();
    for (container, log) in runs.keys().zip(logs) {
        let Some(mut log) = log else { continue };
        // If the container's log has not ended in time, the lines that have been read so far are used.
        tokio::time::timeout(LOG_ENDS_WITHIN, log.ended.join_next()).await.noted("read a container's log to its end");
        said.insert(container.clone(), log.last());
    }
    for (container, seen) in &mut seen.containers {
        let lines = said.get(container).cloned().unwrap_or_default();
        let last = lines.back().cloned().unwrap_or_default();
        seen["last"] = serde_json::from_str(&last).unwrap_or(Value::String(last));
        seen["lines"] = json!(lines);
    }
    let uid = pod.uid().unwrap_or_default();
    if gone(&pods, &name, &uid, &title, deadline).await?.is_some() {
        return Err(ActError::cause(&title, format!("it is not gone after {} s", scope.within.as_secs())));
    }
    let codes: Vec<String> =
        seen.containers.iter().map(|(name, it)| format!("{name} with {}", it["exit-code"])).collect();
    let summary = format!("{title} ended: {}", codes.join(", "));
    let gone_unix_ms = unix_ms();
    let mut moments = Vec::new();
    for (container, seen) in &seen.containers {
        // If a program writes JSON lines with a time (`unix_ms`), its last line shows when the program was last active.
        let at = seen["last"].as_object().and_then(|it| it.values().next()).and_then(|it| it["unix_ms"].as_u64());
        let what = || format!("{container} said last {}", seen["last"]);
        moments.extend(at.map(|unix_ms| Moment { unix_ms, what: what() }));
    }
    let word = if how == Ending::Crash { "to be killed, every container at once" } else { "asked to end" };
    moments.push(Moment { unix_ms: seen.began_unix_ms, what: format!("pod {name} is {word}") });
    moments.push(Moment { unix_ms: gone_unix_ms, what: format!("pod {name} is gone") });
    let said = json!({
        "pod": name, "uid": uid, "began-unix-ms": seen.began_unix_ms, "gone-unix-ms": gone_unix_ms,
        "containers": seen.containers,
    });
    Ok(Done { summary, said, moments, void: seen.void, ..Done::default() })
}

/// What was observed while a pod ended: the time at which the harness began to end the pod, how each container ended
/// (as JSON, by the container's name), and the reason if the round is void.
struct Seen {
    began_unix_ms: u64,
    containers: BTreeMap<String, Value>,
    void: Option<String>,
}

async fn end_held(
    scope: &Scope<'_>,
    pods: &Api<Pod>,
    pod: &Pod,
    how: Ending,
    deadline: Instant,
) -> Result<Seen, ActError> {
    let name = pod.name_any();
    let title = format!("pod {name} in namespace {}", scope.namespace);
    let runs = running(pod);
    let began_unix_ms = unix_ms();
    let delete = match how {
        Ending::Crash => {
            let own = scope.cluster.own(PURPOSE)?;
            if let Some(said) = own.kill_at_once(runs.values().map(String::as_str)).await? {
                let detail = format!("the runtime says {said}");
                return Err(if is_of_the_machine(&said) {
                    ActError::unseen(&title, detail)
                } else {
                    ActError::cause(&title, detail)
                });
            }
            DeleteParams::default().grace_period(0)
        }
        Ending::Clean => DeleteParams::default(),
    };
    pods.delete(&name, &delete).await.map_err(ActError::of(&title, "delete"))?;
    let ended = |pod: Option<&Pod>| pod.is_none_or(|pod| statuses(pod).all(has_ended));
    let seen = match until(pods, &name, ended, deadline).await {
        Ended::Met(Some(pod)) => pod,
        Ended::Met(None) => return Err(ActError::cause(&title, "its object went before its end was seen")),
        Ended::Unseen(reason) => return Err(ActError::unseen(&title, reason)),
        Ended::NotMet(_) => {
            let detail = format!("its containers have not ended after {} s", scope.within.as_secs());
            return Err(ActError::cause(&title, detail));
        }
    };
    let mut containers = BTreeMap::new();
    let mut void = None;
    for status in statuses(&seen).filter(|it| runs.contains_key(&it.name)) {
        let Some(end) = status.state.as_ref().and_then(|it| it.terminated.as_ref()) else { continue };
        let same = end.container_id.as_ref() == runs.get(&status.name);
        if !same || status.restart_count > restarts(pod, &status.name) {
            let why =
                format!("the kubelet began container {} of {title} again before the pod was deleted", status.name);
            void = Some(why);
        } else if how == Ending::Crash && Some(end.exit_code) != Signal::Kill.exit_code() {
            let detail = format!("container {} ended with {}, and SIGKILL leaves 137", status.name, end.exit_code);
            return Err(ActError::cause(&title, detail));
        }
        let finished = end.finished_at.as_ref().and_then(|it| serde_json::to_value(it).ok());
        containers.insert(status.name.clone(), json!({ "exit-code": end.exit_code, "finished": finished }));
    }
    Ok(Seen { began_unix_ms, containers, void })
}

/// Adds the harness's finalizer to a pod (if `on` is true) or removes it. Removing the finalizer from a pod that no
/// longer exists succeeds.
async fn hold(pods: &Api<Pod>, pod: &Pod, title: &str, on: bool) -> Result<(), ActError> {
    let name = pod.name_any();
    let mut finalizers: Vec<String> = pod.finalizers().iter().filter(|it| *it != FINALIZER).cloned().collect();
    finalizers.extend(on.then(|| FINALIZER.to_owned()));
    // If another pod has this name now, that pod has another UID. The apiserver then refuses the patch, because the
    // patch contains the UID of the first pod.
    let patch = json!({ "metadata": { "uid": pod.uid(), "finalizers": finalizers } });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match pods.patch(&name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if !on && matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(ActError::of(title, "patch")(error)),
    }
}

/// The log of one container, which a task follows. Dropping this value aborts the task.
struct Log {
    /// The last lines that have been read so far, at most [`LINES`].
    last: Arc<Mutex<VecDeque<String>>>,
    ended: JoinSet<()>,
}

impl Log {
    fn last(&self) -> VecDeque<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Follows the output of a container until the container ends. `None` if the log cannot be read. Then the last lines
/// are missing, but the end of the pod is still observed.
async fn follow(pods: &Api<Pod>, pod: &str, container: &str) -> Option<Log> {
    let parameters = LogParams {
        container: Some(container.to_owned()),
        follow: true,
        tail_lines: i64::try_from(LINES).ok(),
        ..LogParams::default()
    };
    let mut lines = match pods.log_stream(pod, &parameters).await {
        Ok(stream) => lines(stream).boxed(),
        Err(error) => {
            tracing::debug!(pod, container, error = in_full(&error), "a log cannot be followed");
            return None;
        }
    };
    let mut ended = JoinSet::new();
    let last = Arc::new(Mutex::new(VecDeque::new()));
    let so_far = Arc::clone(&last);
    ended.spawn(async move {
        while let Some(line) = lines.next().await {
            let Some(line) = line.noted("follow a log to its end") else { return };
            let mut last = so_far.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LINES {
                last.pop_front();
            }
            last.push_back(line.text);
        }
    });
    Some(Log { last, ended })
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|it| it.init_container_statuses.iter().chain(&it.container_statuses).flatten())
}

/// The running containers of a pod, including sidecar init containers: the name of each, and its id in the container
/// runtime.
fn running(pod: &Pod) -> BTreeMap<String, String> {
    let runs = statuses(pod).filter(|it| it.state.as_ref().is_some_and(|state| state.running.is_some()));
    runs.filter_map(|it| Some((it.name.clone(), it.container_id.clone()?))).collect()
}

fn has_ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    statuses(pod).find(|it| it.name == container).map_or(0, |it| it.restart_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_ended_and_init_containers_that_go_on_are_among_it() {
        let status = |name: &str, state: Value, restarts: i32| {
            json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": restarts,
                "state": state, "containerID": format!("containerd://{name}")})
        };
        let ended = json!({"terminated": {"exitCode": 0}});
        let pod: Pod = serde_json::from_value(json!({"status": {
            "initContainerStatuses": [status("restore", ended.clone(), 0), status("replicate", json!({"running": {}}), 0)],
            "containerStatuses": [status("app", json!({"running": {}}), 2)],
        }}))
        .expect("a pod");
        let runs = running(&pod);
        assert_eq!(runs.keys().map(String::as_str).collect::<Vec<_>>(), ["app", "replicate"]);
        assert_eq!((runs["app"].as_str(), restarts(&pod, "app"), restarts(&pod, "other")), ("containerd://app", 2, 0));
        assert_eq!(statuses(&pod).filter(|it| has_ended(it)).count(), 1);
    }
}
