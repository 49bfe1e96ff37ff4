//! `kill`: the end of a container's main process.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;
/// End the main process of a container through the node's container runtime, which no grace period softens, and wait
/// until its end is seen. The kubelet then starts it again as the pod's restart policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KillStep {
    /// Name of the pod, or labels that select exactly one: `app=minio`.
    pub pod: Template,
    /// Name of its container.
    pub container: Template,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// The signal. Only KILL cannot be caught: with it the container must end with exit code 137.
    #[serde(default, skip_serializing_if = "Signal::is_kill")]
    pub signal: Signal,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// At once, unheard.
    #[default]
    Kill,
    /// As the kubelet asks for an end.
    Term,
    /// As Ctrl-C does.
    Int,
    /// As Ctrl-\ does.
    Quit,
}
impl Signal {
    /// Its name, `SIGKILL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
        }
    }

    /// The exit code of a process that it ends, where nothing can catch it.
    pub fn exit_code(self) -> Option<i32> {
        (self == Self::Kill).then_some(128 + 9)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_kill(&self) -> bool {
        *self == Self::Kill
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

no_parts!(Signal);
parts!(KillStep { pod, container, namespace, signal, within });

impl Kinded for KillStep {
    const NATURE: Nature = Nature::act();
}

impl Rules for KillStep {
    fn within(&self) -> Option<Span> {
        self.within
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("kill", self.within, errors);
        judge.pod("kill", &self.pod, errors);
    }
}
