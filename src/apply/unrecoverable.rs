//! Detects pods that cannot become ready, however long the harness waits. So a variant with a wrong image name, for
//! example, fails within seconds and not at a deadline.
//!
//! The reasons in the status of a container come from the kubelet (`pkg/kubelet/images/types.go`,
//! `pkg/kubelet/container/sync_result.go`); only `StartError` comes from containerd. A missing Secret or `ConfigMap`
//! also counts as unrecoverable, because the harness applies these before the pods that read them.
//!
//! The kubelet repeats an operation that failed, and on a busy machine the container runtime fails now and then.
//! Therefore a failure of the runtime or of an image pull counts only if another try has failed too.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until};

use super::words;
use crate::cluster::watched;
use crate::probe::exec::is_of_the_machine;
use crate::probe::lives::last_end;
use parallax_record::Noted as _;

/// The reasons for which a waiting container never starts. The reason lies in the pod itself, or in an object that the
/// pod refers to. So another try does not help.
const FINAL: [&str; 3] = ["CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull"];
/// The reasons for which a waiting container may start at the kubelet's next try.
const TRIED_AGAIN: [&str; 4] = ["CreateContainerError", "RunContainerError", "ErrImagePull", "ImagePullBackOff"];
/// The reasons for which a container waits after its start failed.
const STARTS_FAIL: [&str; 2] = ["RunContainerError", "CrashLoopBackOff"];
/// Parts of messages of the kubelet. Such a message shows only that the kubelet's own copy of an object was out of
/// date. The object is a Secret or `ConfigMap` (`pkg/kubelet/util/manager/watch_based_manager.go`), or a Service on a
/// node that has just started (`pkg/kubelet/kubelet_pods.go`). The kubelet then tries again.
const KUBELET_IS_BEHIND: [&str; 2] =
    ["timed out waiting for the condition", "services have not yet been read at least once"];
/// If the kubelet's next try may end a failure, the failure counts only after it has lasted for this time. The kubelet
/// tries again 10 to 15 s after a failure (`backOffPeriod` in `pkg/kubelet/kubelet.go`, with its jitter;
/// `imageBackOffPeriod` for a pull). A second failure with the same message does not change the pod's status, so no
/// event reports it.
pub(crate) const ANOTHER_TRY: Duration = Duration::from_secs(25);
/// If a crashing container has been restarted this many times, it counts as unrecoverable. The first crash may only
/// mean that another part of the environment was not ready yet.
const RESTARTS: i32 = 2;

/// Resolves with the reason when a pod cannot recover. Otherwise the future never resolves. Only the selected pods for
/// which `concerns` returns true are considered.
///
/// A failure that the kubelet's next try may end counts only after it has lasted for `patience`. The caller passes
/// [`ANOTHER_TRY`], or a shorter time if a person waits for the answer. If a container crashes, the reason ends with
/// the last log line that `wanted` accepts, otherwise with the last log line.
pub(crate) async fn pod(
    client: Client,
    namespace: &str,
    selected: watcher::Config,
    concerns: impl Fn(&Pod) -> bool,
    patience: Duration,
    wanted: Option<words::Wanted<'_>>,
) -> String {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let mut seen = watched(pods.clone(), selected, "pods");
    let mut failing = Failing::default();
    let why = loop {
        let pod = tokio::select! {
            pod = seen.next() => pod,
            why = failing.lasts(patience) => {
                // The failure has lasted for `patience`, and no event has arrived. The pod is read once more, so that
                // no change is missed.
                match pods.get_opt(&why.pod).await.noted("look at a failing pod again") {
                    Some(Some(pod)) if concerns(&pod) && verdict(&pod).is_some() => break why,
                    Some(_) => failing.forget(&why.pod),
                    None => failing.again(&why.pod, Instant::now()),
                }
                continue;
            }
        };
        let Some(pod) = pod else { std::future::pending().await };
        if !concerns(&pod) {
            continue;
        }
        if let Some(why) = failing.take(&pod, Instant::now()) {
            break why;
        }
    };
    let line = if why.crashed { words::last(&pods, &why.pod, &why.container, wanted).await } else { None };
    let line = line.map_or_else(String::new, |line| format!(": {line}"));
    format!("container {} of pod {}: {}{line}", why.container, why.pod, why.reason)
}

/// The reason why a container cannot recover, with the container and its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Why {
    pod: String,
    container: String,
    reason: String,
    /// Whether the container's program ended on its own. If so, its log may contain the reason.
    crashed: bool,
}

/// How certain it is that a container's failure is permanent.
#[derive(Debug, PartialEq, Eq)]
enum Weight {
    /// The failure is permanent: the container cannot recover from this state.
    Final,
    /// The failure is permanent only if the kubelet's next try to start the container fails too.
    IfItLasts,
}

/// The pods with a failure that another try may end, by the name of the pod. The value is the time of the pod's first
/// failure, and the newest reason.
#[derive(Default)]
struct Failing(BTreeMap<String, (Instant, Why)>);

impl Failing {
    /// Takes the newest state of a pod. Returns the reason if the pod will certainly never be ready, otherwise `None`.
    fn take(&mut self, pod: &Pod, now: Instant) -> Option<Why> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        match verdict(pod) {
            Some((Weight::Final, why)) => return Some(why),
            Some((Weight::IfItLasts, why)) => {
                let since = self.0.get(&name).filter(|(_, known)| known.container == why.container);
                let since = since.map_or(now, |(since, _)| *since);
                self.0.insert(name, (since, why));
            }
            None => {
                self.0.remove(&name);
            }
        }
        None
    }

    fn forget(&mut self, pod: &str) {
        self.0.remove(pod);
    }

    /// Restarts the measurement of a pod's failure at the time `now`.
    fn again(&mut self, pod: &str, now: Instant) {
        if let Some((since, _)) = self.0.get_mut(pod) {
            *since = now;
        }
    }

    /// The failure that has lasted longest, and the time at which it will count as permanent. `None` if there is no
    /// failure.
    fn first(&self, patience: Duration) -> Option<(Instant, &Why)> {
        let (since, why) = self.0.values().min_by_key(|(since, _)| *since)?;
        Some((*since + patience, why))
    }

    /// Resolves when one of the failures has lasted for `patience`. If there is no failure, the future never resolves.
    async fn lasts(&self, patience: Duration) -> Why {
        let Some((from, why)) = self.first(patience) else { return std::future::pending().await };
        sleep_until(from).await;
        why.clone()
    }
}

/// Returns the failure that decides about a pod: the first permanent failure among its containers, or else the first
/// failure. `None` if no container fails.
fn verdict(pod: &Pod) -> Option<(Weight, Why)> {
    // A pod that is being deleted may be in any state, so its state is no reason for a failure.
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let is_restarted = pod.spec.as_ref().and_then(|it| it.restart_policy.as_deref()) != Some("Never");
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let mut failures = containers.filter_map(|it| {
        let (weight, reason, crashed) = of_container(it, is_restarted)?;
        Some((weight, Why { pod: name.to_owned(), container: it.name.clone(), reason, crashed }))
    });
    let first = failures.next()?;
    if first.0 == Weight::Final { Some(first) } else { failures.find(|(it, _)| *it == Weight::Final).or(Some(first)) }
}

fn of_container(status: &ContainerStatus, is_restarted: bool) -> Option<(Weight, String, bool)> {
    let now = status.state.as_ref()?;
    if now.running.is_some() {
        return None;
    }
    let ended = last_end(status);
    // Between two tries, a container has the state `waiting` without a reason. Then no failure is reported: the next
    // try may succeed, although the last one failed.
    let reason = match &now.waiting {
        Some(waiting) => Some(waiting.reason.as_deref()?),
        None => None,
    };
    let never_began = ended.filter(|it| it.reason.as_deref() == Some("StartError"));
    if let Some(ended) = never_began.filter(|_| reason.is_none_or(|it| STARTS_FAIL.contains(&it))) {
        let says = ended.message.as_deref().unwrap_or("it could not be started");
        // A failed start may still be followed by a successful one in two cases. After the first failure, the kubelet
        // immediately tries once more. On a busy machine, several tries may fail because the machine is busy.
        let may_start = is_restarted && (status.restart_count == 0 || is_of_the_machine(says));
        let weight = if may_start { Weight::IfItLasts } else { Weight::Final };
        return Some((weight, format!("StartError: {says}"), false));
    }
    let (waiting, reason) = (now.waiting.as_ref()?, reason?);
    let says = waiting.message.as_deref().unwrap_or_default();
    let failed = || format!("{reason}: {says}");
    if FINAL.contains(&reason) && !KUBELET_IS_BEHIND.iter().any(|it| says.contains(it)) {
        return Some((Weight::Final, failed(), false));
    }
    if TRIED_AGAIN.contains(&reason) {
        return Some((Weight::IfItLasts, failed(), false));
    }
    if reason == "CrashLoopBackOff" && status.restart_count >= RESTARTS {
        let killed = ended.filter(|it| words::was_killed(it));
        let how = killed.map_or_else(String::new, |it| format!(" ({})", it.reason.as_deref().unwrap_or("killed")));
        let code = ended.map_or_else(String::new, |it| format!(", last with code {}{how}", it.exit_code));
        let reason = format!("CrashLoopBackOff: it ended {} times{code}", status.restart_count + 1);
        return Some((Weight::Final, reason, killed.is_none()));
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
        use Weight::{Final, IfItLasts};
        let waits = |reason: &str| json!({"waiting": {"reason": reason, "message": "why"}});
        let exited = |reason: &str| json!({"terminated": {"exitCode": 1, "reason": reason, "message": "no such file"}});
        let behind = "failed to sync secret cache: timed out waiting for the condition";
        let behind = json!({"waiting": {"reason": "CreateContainerConfigError", "message": behind}});
        let unread = "services have not yet been read at least once, cannot construct envvars";
        let unread = json!({"waiting": {"reason": "CreateContainerConfigError", "message": unread}});
        let none = json!({});
        let table = [
            (waits("ContainerCreating"), none.clone(), 0, None),
            (json!({"running": {}}), none.clone(), 0, None),
            // The first start of the container failed, and the second one succeeded.
            (json!({"running": {}}), exited("StartError"), 1, None),
            (exited("Error"), none.clone(), 0, None),
            (waits("CrashLoopBackOff"), exited("Error"), 1, None),
            (
                waits("CrashLoopBackOff"),
                exited("Error"),
                2,
                Some((Final, "CrashLoopBackOff: it ended 3 times, last with code 1")),
            ),
            (waits("RunContainerError"), none.clone(), 0, Some((IfItLasts, "RunContainerError: why"))),
            (waits("CreateContainerError"), none.clone(), 0, Some((IfItLasts, "CreateContainerError: why"))),
            (waits("ImagePullBackOff"), none.clone(), 0, Some((IfItLasts, "ImagePullBackOff: why"))),
            (waits("ErrImageNeverPull"), none.clone(), 0, Some((Final, "ErrImageNeverPull: why"))),
            (waits("CreateContainerConfigError"), none.clone(), 0, Some((Final, "CreateContainerConfigError: why"))),
            (behind, none.clone(), 0, None),
            (unread, none.clone(), 0, None),
            // The kubelet has created the container for its next try, but has not started it.
            (json!({"waiting": {}}), exited("StartError"), 1, None),
            (waits("ContainerCreating"), exited("StartError"), 1, None),
            (exited("StartError"), none.clone(), 0, Some((IfItLasts, "StartError: no such file"))),
            (exited("StartError"), none, 1, Some((Final, "StartError: no such file"))),
            (waits("CrashLoopBackOff"), exited("StartError"), 1, Some((Final, "StartError: no such file"))),
            (
                waits("CrashLoopBackOff"),
                json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "ttrpc: closed"}}),
                1,
                Some((IfItLasts, "StartError: ttrpc: closed")),
            ),
        ];
        for (state, last, restarts, expected) in table {
            let why = verdict(&pod(&state, &last, restarts));
            let expected = expected.map(|(weight, reason)| (weight, why_of(reason)));
            assert_eq!(why, expected, "{state} {last} {restarts}");
        }
    }

    fn why_of(reason: &str) -> Why {
        Why {
            pod: "p".to_owned(),
            container: "minio".to_owned(),
            reason: reason.to_owned(),
            crashed: reason.starts_with("CrashLoopBackOff"),
        }
    }

    #[test]
    fn the_lines_of_a_program_that_was_killed_are_no_reason() {
        for (code, reason, crashed) in [(1, "Error", true), (137, "OOMKilled", false), (137, "Error", false)] {
            let ended = json!({"terminated": {"exitCode": code, "reason": reason}});
            let (_, why) =
                verdict(&pod(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended, 2)).expect("it fails");
            assert_eq!(why.crashed, crashed, "{code} {reason}");
            assert_eq!(why.reason.ends_with(&format!("code {code} ({reason})")), !crashed, "{}", why.reason);
        }
    }

    #[test]
    fn a_pod_that_is_not_restarted_gets_no_other_try() {
        let mut pod = pod(&json!({"terminated": {"exitCode": 128, "reason": "StartError"}}), &json!({}), 0);
        assert_eq!(verdict(&pod).map(|(weight, _)| weight), Some(Weight::IfItLasts));
        pod.spec = serde_json::from_value(json!({"containers": [], "restartPolicy": "Never"})).expect("a spec");
        assert_eq!(verdict(&pod).map(|(weight, _)| weight), Some(Weight::Final));
    }

    #[test]
    fn a_final_failure_of_one_container_hides_behind_no_other() {
        let status = |name: &str, reason: &str| {
            json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason}}})
        };
        let statuses = [status("app", "CreateContainerError"), status("side", "ErrImageNeverPull")];
        let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": statuses}});
        let (weight, why) = verdict(&serde_json::from_value(pod).expect("a pod")).expect("it fails");
        assert_eq!((weight, why.container.as_str()), (Weight::Final, "side"));
    }

    #[test]
    fn what_another_try_may_end_must_last_until_then() {
        let waits = |reason: &str| pod(&json!({"waiting": {"reason": reason, "message": "why"}}), &json!({}), 0);
        let began = Instant::now();
        let mut failing = Failing::default();
        assert_eq!(failing.take(&waits("ErrImagePull"), began), None);
        // The pause before the next try belongs to the same failure, so the start time of the failure stays the same.
        assert_eq!(failing.take(&waits("ImagePullBackOff"), began + Duration::from_secs(5)), None);
        assert_eq!(failing.first(ANOTHER_TRY), Some((began + ANOTHER_TRY, &why_of("ImagePullBackOff: why"))));
        // A successful try ends the failure.
        assert_eq!(failing.take(&pod(&json!({"running": {}}), &json!({}), 0), began), None);
        assert_eq!(failing.first(ANOTHER_TRY), None);
        assert_eq!(failing.take(&waits("ErrImageNeverPull"), began), Some(why_of("ErrImageNeverPull: why")));
    }

    #[test]
    fn a_pod_that_is_being_deleted_has_no_verdict() {
        let mut pod = pod(&json!({"waiting": {"reason": "InvalidImageName"}}), &json!({}), 0);
        assert!(verdict(&pod).is_some());
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("an instant");
        assert_eq!(verdict(&pod), None);
    }
}
