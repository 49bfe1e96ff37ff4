//! `kill`: ends a container's main process, through the node's container runtime.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::{ActError, Done, Scope};
use crate::cluster::{Ended, Signalled, until};
use crate::probe::lives::end_of;
use parallax_language::scenario::model::Signal;
use parallax_language::scenario::target::Which;

/// The process that a `kill` step ends, and the signal with which it ends the process.
#[derive(Clone, Debug)]
pub struct Victim {
    /// The pod, given by its name or by labels.
    pub pod: Which,
    /// The name of the container whose main process is ended.
    pub container: String,
    /// The signal that is sent to the process.
    pub signal: Signal,
}

/// What a `kill` step does, in words. In a cluster that the harness did not start, the step fails, and its error
/// message quotes this text.
pub(super) const PURPOSE: &str = "end a process through the runtime of its node";

/// Ends a container's main process, and waits until the pod's status shows the end.
///
/// # Errors
///
/// Fails if the harness does not own the node, or if the pod or the container does not exist or does not run. Fails if
/// SIGKILL leaves another exit code than 137. Fails if the process does not end in time. This can happen because the
/// first process of a PID namespace ignores every signal for which it has no handler.
pub async fn kill(scope: &Scope<'_>, victim: &Victim) -> Result<Done, ActError> {
    let deadline = Instant::now() + scope.within;
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let pod = find(scope, &pods, &victim.pod).await?;
    let name = pod.name_any();
    let title = format!("container {} of pod {name} in namespace {}", victim.container, scope.namespace);
    let id = running(&pod, &victim.container).map_err(|why| ActError::cause(&title, why))?;
    let signal = victim.signal.name();
    let own = scope.cluster.own(PURPOSE)?;
    // `NotRunning` means that the container ended, or its pod was deleted, after the harness had read the pod's
    // status.
    if own.signal(&id, signal).await? == Signalled::NotRunning {
        return Err(ActError::cause(&title, "it does not run"));
    }
    let ended = {
        let (container, id) = (victim.container.clone(), id.clone());
        move |pod: Option<&Pod>| pod.is_none_or(|pod| end(pod, &container, &id).is_some())
    };
    let seen = match until(&pods, &name, ended, deadline).await {
        Ended::Met(pod) => pod,
        Ended::Unseen(reason) => return Err(ActError::unseen(&title, reason)),
        Ended::NotMet(_) => {
            let detail = format!("it still runs {} s after {signal}", scope.within.as_secs());
            return Err(ActError::cause(&title, detail));
        }
    };
    let end = seen.as_ref().and_then(|pod| end(pod, &victim.container, &id));
    let code = end.map(|it| it.exit_code).ok_or_else(|| ActError::cause(&title, "its pod is gone"))?;
    if let Some(expected) = victim.signal.exit_code().filter(|expected| *expected != code) {
        return Err(ActError::cause(&title, format!("it ended with {code}, and {signal} leaves {expected}")));
    }
    let summary = format!("{title} ended with {code}");
    Ok(Done { summary, said: json!({ "pod": name, "exit-code": code, "container-id": id }), ..Done::default() })
}

/// Finds the one pod that `which` selects. It is an error if no pod or several pods are selected.
pub(super) async fn find(scope: &Scope<'_>, pods: &Api<Pod>, which: &Which) -> Result<Pod, ActError> {
    match which {
        Which::Name(name) => {
            let title = format!("Pod {name} in namespace {}", scope.namespace);
            pods.get(name).await.map_err(ActError::of(&title, "get"))
        }
        Which::Labels(labels) => {
            let title = format!("Pod with {labels} in namespace {}", scope.namespace);
            let found = pods.list(&ListParams::default().labels(labels)).await;
            let mut found = found.map_err(ActError::of(&title, "list"))?.items;
            found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
            match found.len() {
                1 => Ok(found.swap_remove(0)),
                0 => Err(ActError::cause(&title, "it does not exist")),
                _ => {
                    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
                    Err(ActError::cause(&title, format!("these labels select several: {}", names.join(", "))))
                }
            }
        }
    }
}

fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|it| it.name == container)
}

/// The id of a running container in the container runtime. If the container does not run, the error says why.
fn running(pod: &Pod, container: &str) -> Result<String, String> {
    let Some(status) = status(pod, container) else {
        let known = pod.spec.iter().flat_map(|spec| &spec.containers).map(|it| it.name.as_str());
        let known: Vec<&str> = known.collect();
        let begins = known.contains(&container);
        let unknown = format!("the pod has no such container; it has {}", known.join(", "));
        return Err(if begins { "it has not begun".to_owned() } else { unknown });
    };
    let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let id = status.container_id.clone().filter(|_| runs);
    id.ok_or_else(|| "it does not run".to_owned())
}

/// How the container instance with this id ended. `None` if the pod's status does not show this end.
fn end<'a>(pod: &'a Pod, container: &str, id: &str) -> Option<&'a ContainerStateTerminated> {
    end_of(status(pod, container)?, id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: &Value, last: &Value) -> Pod {
        let status = json!({"name": "minio", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": state, "lastState": last, "containerID": "containerd://a"});
        let spec = json!({"containers": [{"name": "minio"}, {"name": "late"}]});
        serde_json::from_value(json!({"spec": spec, "status": {"containerStatuses": [status]}})).expect("a pod")
    }

    #[test]
    fn only_what_runs_can_be_ended() {
        let runs = pod(&json!({"running": {}}), &json!({}));
        assert_eq!(running(&runs, "minio").as_deref(), Ok("containerd://a"));
        assert_eq!(running(&runs, "late").expect_err("not begun"), "it has not begun");
        assert!(running(&runs, "other").expect_err("unknown").contains("it has minio, late"));
        let waits = pod(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), &json!({}));
        assert_eq!(running(&waits, "minio").expect_err("waits"), "it does not run");
    }

    #[test]
    fn the_end_is_that_of_the_run_that_was_meant() {
        let ended = |id: &str| json!({"terminated": {"exitCode": 137, "containerID": id}});
        for (state, last, seen) in [
            (json!({"running": {}}), json!({}), false),
            (ended("containerd://a"), json!({}), true),
            (json!({"running": {}}), ended("containerd://a"), true),
            (json!({"running": {}}), ended("containerd://before"), false),
        ] {
            assert_eq!(end(&pod(&state, &last), "minio", "containerd://a").is_some(), seen, "{state} {last}");
        }
    }
}
