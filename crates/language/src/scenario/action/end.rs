//! `end`: the end of a pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;
/// End a pod and wait until it is gone, and keep what its containers said last. The pod's object is held by a finalizer until
/// the end of each container is seen in its status, so that no other pod of its name begins before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndStep {
    /// Name of the pod, or labels that select exactly one: `app=db`.
    pub pod: Template,
    /// How it ends.
    pub how: Ending,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As with its node: every container is killed through the node's runtime (exit code 137), and the pod deleted without
    /// grace at once. Where the kubelet began a container again in between, the step does not count: within a `repeat`
    /// its round is void and run again.
    Crash,
    /// As by `kubectl delete`: every container is asked to end and has the pod's grace period.
    Clean,
}

no_parts!(Ending);
parts!(EndStep { pod, how, namespace, within });

impl Kinded for EndStep {
    const NATURE: Nature = Nature::act();
}

impl Rules for EndStep {
    fn within(&self) -> Option<Span> {
        self.within
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("end", self.within, errors);
        judge.pod("end", &self.pod, errors);
    }
}
