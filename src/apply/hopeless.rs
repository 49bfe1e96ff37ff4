//! Detects pods in states from which they cannot recover by waiting. So, for example, a wrong image name fails a
//! variant within seconds and not at a deadline.
//!
//! The reasons are the kubelet's (`pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`) and, for
//! `StartError`, containerd's. A missing Secret or `ConfigMap` counts too, because the harness applies these before the
//! pods that read them.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

use super::words;
use crate::cluster::pauses;
use parallax_record::Noted as _;

/// A container that waits for one of these reasons never starts.
const FINAL: [&str; 7] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
];
/// How the message of such a reason ends if only the kubelet's copy of a Secret or `ConfigMap` was not up to date. Then
/// the kubelet tries again (`pkg/kubelet/util/manager/watch_based_manager.go`).
const CACHE_IS_BEHIND: &str = "timed out waiting for the condition";
/// A crashing container counts as unrecoverable from this number of restarts. The first crash may only mean that
/// something that the program needs was not ready yet.
const RESTARTS: i32 = 2;

/// Resolves with the reason when one of the selected pods, for which `concerns` is true, cannot recover; otherwise
/// never. If a container crashes, the reason ends with the last line of its log that is `wanted`, or with the last
/// line.
pub(crate) async fn pod(
    client: Client,
    namespace: &str,
    selected: watcher::Config,
    concerns: impl Fn(&Pod) -> bool,
    wanted: Option<words::Wanted<'_>>,
) -> String {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let mut seen = Box::pin(watcher(pods.clone(), selected).backoff(pauses()).applied_objects());
    while let Some(event) = seen.next().await {
        // After an error, the stream starts the watch again.
        let Some(pod) = event.noted("watch pods without a break") else { continue };
        if !concerns(&pod) {
            continue;
        }
        let Some(why) = verdict(&pod) else { continue };
        let line = if why.crashed { words::last(&pods, &why.pod, &why.container, wanted).await } else { None };
        let line = line.map_or_else(String::new, |line| format!(": {line}"));
        return format!("container {} of pod {}: {}{line}", why.container, why.pod, why.reason);
    }
    std::future::pending().await
}

/// Why a container cannot recover.
#[derive(Debug, PartialEq, Eq)]
struct Why {
    pod: String,
    container: String,
    reason: String,
    /// Whether the container ran, so that its log may contain the reason.
    crashed: bool,
}

/// Why a pod will never be ready; `None` if it may still become ready.
fn verdict(pod: &Pod) -> Option<Why> {
    // A pod that is being deleted may be in any state.
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.find_map(|it| {
        let (reason, crashed) = of_container(it)?;
        Some(Why { pod: name.to_owned(), container: it.name.clone(), reason, crashed })
    })
}

fn of_container(status: &ContainerStatus) -> Option<(String, bool)> {
    let now = status.state.as_ref()?;
    if now.running.is_some() {
        return None;
    }
    let ended = now.terminated.as_ref().or_else(|| status.last_state.as_ref()?.terminated.as_ref());
    let never_began = ended.filter(|it| it.reason.as_deref() == Some("StartError"));
    if let Some(ended) = never_began {
        return Some((format!("StartError: {}", ended.message.as_deref().unwrap_or("it could not be started")), false));
    }
    let waiting = now.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let says = waiting.message.as_deref().unwrap_or_default();
    if FINAL.contains(&reason) && !says.ends_with(CACHE_IS_BEHIND) {
        return Some((format!("{reason}: {says}"), false));
    }
    if reason == "CrashLoopBackOff" && status.restart_count >= RESTARTS {
        let code = ended.map_or_else(String::new, |it| format!(", last with code {}", it.exit_code));
        return Some((format!("CrashLoopBackOff: it ended {} times{code}", status.restart_count + 1), true));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: &Value, last: &Value, restarts: i32) -> Pod {
        let status = json!({"name": "minio", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}))
            .expect("a pod")
    }

    #[test]
    fn only_states_that_waiting_cannot_change_are_unrecoverable() {
        let waits = |reason: &str| json!({"waiting": {"reason": reason, "message": "why"}});
        let exited = |reason: &str| json!({"terminated": {"exitCode": 1, "reason": reason, "message": "no such file"}});
        let behind = "failed to sync secret cache: timed out waiting for the condition";
        let behind = json!({"waiting": {"reason": "CreateContainerConfigError", "message": behind}});
        let none = json!({});
        let table = [
            (waits("ContainerCreating"), none.clone(), 0, None),
            (json!({"running": {}}), none.clone(), 0, None),
            // The first start failed, and the second one succeeded.
            (json!({"running": {}}), exited("StartError"), 1, None),
            (exited("Error"), none.clone(), 0, None),
            (waits("CrashLoopBackOff"), exited("Error"), 1, None),
            (
                waits("CrashLoopBackOff"),
                exited("Error"),
                2,
                Some("CrashLoopBackOff: it ended 3 times, last with code 1"),
            ),
            (waits("RunContainerError"), none.clone(), 0, Some("RunContainerError: why")),
            (waits("ErrImageNeverPull"), none.clone(), 0, Some("ErrImageNeverPull: why")),
            (waits("CreateContainerConfigError"), none.clone(), 0, Some("CreateContainerConfigError: why")),
            (behind, none.clone(), 0, None),
            (exited("StartError"), none, 0, Some("StartError: no such file")),
            (waits("CrashLoopBackOff"), exited("StartError"), 1, Some("StartError: no such file")),
        ];
        for (state, last, restarts, expected) in table {
            let why = verdict(&pod(&state, &last, restarts));
            let expected = expected.map(|reason| Why {
                pod: "p".to_owned(),
                container: "minio".to_owned(),
                reason: reason.to_owned(),
                crashed: reason.starts_with("CrashLoopBackOff"),
            });
            assert_eq!(why, expected, "{state} {last} {restarts}");
        }
    }

    #[test]
    fn a_pod_that_is_being_deleted_has_no_verdict() {
        let mut pod = pod(&json!({"waiting": {"reason": "RunContainerError"}}), &json!({}), 0);
        assert!(verdict(&pod).is_some());
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("an instant");
        assert_eq!(verdict(&pod), None);
    }
}
