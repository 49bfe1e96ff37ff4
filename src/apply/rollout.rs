//! The objects for which the set-up waits, and what their states mean: a workload has rolled out, a Job is complete, a
//! pod is ready.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client};
use parallax_language::fixture::Object;
use serde_json::{Value, json};

use crate::cluster::selector;

/// A kind of object that becomes ready. Objects of all other kinds are ready when they exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    ReplicationController,
    Job,
    Pod,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::Pod,
    ];

    /// The group, the version and the name of the kind.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet"),
            Self::ReplicaSet => ("apps", "v1", "ReplicaSet"),
            Self::ReplicationController => ("", "v1", "ReplicationController"),
            Self::Job => ("batch", "v1", "Job"),
            Self::Pod => ("", "v1", "Pod"),
        }
    }

    fn of(manifest: &Value) -> Option<Self> {
        let (group, _) = manifest["apiVersion"].as_str()?.split_once('/').unwrap_or(("", ""));
        Self::ALL.into_iter().find(|it| it.parts().0 == group && manifest["kind"] == it.parts().2)
    }
}

/// An object for which the set-up waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether the cluster removes the object by itself when it is complete.
    vanishes: bool,
}

impl Part {
    /// The Deployment with this name.
    pub(super) fn deployment(namespace: &str, name: &str) -> Self {
        Self { kind: Kind::Deployment, namespace: namespace.to_owned(), name: name.to_owned(), vanishes: false }
    }

    /// The part for an object of a fixture. `None` if the object is ready as soon as it exists. An object without
    /// `metadata.namespace` belongs to `namespace`.
    pub(super) fn of(object: &Object, namespace: &str) -> Option<Self> {
        let manifest = &object.manifest;
        Some(Self {
            kind: Kind::of(manifest)?,
            namespace: manifest["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned(),
            name: manifest["metadata"]["name"].as_str()?.to_owned(),
            vanishes: manifest["spec"]["ttlSecondsAfterFinished"].is_number(),
        })
    }

    /// The object in words, for messages.
    pub(super) fn title(&self) -> String {
        format!("{} {} in namespace {}", self.kind.parts().2, self.name, self.namespace)
    }

    /// The API for the object. The objects are untyped, because one function reads the states of all kinds.
    pub(super) fn api(&self, client: &Client) -> Api<DynamicObject> {
        let (group, version, kind) = self.kind.parts();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(client.clone(), &self.namespace, &resource)
    }

    /// Whether the pods of the object may fail and be replaced by others. Kubernetes itself decides then when the object
    /// has failed.
    pub(super) fn tries_again(&self) -> bool {
        self.kind == Kind::Job
    }

    /// The pods of the object. `None` if the object selects none.
    pub(super) fn pods(&self, seen: &DynamicObject) -> Option<watcher::Config> {
        if self.kind == Kind::Pod {
            return Some(watcher::Config::default().fields(&format!("metadata.name={}", self.name)));
        }
        self.labels(seen).map(|labels| watcher::Config::default().labels(&labels))
    }

    /// The label selector by which the object finds its pods. `None` for a pod, and for an object without a selector.
    pub(super) fn labels(&self, seen: &DynamicObject) -> Option<String> {
        let selected = &seen.data["spec"]["selector"];
        let labels: LabelSelector = match self.kind {
            Kind::Pod => return None,
            Kind::ReplicationController => serde_json::from_value(json!({ "matchLabels": selected })).ok()?,
            _ => serde_json::from_value(selected.clone()).ok()?,
        };
        selector(labels).ok()
    }

    /// What the state of the object means. `None` stands for an object that does not exist. For an object that vanishes
    /// by itself, [`Self::left`] decides then.
    pub(super) fn state(&self, seen: Option<&DynamicObject>) -> State {
        match seen {
            Some(seen) => state(self.kind, seen.metadata.generation.unwrap_or(0), &seen.data),
            None => State::Pending("it does not exist".to_owned()),
        }
    }

    /// Whether the object is gone because the cluster removed it after its end.
    pub(super) fn is_gone(&self, seen: Option<&DynamicObject>) -> bool {
        self.vanishes && seen.is_none()
    }

    /// What the newest event about the end of a Job says: the cluster removes a failed Job, too. `None` if there is none.
    pub(super) fn left(mut events: Vec<Event>) -> Option<State> {
        // A Job of the same name may have been there before.
        events.sort_by_key(|it| it.last_timestamp.as_ref().map(|at| at.0));
        events.iter().rev().find_map(|it| match it.reason.as_deref()? {
            "Completed" => Some(State::Ready),
            "BackoffLimitExceeded"
            | "DeadlineExceeded"
            | "PodFailurePolicy"
            | "MaxFailedIndexesExceeded"
            | "FailedIndexes" => Some(State::Failed(it.message.clone().unwrap_or_else(|| "it failed".to_owned()))),
            _ => None,
        })
    }
}

/// What the state of an object means for the wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// The object may still become ready. The text says what is missing.
    Pending(String),
    /// The object has failed for good. The text is the reason.
    Failed(String),
}

impl State {
    /// Whether nothing is to be waited for any more.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Self::Pending(_))
    }
}

/// The state of an object of a kind, of its newest generation. The rules are those of `helm install --wait` and
/// `kubectl rollout status`: no older pod is left, and a workload that is paused, or that its user rolls out, is not
/// waited for.
fn state(kind: Kind, generation: i64, it: &Value) -> State {
    let (spec, status) = (&it["spec"], &it["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let by_user = spec["updateStrategy"]["type"] == "OnDelete";
    let (observed, available) = (number(&status["observedGeneration"]), number(&status["availableReplicas"]));
    let (updated, all) = (number(&status["updatedReplicas"]), number(&status["replicas"]));
    match kind {
        Kind::Deployment if spec["paused"] == true => State::Ready,
        Kind::Deployment => {
            // Until no older pod is left, the number of available pods includes older ones.
            let is_new = updated >= wanted && all <= updated;
            rolled_out(observed >= generation && is_new, (available, wanted), "replicas")
        }
        Kind::StatefulSet => {
            // If all pods of a StatefulSet have the same revision, its status omits the number of updated pods.
            let same = status["currentRevision"] == status["updateRevision"];
            let updated = if same { all } else { updated };
            let kept = number(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
            let is_new = by_user || updated >= wanted - kept;
            rolled_out(observed >= generation && is_new, (available, wanted), "replicas")
        }
        Kind::DaemonSet => {
            let wanted = number(&status["desiredNumberScheduled"]);
            let is_new = by_user || number(&status["updatedNumberScheduled"]) >= wanted;
            rolled_out(observed >= generation && is_new, (number(&status["numberAvailable"]), wanted), "pods")
        }
        Kind::ReplicaSet | Kind::ReplicationController => {
            rolled_out(observed >= generation, (available, wanted), "replicas")
        }
        Kind::Job => {
            let holds = |kind: &str| condition(status, kind).is_some_and(|it| it["status"] == "True");
            if holds("Complete") || holds("SuccessCriteriaMet") || spec["suspend"] == true {
                State::Ready
            } else if holds("Failed") {
                let why = condition(status, "Failed").and_then(|it| it["message"].as_str()).unwrap_or("it failed");
                State::Failed(why.to_owned())
            } else {
                let wanted = spec["completions"].as_i64().unwrap_or(1);
                State::Pending(format!("{} of {wanted} pods have succeeded", number(&status["succeeded"])))
            }
        }
        Kind::Pod => {
            let phase = status["phase"].as_str().unwrap_or("unknown");
            let is_ready = condition(status, "Ready").is_some_and(|it| it["status"] == "True");
            match phase {
                "Succeeded" => State::Ready,
                "Failed" => State::Failed("it failed".to_owned()),
                _ if is_ready => State::Ready,
                _ => State::Pending(format!("it is not ready, and its phase is {phase}")),
            }
        }
    }
}

fn rolled_out(is_new: bool, (available, wanted): (i64, i64), what: &str) -> State {
    if is_new && available >= wanted {
        return State::Ready;
    }
    let old = if !is_new && available >= wanted { ", and not all of them are new" } else { "" };
    State::Pending(format!("{available} of {wanted} {what} are available{old}"))
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|it| it["type"] == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(says: &str) -> State {
        State::Pending(says.to_owned())
    }

    #[test]
    fn an_object_is_ready_when_all_of_its_newest_generation_is_there() {
        let conditions = |kind: &str| json!([{ "type": kind, "status": "True", "message": "too many failed" }]);
        let one = json!({ "replicas": 1 });
        for (kind, spec, status, expected) in [
            (
                Kind::Deployment,
                one.clone(),
                json!({ "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }),
                State::Ready,
            ),
            // The available pod is the older one.
            (
                Kind::Deployment,
                one.clone(),
                json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1 }),
                pending("1 of 1 replicas are available, and not all of them are new"),
            ),
            (
                Kind::Deployment,
                one.clone(),
                json!({ "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }),
                pending("1 of 1 replicas are available, and not all of them are new"),
            ),
            (Kind::Deployment, json!({}), json!({}), pending("0 of 1 replicas are available")),
            (Kind::Deployment, json!({ "paused": true }), json!({}), State::Ready),
            (Kind::Deployment, json!({ "replicas": 0 }), json!({ "observedGeneration": 2 }), State::Ready),
            (
                Kind::StatefulSet,
                json!({ "replicas": 2 }),
                json!({ "observedGeneration": 2, "replicas": 2, "availableReplicas": 2, "currentRevision": "b", "updateRevision": "b" }),
                State::Ready,
            ),
            (
                Kind::StatefulSet,
                json!({ "replicas": 2 }),
                json!({ "observedGeneration": 2, "replicas": 2, "availableReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" }),
                pending("2 of 2 replicas are available, and not all of them are new"),
            ),
            (
                Kind::StatefulSet,
                json!({ "replicas": 2, "updateStrategy": { "rollingUpdate": { "partition": 1 } } }),
                json!({ "observedGeneration": 2, "replicas": 2, "availableReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" }),
                State::Ready,
            ),
            (
                Kind::DaemonSet,
                json!({}),
                json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1 }),
                pending("1 of 2 pods are available"),
            ),
            (
                Kind::DaemonSet,
                json!({ "updateStrategy": { "type": "OnDelete" } }),
                json!({ "observedGeneration": 2, "desiredNumberScheduled": 2, "numberAvailable": 2 }),
                State::Ready,
            ),
            // The controller has not looked at the DaemonSet yet.
            (Kind::DaemonSet, json!({}), json!({}), pending("0 of 0 pods are available, and not all of them are new")),
            (
                Kind::ReplicationController,
                one,
                json!({ "observedGeneration": 2, "availableReplicas": 1 }),
                State::Ready,
            ),
            (Kind::Job, json!({}), json!({ "conditions": conditions("Complete") }), State::Ready),
            (
                Kind::Job,
                json!({}),
                json!({ "conditions": conditions("Failed") }),
                State::Failed("too many failed".to_owned()),
            ),
            (
                Kind::Job,
                json!({ "completions": 3 }),
                json!({ "succeeded": 1, "failed": 2 }),
                pending("1 of 3 pods have succeeded"),
            ),
            (Kind::Job, json!({ "suspend": true }), json!({}), State::Ready),
            (Kind::Pod, json!({}), json!({ "phase": "Running", "conditions": conditions("Ready") }), State::Ready),
            (Kind::Pod, json!({}), json!({ "phase": "Running" }), pending("it is not ready, and its phase is Running")),
            (Kind::Pod, json!({}), json!({ "phase": "Succeeded" }), State::Ready),
            (Kind::Pod, json!({}), json!({ "phase": "Failed" }), State::Failed("it failed".to_owned())),
        ] {
            let object = json!({ "spec": spec, "status": status });
            assert_eq!(state(kind, 2, &object), expected, "{kind:?} {object}");
        }
    }

    #[test]
    fn only_kinds_that_become_ready_are_waited_for() {
        let part = |manifest: Value| Part::of(&Object { manifest, place: String::new() }, "n");
        let named = |api: &str, kind: &str| json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "a" } });
        for kind in Kind::ALL {
            let (group, version, name) = kind.parts();
            let api = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            let part = part(named(&api, name)).expect("a part");
            assert_eq!((part.kind, part.title()), (kind, format!("{name} a in namespace n")));
            assert_eq!(part.state(None), pending("it does not exist"));
        }
        for (api, kind) in [("v1", "ConfigMap"), ("example.com/v1", "Deployment"), ("batch/v1", "CronJob")] {
            assert_eq!(part(named(api, kind)), None, "{api} {kind}");
        }
        let mut job = named("batch/v1", "Job");
        job["metadata"]["namespace"] = "other".into();
        job["spec"] = json!({ "ttlSecondsAfterFinished": 0 });
        let job = part(job).expect("a part");
        assert_eq!((job.namespace.as_str(), job.is_gone(None)), ("other", true));
    }

    #[test]
    fn a_job_that_is_gone_was_complete_or_has_failed() {
        let event = |reason: &str, second: u32| -> Event {
            let at = format!("2026-01-01T00:00:{second:02}Z");
            let it = json!({ "reason": reason, "message": "why", "lastTimestamp": at, "involvedObject": {}, "metadata": {} });
            serde_json::from_value(it).expect("an event")
        };
        let failed = State::Failed("why".to_owned());
        for (events, expected) in [
            (vec![], None),
            (vec![event("SuccessfulCreate", 1)], None),
            (vec![event("SuccessfulCreate", 1), event("Completed", 2)], Some(State::Ready)),
            (vec![event("BackoffLimitExceeded", 3), event("Completed", 2)], Some(failed)),
        ] {
            assert_eq!(Part::left(events), expected);
        }
    }

    #[test]
    fn the_pods_of_an_object_are_found_by_its_selector() {
        let seen = |selector: Value| {
            let it = json!({ "apiVersion": "v1", "kind": "X", "metadata": { "name": "a" }, "spec": { "selector": selector } });
            serde_json::from_value::<DynamicObject>(it).expect("an object")
        };
        let part = |kind| Part { kind, ..Part::deployment("n", "a") };
        let labels = json!({ "app": "a" });
        let usual = seen(json!({ "matchLabels": labels }));
        assert_eq!(part(Kind::Job).labels(&usual).as_deref(), Some("app=a"));
        assert_eq!(part(Kind::ReplicationController).labels(&seen(labels)).as_deref(), Some("app=a"));
        // An empty selector of a workload selects no pods, and that of a query selects all.
        assert_eq!(part(Kind::Deployment).pods(&seen(json!({}))).map(|it| it.label_selector), None);
        let pod = part(Kind::Pod).pods(&usual).and_then(|it| it.field_selector);
        assert_eq!(pod.as_deref(), Some("metadata.name=a"));
    }
}
