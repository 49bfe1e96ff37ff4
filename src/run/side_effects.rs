//! Records the effects of a flow on its environment: the pods that it ended on purpose, the objects that it created,
//! and whether it may have written to a store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use parallax_language::scenario::Kind;
use parallax_language::scenario::action::{Alters, Effect, Reach, Touched};
use parallax_language::scenario::target::Which;
use parallax_vocab::question::Probe;

/// The kinds of objects that run programs.
const RUN: [&str; 7] = ["Pod", "Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "Job", "CronJob"];

/// What a flow last did to a node, or to a container outside the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The flow ended the node or the container. The node or the container may stay ended.
    Ended,
    /// The flow started the node or the container. The node or the container must run from then on.
    Started,
}

/// The effects of one flow on its environment, which the flow's steps record.
#[derive(Debug, Default)]
pub(super) struct SideEffects(Mutex<Done>);

/// An object that a step changes. `waits` says whether the step waits for the effect of its change. `state` says
/// whether the change may still end pods of the object.
#[derive(Debug)]
struct Acted {
    touched: Touched,
    waits: bool,
    state: State,
}

/// Whether the effect of a change to an object is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The step that makes the change is running.
    Runs,
    /// The effect of the change is complete. From now on, the pods of the object must stay alive.
    Complete,
    /// The change may still end pods at any time, because its step failed or does not wait for the effect.
    Open,
}

#[derive(Debug, Default)]
struct Done {
    acted: Vec<Acted>,
    /// What the flow last did to each node that it ended or started, by the name of the node.
    nodes: BTreeMap<String, Fate>,
    /// What the flow last did to each container outside the cluster that it ended or started. The key is the fixture's
    /// id, a dot, and the name of the container, for example `store.minio`.
    beside: BTreeMap<String, Fate>,
    /// The objects that the flow created, in the form in which the apiserver first returned them.
    made: Vec<DynamicObject>,
    /// The titles (kind and name) of the objects that the flow applied although they existed before the flow.
    changed: Vec<String>,
    wrote: bool,
    /// The kind of the first step whose change cannot be undone. `None` if every change can be undone.
    irreversible: Option<String>,
}

impl SideEffects {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a change before it is carried out. `change` contains values in place of references (`{{ }}`).
    /// `namespace` is the namespace of the variant.
    pub(super) fn note(&self, kind: Kind, change: &dyn Alters, namespace: &str) {
        let Reach { touched, node, beside, starts, waits, applied: _, within: _ } = change.reach();
        let mut done = self.done();
        let of_variant = |it: Touched| Touched { namespace: it.namespace.or_else(|| Some(namespace.to_owned())), ..it };
        let touched = touched.into_iter().map(of_variant);
        done.acted.extend(touched.map(|touched| Acted { touched, waits, state: State::Runs }));
        let fate = if starts { Fate::Started } else { Fate::Ended };
        done.nodes.extend(node.map(|it| (it.to_string(), fate)));
        done.beside.extend(beside.map(|it| (it.to_owned(), fate)));
        // An applied object needs no entry in `irreversible`. If the flow created the object, it can be deleted; if the
        // object existed before, it is listed in `changed`.
        if kind.nature().effect == Effect::Changes {
            done.irreversible.get_or_insert_with(|| kind.to_string());
        }
    }

    /// Records that the step whose changes were recorded last has ended. If the step failed, its effect is unknown, so
    /// its changes may still end pods.
    pub(super) fn step_ended(&self, has_passed: bool) {
        for it in self.done().acted.iter_mut().filter(|it| it.state == State::Runs) {
            it.state = if it.waits && has_passed { State::Complete } else { State::Open };
        }
    }

    /// Records a question before it is asked, because the question may write to a store.
    pub(super) fn asked(&self, probe: &Probe) {
        if probe.facts().may_write {
            self.done().wrote = true;
        }
    }

    /// Records an object that a step applied. `there` says whether the object existed before this flow.
    pub(super) fn applied(&self, object: &DynamicObject, there: bool) {
        let mut done = self.done();
        // Objects of the kinds in [`RUN`] run a program, and the program may write to a store.
        done.wrote |= object.types.as_ref().is_some_and(|it| RUN.contains(&it.kind.as_str()));
        if done.made.iter().any(|it| it.metadata.uid == object.metadata.uid) {
            return;
        }
        if there {
            let kind = object.types.as_ref().map_or("object", |it| it.kind.as_str());
            done.changed.push(format!("{kind} {}", object.name_any()));
        } else {
            done.made.push(object.clone());
        }
    }

    /// The kind of the first step whose change cannot be undone; `None` if every change can be undone.
    pub(super) fn irreversible(&self) -> Option<String> {
        self.done().irreversible.clone()
    }

    /// The objects that the flow created.
    pub(super) fn made(&self) -> Vec<DynamicObject> {
        self.done().made.clone()
    }

    /// The titles (kind and name) of the objects that the flow applied although they existed before the flow.
    pub(super) fn changed(&self) -> Vec<String> {
        self.done().changed.clone()
    }

    /// Whether the flow may have changed the contents of a store.
    pub(super) fn wrote(&self) -> bool {
        self.done().wrote
    }

    /// Whether no step of the flow has changed an object, or has ended or started a node or a container outside the
    /// cluster. Writes to a store do not count.
    pub(super) fn is_empty(&self) -> bool {
        let done = self.done();
        done.acted.is_empty() && done.nodes.is_empty() && done.beside.is_empty()
    }

    /// Whether the flow acted on a pod of the variant's namespace: on the pod itself, on its owner, or on its node.
    pub(super) fn touch(&self, pod: &Pod, namespace: &str) -> bool {
        self.touch_its_node(pod) || self.any(pod, namespace, |_| true)
    }

    /// Whether a change of the flow may still end a pod of the variant's namespace.
    pub(super) fn may_end(&self, pod: &Pod, namespace: &str) -> bool {
        self.touch_its_node(pod) || self.any(pod, namespace, |it| it != State::Complete)
    }

    /// Whether the flow ended or started the node on which a pod runs. The pods of such a node may appear and disappear
    /// at any time after that.
    pub(super) fn touch_its_node(&self, pod: &Pod) -> bool {
        let node = pod.spec.as_ref().and_then(|it| it.node_name.as_ref());
        node.is_some_and(|it| self.done().nodes.contains_key(it))
    }

    fn any(&self, pod: &Pod, namespace: &str, state: impl Fn(State) -> bool) -> bool {
        let of = |it: &&Acted| it.touched.namespace.as_deref() == Some(namespace) && state(it.state);
        self.done().acted.iter().filter(of).any(|it| touches(&it.touched, pod))
    }

    /// What the flow last did to this node; `None` if it did nothing.
    pub(super) fn to_node(&self, name: &str) -> Option<Fate> {
        self.done().nodes.get(name).copied()
    }

    /// What the flow last did to this container outside the cluster; `None` if it did nothing.
    pub(super) fn to_beside(&self, name: &str) -> Option<Fate> {
        self.done().beside.get(name).copied()
    }
}

/// Whether a pod is the object that a step changes, or belongs to this object.
fn touches(it: &Touched, pod: &Pod) -> bool {
    match &it.which {
        Which::Labels(selector) => it.kind == "Pod" && selects(selector, pod),
        Which::Name(name) if it.kind == "Pod" => pod.metadata.name.as_ref() == Some(name),
        Which::Name(name) => pod.owner_references().iter().any(|owner| {
            let direct = owner.kind == it.kind && owner.name == *name;
            // A Deployment owns its pods through a ReplicaSet. The name of the ReplicaSet is the Deployment's name, a
            // hyphen and a hash.
            let by_set = owner.kind == "ReplicaSet" && it.kind == "Deployment";
            direct || by_set && owner.name.rsplit_once('-').is_some_and(|(of, _)| of == name)
        }),
    }
}

/// Whether a label selector selects a pod. A requirement that is not an equality is assumed to match, because the
/// function does not evaluate it.
fn selects(selector: &str, pod: &Pod) -> bool {
    selector.split(',').all(|it| match it.split_once('=') {
        Some((key, value)) if !key.contains(['!', ' ']) => {
            pod.labels().get(key).map(String::as_str) == Some(value.trim_start_matches('='))
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::model::Step;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: (&str, &str)) -> Pod {
        let owner = json!({ "apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": "" });
        let metadata = json!({ "name": name, "labels": { "app": "store" }, "ownerReferences": [owner] });
        serde_json::from_value(json!({ "metadata": metadata })).expect("a pod")
    }

    fn note(effects: &SideEffects, step: &Step) {
        effects.note(step.kind(), step.action.changes().expect("a change"), "own");
    }

    #[test]
    fn a_flow_touches_the_pods_of_the_objects_that_it_acts_on() {
        let of_deployment = pod("store-5f6-abcde", ("ReplicaSet", "store-5f6"));
        let of_set = pod("db-0", ("StatefulSet", "db"));
        for (step, touches_deployment, touches_set) in [
            (json!({ "restart": { "deployment": "store" } }), true, false),
            (json!({ "scale": { "stateful-set": "db", "replicas": 0 } }), false, true),
            (json!({ "kill": { "pod": "db-0", "container": "app" } }), false, true),
            (json!({ "kill": { "pod": "app=store", "container": "app" } }), true, true),
            (json!({ "end": { "pod": "app=other", "how": "clean" } }), false, false),
            (json!({ "end": { "pod": "app=store", "how": "clean", "namespace": "other" } }), false, false),
            (json!({ "delete": { "api-version": "apps/v1", "kind": "Deployment", "name": "store" } }), true, false),
            (json!({ "delete": { "api-version": "v1", "kind": "Secret", "name": "store" } }), false, false),
            (json!({ "apply": { "objects": [{ "kind": "StatefulSet", "metadata": { "name": "db" } }] } }), false, true),
            (
                json!({ "apply": { "objects": [{ "kind": "Deployment", "metadata": { "name": "min" } }] } }),
                false,
                false,
            ),
        ] {
            let mut whole = json!({ "id": "a" });
            whole.as_object_mut().expect("a map").extend(step.as_object().expect("a map").clone());
            let step: Step = serde_json::from_value(whole).expect("a step");
            let effects = SideEffects::default();
            note(&effects, &step);
            assert_eq!(effects.touch(&of_deployment, "own"), touches_deployment, "{step:?}");
            assert_eq!(effects.touch(&of_set, "own"), touches_set, "{step:?}");
        }
    }

    #[test]
    fn a_change_whose_effect_is_complete_ends_no_pod_later() {
        let pod = pod("store-5f6-abcde", ("ReplicaSet", "store-5f6"));
        let patch = json!({ "api-version": "apps/v1", "kind": "Deployment", "name": "store", "merge": { "a": 1 } });
        for (step, has_passed, may_end) in [
            (json!({ "id": "a", "restart": { "deployment": "store" } }), true, false),
            (json!({ "id": "a", "restart": { "deployment": "store" } }), false, true),
            (json!({ "id": "a", "kill": { "pod": "app=store", "container": "app" } }), true, false),
            // A `patch` does not wait for its effect, so the controller replaces pods after the step has ended.
            (json!({ "id": "a", "patch": patch }), true, true),
        ] {
            let step: Step = serde_json::from_value(step).expect("a step");
            let effects = SideEffects::default();
            note(&effects, &step);
            assert!(effects.may_end(&pod, "own"), "{step:?}");
            effects.step_ended(has_passed);
            assert_eq!(effects.may_end(&pod, "own"), may_end, "{step:?}");
            assert!(effects.touch(&pod, "own"), "{step:?}");
            // The next step changes the same object again, so the pods of the object may end again.
            note(&effects, &step);
            assert!(effects.may_end(&pod, "own"), "{step:?}");
        }
    }

    #[test]
    fn after_a_change_that_cannot_be_undone_no_other_flow_begins() {
        for (step, irreversible) in [
            (json!({ "id": "a", "restart": { "deployment": "store" } }), Some("restart")),
            (json!({ "id": "a", "wait": { "deployment": "store" } }), None),
            (json!({ "id": "a", "apply": { "objects": [] } }), None),
        ] {
            let step: Step = serde_json::from_value(step).expect("a step");
            let effects = SideEffects::default();
            note(&effects, &step);
            assert_eq!(effects.irreversible().as_deref(), irreversible, "{step:?}");
        }
    }

    #[test]
    fn a_flow_that_ends_a_node_touches_the_node_and_its_pods() {
        let at = |node: &str| {
            let mut pod = pod("db-0", ("StatefulSet", "db"));
            pod.spec = serde_json::from_value(json!({ "nodeName": node, "containers": [] })).expect("a pod's spec");
            pod
        };
        for (step, fate) in [
            (json!({ "id": "a", "kill": { "node": "far" } }), Fate::Ended),
            (json!({ "id": "a", "end": { "node": "far", "how": "clean" } }), Fate::Ended),
            (json!({ "id": "a", "start": { "node": "far" } }), Fate::Started),
        ] {
            let step: Step = serde_json::from_value(step).expect("a step");
            let effects = SideEffects::default();
            note(&effects, &step);
            assert!(effects.touch(&at("far"), "own"), "{step:?}");
            assert!(!effects.touch(&at("node"), "own"), "{step:?}");
            assert_eq!((effects.to_node("far"), effects.to_node("node")), (Some(fate), None), "{step:?}");
            assert!(!effects.is_empty(), "{step:?}");
        }
    }
}
