//! A Deployment or a `StatefulSet`, for the steps `scale`, `restart` and `wait`.

use super::{OneOf, Touched, Wrong};
use crate::scenario::parts::{Parts, See, below};
use crate::scenario::template::{Template, Words};

/// A workload, identified by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// The Deployment with this name.
    Deployment(Template),
    /// The `StatefulSet` with this name.
    StatefulSet(Template),
}

impl Workload {
    /// Returns the workload that the step gives under `deployment` or `stateful-set`. Returns an error if the step has
    /// neither key.
    pub(super) fn of(deployment: Option<Template>, stateful_set: Option<Template>) -> Result<Self, String> {
        let given = deployment.map(Self::Deployment).or(stateful_set.map(Self::StatefulSet));
        given.ok_or_else(|| "it has no workload".to_owned())
    }

    /// Returns the workload as an object that a step changes. If `namespace` is `None`, the workload is in the
    /// variant's namespace.
    pub(super) fn touched(&self, namespace: Option<&Template>) -> Touched {
        match self {
            Self::Deployment(name) => Touched::named(namespace, "Deployment", name),
            Self::StatefulSet(name) => Touched::named(namespace, "StatefulSet", name),
        }
    }
}

impl Parts for Workload {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Deployment(name) => below(at, "deployment", |at| name.see(at, to)),
            Self::StatefulSet(name) => below(at, "stateful-set", |at| name.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Deployment(name) => Self::Deployment(name.filled(words)?),
            Self::StatefulSet(name) => Self::StatefulSet(name.filled(words)?),
        })
    }
}

/// Returns the rule that exactly one workload must be given in a step. `of` is the name of the step's type in the
/// schema.
pub(super) const fn named_once(of: &'static str) -> OneOf {
    OneOf {
        of,
        what: "workload",
        keys: &["deployment", "stateful-set"],
        none: |it, _| {
            let message = format!("`{}` has no workload", it.key);
            Wrong::key("", message, "add `deployment: NAME` or `stateful-set: NAME`")
        },
        two: |it, _, second| {
            let message = format!("`{}` names two workloads", it.key);
            Wrong::key(&format!("/{second}"), message, "split it into two steps")
        },
    }
}
