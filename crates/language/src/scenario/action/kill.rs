//! `kill`: ends the main process of a container, or a whole node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, Touched, node};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;
/// End the main process of a container through the node's container runtime, without a grace period, and wait until the
/// container has ended. The kubelet then restarts the container according to the pod's restart policy. With `node`, end
/// everything on a further node at once, as if it lost power; its Node object stays, and it does not come back before a
/// `start`. With `beside`, end a container of a fixture outside the cluster in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KillStep {
    /// The name of the pod, or labels that select exactly one pod: `app=minio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Template>,
    /// The name of the container in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Template>,
    /// The name of a further node of the cluster (`agents`), instead of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Template>,
    /// The fixture and its container outside the cluster, instead of a pod: `store.minio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// The namespace of the pod. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// The signal. A process cannot catch KILL, so with KILL the container must end with exit code 137.
    #[serde(default, skip_serializing_if = "Signal::is_kill")]
    pub signal: Signal,
    /// The time limit. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Ends the process at once. The process cannot catch it.
    #[default]
    Kill,
    /// Asks the process to end, as the kubelet does.
    Term,
    /// Interrupts the process, as Ctrl-C does.
    Int,
    /// Quits the process, as Ctrl-\ does.
    Quit,
}
impl Signal {
    /// The full name of the signal, such as `SIGKILL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
        }
    }

    /// The exit code of a process that this signal ends, if the process cannot catch the signal.
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
parts!(KillStep { pod, container, node, beside, namespace, signal, within });

impl Kinded for KillStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::POD_NODE_OR_BESIDE];
}

impl Alters for KillStep {
    fn reach(&self) -> Reach<'_> {
        let touched = self.pod.iter().map(|pod| Touched::pod(self.namespace.as_ref(), pod)).collect();
        Reach {
            touched,
            node: self.node.as_ref(),
            beside: self.beside.as_deref(),
            starts: false,
            waits: true,
            applied: &[],
            within: self.within,
        }
    }
}

impl Rules for KillStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("kill", self.within, errors);
        if let Some(pod) = &self.pod {
            judge.pod("kill", pod, errors);
            if self.container.is_none() {
                let error = judge.key_error("/kill", "`kill` names a pod, but no container".to_owned());
                errors.push(error.fix("add `container:` with the name of one of the pod's containers"));
            }
        }
        let of_pods = [
            ("container", self.container.is_some()),
            ("namespace", self.namespace.is_some()),
            ("signal", !self.signal.is_kill()),
        ];
        if let Some(name) = &self.node {
            judge.agent("kill", name, errors);
            node::refuse("kill", "node", &of_pods, judge, errors);
        }
        if let Some(name) = &self.beside {
            judge.beside("kill", name, errors);
            node::refuse("kill", "container outside the cluster", &of_pods, judge, errors);
        }
    }
}
