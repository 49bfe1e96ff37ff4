//! What `kill`, `end` and `start` have in common when they act on a node.

use super::{OneOf, Wrong};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;

/// The rule that a step names either a pod or a node.
pub(super) const fn pod_or_node(of: &'static str) -> OneOf {
    OneOf {
        of,
        what: "target",
        keys: &["pod", "node"],
        none: |it, _| {
            let message = format!("`{}` names neither a pod nor a node", it.key);
            Wrong::key("", message, "add `pod: NAME`, or `node: NAME` with a further node of the cluster")
        },
        two: |it, _, second| {
            let message = format!("`{}` names a pod and a node", it.key);
            Wrong::key(&format!("/{second}"), message, "split it into two steps")
        },
    }
}

/// Reports the keys of a step that have no effect on a node.
pub(super) fn refuse(act: &str, keys: &[(&str, bool)], judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        let message = format!("`{act}` names a node, so `{key}` has no effect");
        errors.push(judge.key_error(&format!("/{act}/{key}"), message).fix(format!("remove `{key}`")));
    }
}
