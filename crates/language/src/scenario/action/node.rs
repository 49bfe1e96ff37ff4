//! Checks that the steps `kill`, `end` and `start` share when their target is a node or a container outside the
//! cluster.

use super::{OneOf, Wrong};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::no_parts;

/// The rule that the target of an `end` step is either a pod or a node.
pub(super) const POD_OR_NODE: OneOf = OneOf {
    of: "EndStep",
    what: "target",
    keys: &["pod", "node"],
    none: |it, _| {
        let message = format!("`{}` names neither a pod nor a node", it.key);
        Wrong::key("", message, "add `pod: NAME`, or `node: NAME` with a further node of the cluster")
    },
    two: two_targets,
};

/// The rule that the target of a `kill` step is either a pod, a node or a container outside the cluster.
pub(super) const POD_NODE_OR_BESIDE: OneOf = OneOf {
    of: "KillStep",
    keys: &["pod", "node", "beside"],
    none: |it, _| {
        let message = format!("`{}` names neither a pod nor a node nor a container outside the cluster", it.key);
        let fix = "add `pod: NAME`, or `node: NAME` with a further node of the cluster, or `beside: FIXTURE.CONTAINER`";
        Wrong::key("", message, fix)
    },
    ..POD_OR_NODE
};

/// The rule that the target of a `start` step is either a node or a container outside the cluster.
pub(super) const NODE_OR_BESIDE: OneOf = OneOf {
    of: "StartStep",
    keys: &["node", "beside"],
    none: |it, _| {
        let message = format!("`{}` names neither a node nor a container outside the cluster", it.key);
        let fix = "add `node: NAME` with a further node of the cluster, or `beside: FIXTURE.CONTAINER`";
        Wrong::key("", message, fix)
    },
    ..POD_OR_NODE
};

fn two_targets(it: &super::Place<'_>, first: &str, second: &str) -> Wrong {
    let name = |key: &str| match key {
        "beside" => "a container outside the cluster",
        "node" => "a node",
        _ => "a pod",
    };
    let message = format!("`{}` names {} and {}", it.key, name(first), name(second));
    Wrong::key(&format!("/{second}"), message, "split it into two steps")
}

/// The keys of a step that have no effect because the step's target is not a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Idle(Vec<&'static str>);

no_parts!(Idle);

impl Idle {
    /// Returns the keys that the step gives. `keys` says for each key whether the step gives it.
    pub(super) fn given(keys: &[(&'static str, bool)]) -> Self {
        Self(keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect())
    }

    /// Reports each key that has no effect. `act` is the key of the step's kind. `target` describes the step's target
    /// in words.
    pub(super) fn report(&self, act: &str, target: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        for key in &self.0 {
            let message = format!("`{act}` names a {target}, so `{key}` has no effect");
            errors.push(judge.key_error(&format!("/{act}/{key}"), message).fix(format!("remove `{key}`")));
        }
    }
}
