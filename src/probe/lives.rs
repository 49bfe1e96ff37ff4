//! Finds out which containers of a namespace run, and which of them have ended since an earlier check. A variant tests
//! the effect of its declared change. If a container ended, an answer may show the effect of this end instead.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::restarts::starts_again;

/// The largest number of characters that are shown of a message about the end of a container. The message comes from
/// the container or from the kubelet.
const MESSAGE_LIMIT: usize = 200;

/// The reason that the kubelet reports if the kernel ended a container because there was not enough memory.
pub(crate) const OUT_OF_MEMORY: &str = "OOMKilled";

/// Lists the pods of a namespace that match the selector `labels`. An empty text selects every pod.
pub async fn pods(client: &Client, namespace: &str, labels: &str) -> Result<Vec<Pod>, Box<kube::Error>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default().labels(labels)).await?.items)
}

/// Describes the parts of a pod that the machine has ended since `before` was read. Either the kubelet evicted the pod,
/// or the kernel ended a container because there was not enough memory. No scenario intends such an end.
pub fn ended_by_the_machine(before: &Pod, after: &[Pod]) -> Vec<String> {
    let Some(now) = after.iter().find(|it| it.metadata.uid == before.metadata.uid) else { return Vec::new() };
    let name = before.name_any();
    let of_pod = evicted(now).filter(|_| evicted(before).is_none()).map(|reason| format!("pod {name}: {reason}"));
    let of_containers = containers(now).filter_map(|status| {
        let known = containers(before).find(|it| it.name == status.name).and_then(last_end);
        let how = last_end(status).filter(|it| it.reason.as_deref() == Some(OUT_OF_MEMORY))?;
        let is_new = known.is_none_or(|it| it.container_id != how.container_id);
        is_new.then(|| format!("container {} of pod {name}: {}", status.name, in_words(how)))
    });
    of_pod.into_iter().chain(of_containers).collect()
}

/// Whether a pod has the condition `Ready`: every container runs and is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|it| it.conditions.as_ref()).flatten();
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Describes the containers of the pods in `before` that had ended when `after` was read. Pods for which `meant`
/// returns true are left out, because the scenario ended them.
pub fn ended(before: &[Pod], after: &[Pod], meant: impl Fn(&Pod) -> bool) -> Vec<String> {
    let mut ends = Vec::new();
    for pod in before.iter().filter(|it| it.metadata.deletion_timestamp.is_none() && !meant(it)) {
        let ran: Vec<&ContainerStatus> = containers(pod).filter(|it| runs_well(it)).collect();
        if ran.is_empty() {
            continue;
        }
        let name = pod.name_any();
        let Some(now) = after.iter().find(|it| it.metadata.uid == pod.metadata.uid) else {
            ends.push(format!("pod {name}: it was deleted"));
            continue;
        };
        if let Some(reason) = evicted(now) {
            ends.push(format!("pod {name}: {reason}"));
            continue;
        }
        let of_containers = ran.iter().filter_map(|ran| {
            let end = match containers(now).find(|it| it.name == ran.name) {
                Some(status) if is_done(now, status) => return None,
                Some(status) => end(ran, status)?,
                None => "it is gone".to_owned(),
            };
            Some(format!("container {} of pod {name}: {end}", ran.name))
        });
        let found = ends.len();
        ends.extend(of_containers);
        if found == ends.len() && now.metadata.deletion_timestamp.is_some() {
            ends.push(format!("pod {name}: it is being deleted"));
        }
    }
    ends
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|it| it.init_container_statuses.iter().chain(&it.container_statuses).flatten())
}

/// Whether the container runs normally, and is not just between two crashes.
fn runs_well(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|it| it.running.is_some()) && (status.ready || status.restart_count == 0)
}

/// Whether the container has ended with exit code 0 and will not start again. This is so for an init container and for
/// the container of a Job.
fn is_done(pod: &Pod, status: &ContainerStatus) -> bool {
    let succeeded = status.state.as_ref().and_then(|it| it.terminated.as_ref()).is_some_and(|it| it.exit_code == 0);
    let spec = pod.spec.as_ref().filter(|_| succeeded);
    spec.is_some_and(|spec| !starts_again(spec, &status.name, 0))
}

/// The reason why the kubelet ended the whole pod, for example because the node lacks a resource. `None` if the pod has
/// not failed.
fn evicted(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let failed = status.phase.as_deref() == Some("Failed");
    let reason = status.reason.as_deref().filter(|_| failed)?;
    Some(format!("{reason}{}", message(status.message.as_deref())))
}

/// Describes how a container that was running at an earlier check (`ran`) has ended. `None` if the same instance still
/// runs.
fn end(ran: &ContainerStatus, now: &ContainerStatus) -> Option<String> {
    let state = now.state.as_ref();
    let runs = state.is_some_and(|it| it.running.is_some());
    if runs && now.restart_count == ran.restart_count && now.container_id == ran.container_id {
        return None;
    }
    let again = match now.restart_count - ran.restart_count {
        _ if !runs => ", and it does not run".to_owned(),
        ..=1 => ", and it was begun again".to_owned(),
        times => format!(", and it was begun again {times} times"),
    };
    Some(format!("{}{again}", last_end(now).map_or_else(|| "it ended, and nothing tells how".to_owned(), in_words)))
}

/// How a container last ended. `None` if it has not ended so far.
pub(crate) fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    ends(status).next()
}

/// How the instance with the id `id` of a container ended. `None` if the container's status does not contain the end of
/// this instance.
pub(crate) fn end_of<'a>(status: &'a ContainerStatus, id: &str) -> Option<&'a ContainerStateTerminated> {
    ends(status).find(|it| it.container_id.as_deref() == Some(id))
}

/// Returns the ends of instances that the status of a container contains: at most two, the latest one first.
fn ends(status: &ContainerStatus) -> impl Iterator<Item = &ContainerStateTerminated> {
    [&status.state, &status.last_state].into_iter().flatten().filter_map(|it| it.terminated.as_ref())
}

fn in_words(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or("it ended");
    let signal = ended.signal.map_or_else(String::new, |it| format!(", signal {it}"));
    format!("{reason}, exit code {}{signal}{}", ended.exit_code, message(ended.message.as_deref()))
}

fn message(said: Option<&str>) -> String {
    let said = said.unwrap_or_default().trim();
    let short: String = said.chars().take(MESSAGE_LIMIT).collect();
    if short.is_empty() { short } else { format!(" ({short})") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, statuses: &Value) -> Pod {
        let metadata = json!({ "name": "store-1", "uid": uid });
        serde_json::from_value(json!({ "metadata": metadata, "status": statuses })).expect("a pod")
    }

    fn container(restarts: i32, ready: bool, state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{"name": "minio", "image": "", "imageID": "", "ready": ready,
            "restartCount": restarts, "state": state, "lastState": last, "containerID": format!("containerd://{restarts}")}]})
    }

    fn runs(restarts: i32, last: &Value) -> Value {
        container(restarts, true, &json!({ "running": {} }), last)
    }

    fn killed(reason: &str) -> Value {
        json!({ "terminated": { "exitCode": 137, "reason": reason } })
    }

    #[test]
    fn an_end_by_the_machine_is_told_apart_from_one_by_the_program() {
        let none = json!({});
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "" });
        for (before, after, expected) in [
            (runs(0, &none), runs(1, &killed("Error")), None),
            (
                runs(0, &none),
                runs(1, &killed("OOMKilled")),
                Some("container minio of pod store-1: OOMKilled, exit code 137"),
            ),
            (runs(1, &killed("OOMKilled")), runs(1, &killed("OOMKilled")), None),
            (runs(0, &none), evicted.clone(), Some("pod store-1: Evicted")),
            (evicted.clone(), evicted, None),
        ] {
            let found = ended_by_the_machine(&pod("a", &before), &[pod("a", &after)]);
            assert_eq!(found.first().map(String::as_str), expected, "{before} {after}");
            assert!(ended_by_the_machine(&pod("a", &before), &[pod("b", &after)]).is_empty());
        }
    }

    #[test]
    fn a_container_that_completed_its_work_has_not_died() {
        let with = |policy: &str, init: &Value, state: &Value| -> Pod {
            let status = json!([{ "name": "job", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state }]);
            let (of_init, of_main) =
                if init.is_null() { ("other", "containerStatuses") } else { ("job", "initContainerStatuses") };
            let mut init = json!({ "name": of_init, "restartPolicy": init });
            if init["restartPolicy"] == json!("") {
                init.as_object_mut().expect("an object").remove("restartPolicy");
            }
            let spec = json!({ "restartPolicy": policy, "containers": [{ "name": "job" }], "initContainers": [init] });
            let metadata = json!({ "name": "worker", "uid": "a" });
            serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": { (of_main): status } }))
                .expect("a pod")
        };
        let running = json!({ "running": {} });
        let exit = |code: i32| json!({ "terminated": { "exitCode": code } });
        for (policy, init, code, died) in [
            ("Never", json!(null), 0, false),
            ("OnFailure", json!(null), 0, false),
            ("Never", json!(null), 1, true),
            ("Always", json!(null), 0, true),
            ("Always", json!(""), 0, false),
            ("Always", json!("Always"), 0, true),
        ] {
            let (before, after) = (with(policy, &init, &running), with(policy, &init, &exit(code)));
            let found = ended(&[before], &[after], |_| false);
            assert_eq!(!found.is_empty(), died, "{policy} {init} {code}: {found:?}");
        }
    }

    #[test]
    fn what_ended_since_is_told_with_its_reason_and_its_exit_code() {
        let waits = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let evicted =
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
        let none = json!({});
        for (before, uid, after, expected) in [
            (runs(0, &none), "a", runs(0, &none), None),
            // An end that happened before the first check is not reported.
            (runs(1, &killed("Error")), "a", runs(1, &killed("Error")), None),
            (
                runs(0, &none),
                "a",
                runs(1, &killed("OOMKilled")),
                Some("container minio of pod store-1: OOMKilled, exit code 137, and it was begun again"),
            ),
            (
                runs(0, &none),
                "a",
                runs(3, &killed("Error")),
                Some("container minio of pod store-1: Error, exit code 137, and it was begun again 3 times"),
            ),
            (
                runs(0, &none),
                "a",
                container(0, false, &killed("Error"), &none),
                Some("container minio of pod store-1: Error, exit code 137, and it does not run"),
            ),
            (
                runs(0, &none),
                "a",
                container(0, false, &waits, &killed("Error")),
                Some("container minio of pod store-1: Error, exit code 137, and it does not run"),
            ),
            (runs(0, &none), "b", runs(0, &none), Some("pod store-1: it was deleted")),
            (runs(0, &none), "a", evicted, Some("pod store-1: Evicted (The node was low on resource: memory.)")),
            // The first container was already crashing at the first check. The second one has completed its work, so it
            // is not expected to run.
            (container(4, false, &json!({ "running": {} }), &killed("Error")), "a", runs(5, &killed("Error")), None),
            (container(0, false, &json!({ "terminated": { "exitCode": 0 } }), &none), "b", runs(0, &none), None),
        ] {
            let found = ended(&[pod("a", &before)], &[pod(uid, &after)], |_| false);
            assert_eq!(found.first().map(String::as_str), expected, "{before} {after}");
            assert!(ended(&[pod("a", &before)], &[pod(uid, &after)], |_| true).is_empty());
        }
    }
}
