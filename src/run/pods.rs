//! Tracks the pods of a variant's namespace during its flow. A pod that appeared during the flow must stay alive, like
//! the pods of the set-up. The tracking also remembers pods that no longer exist. So a step that reads logs can report
//! that the logs of these pods can no longer be read.

use std::slice::from_ref;

use k8s_openapi::api::core::v1::Pod;
use time::OffsetDateTime;

use super::side_effects::SideEffects;
use crate::probe::lives;

/// The pods that a flow has seen so far.
#[derive(Debug)]
pub(super) struct Pods {
    namespace: String,
    known: Vec<Known>,
    /// Descriptions of the pods that ended although no step ended them.
    ended: Vec<String>,
}

/// A pod that the flow has seen.
#[derive(Debug)]
struct Known {
    /// An earlier state of the pod. Later states of the pod are compared with this state.
    pod: Pod,
    /// Whether the pod existed before the first flow. The module [`super::lives`] checks that such a pod stays alive,
    /// as long as no step touches the pod.
    is_of_set_up: bool,
    /// Whether the pod must stay alive. If a step touched the pod, this becomes true when the step has ended and the
    /// pod is ready.
    must_live: bool,
    /// The time at which the harness first saw that the pod no longer exists. `None` if the pod exists.
    gone: Option<OffsetDateTime>,
}

impl Pods {
    /// Begins to track `pods`, the pods before a flow. No step has touched any of these pods yet.
    pub(super) fn before(pods: &[Pod], namespace: &str) -> Self {
        let known = pods.iter().map(|pod| Known::new(pod.clone(), true)).collect();
        Self { namespace: namespace.to_owned(), known, ended: Vec::new() }
    }

    /// Compares the tracked pods with the pods that exist at the time `at` (`now`). `acted` is about the step that has
    /// just ended: `None` if the step changes nothing, otherwise whether the step passed.
    ///
    /// The step itself may have ended the pods that it touched, so their end is not reported. After this call, the
    /// touched pods must stay alive. There are two exceptions: the step failed, or the step is of a kind that does not
    /// wait for its effect.
    pub(super) fn look(&mut self, now: &[Pod], at: OffsetDateTime, effects: &SideEffects, acted: Option<bool>) {
        let Self { namespace, known, ended } = self;
        for it in known.iter_mut().filter(|it| it.must_live) {
            it.must_live = !effects.may_end(&it.pod, namespace);
            let found = if it.must_live { lives::ended(from_ref(&it.pod), now, |_| false) } else { Vec::new() };
            it.must_live &= found.is_empty();
            ended.extend(found);
        }
        for it in known.iter().filter(|it| !it.must_live && it.gone.is_none()) {
            let elsewhere = it.is_of_set_up && !effects.touch(&it.pod, namespace);
            if !elsewhere && !effects.touch_its_node(&it.pod) {
                ended.extend(lives::ended_by_the_machine(&it.pod, now));
            }
        }
        if let Some(has_passed) = acted {
            effects.step_ended(has_passed);
        }
        for pod in now {
            let index = known.iter().position(|it| it.pod.metadata.uid == pod.metadata.uid).unwrap_or_else(|| {
                known.push(Known::new(pod.clone(), false));
                known.len() - 1
            });
            let it = &mut known[index];
            // For a pod that must stay alive, the earlier state is kept, because later states are compared with this
            // state.
            if !it.must_live {
                it.pod = pod.clone();
                let settled = effects.touch(pod, namespace) && !effects.may_end(pod, namespace);
                it.must_live = settled && pod.metadata.deletion_timestamp.is_none() && lives::is_ready(pod);
            }
        }
        for it in known.iter_mut().filter(|it| it.gone.is_none()) {
            if now.iter().all(|pod| pod.metadata.uid != it.pod.metadata.uid) {
                (it.gone, it.must_live) = (Some(at), false);
            }
        }
    }

    /// Descriptions of the pods that ended although no step ended them. A pod that appeared and ended between two calls
    /// of `look` is not among them.
    pub(super) fn ended(&self) -> &[String] {
        &self.ended
    }

    /// The pods whose logs may contain lines after `since`: the pods that exist, and the pods that disappeared after
    /// `since`.
    pub(super) fn after(&self, since: Option<OffsetDateTime>) -> impl Iterator<Item = &Pod> {
        let counts = move |it: &&Known| it.gone.zip(since).is_none_or(|(gone, since)| gone > since);
        self.known.iter().filter(counts).map(|it| &it.pod)
    }
}

impl Known {
    fn new(pod: Pod, is_of_set_up: bool) -> Self {
        Self { pod, is_of_set_up, must_live: false, gone: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use parallax_language::scenario::model::Step;

    /// A pod of the Deployment `store`, whose container has restarted `restarts` times. If `restarts` is `None`, the
    /// pod is not ready yet.
    fn pod(uid: &str, restarts: Option<i32>) -> Pod {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-1", "uid": "" });
        let metadata = json!({ "name": uid, "uid": uid, "ownerReferences": [owner] });
        let state = if restarts.is_some() { json!({ "running": {} }) } else { json!({ "waiting": {} }) };
        let (ready, count) = (restarts.is_some(), restarts.unwrap_or_default());
        let status = json!({ "name": "minio", "image": "", "imageID": "", "ready": ready, "restartCount": count,
            "state": state, "lastState": {}, "containerID": format!("{uid}{count}") });
        let condition = json!({ "type": "Ready", "status": if ready { "True" } else { "False" } });
        let status = json!({ "conditions": [condition], "containerStatuses": [status] });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).expect("a pod")
    }

    fn killed(uid: &str, reason: &str) -> Pod {
        let mut pod = pod(uid, Some(1));
        let end = json!({ "terminated": { "exitCode": 137, "reason": reason, "containerID": "before" } });
        let statuses = pod.status.as_mut().and_then(|it| it.container_statuses.as_mut()).expect("statuses");
        statuses[0].last_state = serde_json::from_value(end).expect("a state");
        pod
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)
    }

    fn step(of: &Value) -> Step {
        let mut whole = json!({ "id": "a" });
        whole.as_object_mut().expect("a map").extend(of.as_object().expect("a map").clone());
        serde_json::from_value(whole).expect("a step")
    }

    /// Returns which pods count as ended although no step ended them. Each element of `looks` is the list of pods at
    /// one call of `look`: the first call is right after `step`, the others are later.
    fn after(step: &Step, has_passed: bool, looks: &[Vec<Pod>]) -> Vec<String> {
        let effects = SideEffects::default();
        let mut pods = Pods::before(&[pod("old", Some(0))], "n");
        effects.note(step.kind(), step.action.changes().expect("a change"), "n");
        for (second, now) in looks.iter().enumerate() {
            let acted = (second == 0).then_some(has_passed);
            pods.look(now, at(i64::try_from(second).unwrap_or_default()), &effects, acted);
        }
        pods.ended().to_vec()
    }

    #[test]
    fn what_a_step_replaced_must_live_from_the_end_of_the_step() {
        let restart = step(&json!({ "restart": { "deployment": "store" } }));
        let kill = step(&json!({ "kill": { "pod": "old", "container": "minio" } }));
        let scale = step(&json!({ "scale": { "deployment": "store", "replicas": 0 } }));
        let patch = step(
            &json!({ "patch": { "api-version": "apps/v1", "kind": "Deployment", "name": "store", "merge": { "a": 1 } } }),
        );
        let (new, again) = (|| pod("new", Some(0)), || pod("new", Some(1)));
        let table = [
            ("a rollout, and its pod lives", &restart, true, vec![vec![new()], vec![new()]], 0),
            ("its pod dies later", &restart, true, vec![vec![new()], vec![again()]], 1),
            ("its pod is deleted later", &restart, true, vec![vec![new()], vec![]], 1),
            (
                "its pod is ready only later, and then dies",
                &restart,
                true,
                vec![vec![pod("new", None)], vec![new()], vec![again()]],
                1,
            ),
            (
                "its pod fails until it is ready",
                &restart,
                true,
                vec![vec![pod("new", None)], vec![pod("new", None)]],
                0,
            ),
            ("a rollout that fails", &restart, false, vec![vec![new()], vec![again()]], 0),
            (
                "a rollout that fails, and the kernel ends its pod",
                &restart,
                false,
                vec![vec![new()], vec![killed("new", "OOMKilled")]],
                1,
            ),
            (
                "a kill, and the container is started again",
                &kill,
                true,
                vec![vec![pod("old", Some(1))], vec![pod("old", Some(1))]],
                0,
            ),
            (
                "a second end that nobody asked for",
                &kill,
                true,
                vec![vec![pod("old", Some(1))], vec![pod("old", Some(2))]],
                1,
            ),
            ("no pod is left", &scale, true, vec![vec![], vec![]], 0),
            (
                "a rollout that the step does not wait for",
                &patch,
                true,
                vec![vec![pod("old", Some(0)), new()], vec![new()]],
                0,
            ),
            ("a pod of no step that ends", &scale, true, vec![vec![], vec![other(0)], vec![other(1)]], 0),
        ];
        for (what, step, has_passed, looks, count) in table {
            let ended = after(step, has_passed, &looks);
            assert_eq!(ended.len(), count, "{what}: {ended:?}");
        }
    }

    /// A pod that does not belong to the Deployment `store`, so that no step touches it.
    fn other(restarts: i32) -> Pod {
        let mut pod = pod("other", Some(restarts));
        pod.metadata.owner_references = None;
        pod
    }

    #[test]
    fn a_later_step_may_end_what_an_earlier_one_replaced() {
        let effects = SideEffects::default();
        let mut pods = Pods::before(&[pod("0", Some(0))], "n");
        let restart = step(&json!({ "restart": { "deployment": "store" } }));
        for round in 1..4 {
            effects.note(restart.kind(), restart.action.changes().expect("a change"), "n");
            pods.look(&[pod(&round.to_string(), Some(0))], at(round), &effects, Some(true));
            // Between two steps that change something, a step that changes nothing is run.
            pods.look(&[pod(&round.to_string(), Some(0))], at(round), &effects, None);
        }
        assert_eq!(pods.ended(), [""; 0]);
        pods.look(&[pod("3", Some(1))], at(4), &effects, None);
        pods.look(&[pod("3", Some(1))], at(5), &effects, None);
        assert_eq!(pods.ended().len(), 1, "{:?}", pods.ended());
    }

    #[test]
    fn a_pod_that_was_gone_before_does_not_count() {
        let effects = SideEffects::default();
        let mut pods = Pods::before(&[pod("old", Some(0))], "n");
        let restart = step(&json!({ "restart": { "deployment": "store" } }));
        effects.note(restart.kind(), restart.action.changes().expect("a change"), "n");
        pods.look(&[pod("new", Some(0))], at(10), &effects, Some(true));
        for (since, expected) in [(None, vec!["old", "new"]), (Some(9), vec!["old", "new"]), (Some(10), vec!["new"])] {
            let names: Vec<_> = pods.after(since.map(at)).filter_map(|it| it.metadata.name.as_deref()).collect();
            assert_eq!(names, expected, "{since:?}");
        }
    }
}
