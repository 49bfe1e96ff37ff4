//! `kill`: ends the main process of a container, or stops a whole agent node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node::{self, Idle};
use super::role::RUNTIME;
use super::{Alters, Kinded, Nature, Needs, OneOf, Reach, Rules, Touched, Wrong, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{Parts, See, below, no_parts, parts};
use crate::scenario::template::{Template, Words};

/// End the main process of a container through the node's container runtime, without a grace period, and wait until the
/// container has ended. The kubelet then restarts the container according to the pod's restart policy. With `node`, end
/// everything on an agent node at once, as if it lost power. Its Node object stays, and the node stays off until a
/// `start` step starts it. With `beside`, end a container that a fixture runs outside the cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "KillStep")]
struct KillFile {
    /// The name of the pod, or labels that select exactly one pod: `app=minio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Template>,
    /// The name of the container in the pod. A step with `pod` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<Template>,
    /// The name of an agent node of the cluster (`agents`), instead of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Template>,
    /// A container outside the cluster, instead of a pod. `store.minio` is the container `minio` of the fixture
    /// `store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    /// The namespace of the pod. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Template>,
    /// The signal that the process receives. A process cannot catch KILL, so with KILL the container must end with exit
    /// code 137.
    #[serde(default, skip_serializing_if = "Signal::is_kill")]
    signal: Signal,
    /// The time limit of the step. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Span>,
}

/// Ends the main process of a container, or stops a whole agent node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "KillFile")]
pub struct KillStep {
    /// The container or the node to kill.
    pub target: KillTarget,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
    idle: Idle,
}

/// The target of a `kill` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillTarget {
    /// The main process of a container in a pod.
    Container {
        /// The name of the pod, or labels that select exactly one pod.
        pod: Template,
        /// The name of the container in the pod.
        container: Template,
        /// The namespace of the pod. The default is the variant's namespace.
        namespace: Option<Template>,
        /// The signal that the process receives.
        signal: Signal,
    },
    /// An agent node of the cluster, by name.
    Node(Template),
    /// A container that a fixture runs outside the cluster: `store.minio` is the container `minio` of the fixture
    /// `store`.
    Beside(String),
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Ends the process at once. The process cannot catch the signal.
    #[default]
    Kill,
    /// Asks the process to end. The kubelet sends this signal when it stops a container.
    Term,
    /// Interrupts the process, as Ctrl-C does.
    Int,
    /// Asks the process to quit, as Ctrl-\ does.
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

    /// The exit code of a process that this signal ends. `None` if the process can catch the signal, because it then
    /// chooses its exit code.
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
written_as!(KillStep, KillFile);
parts!(KillStep { target as "", within, idle });

impl TryFrom<KillFile> for KillStep {
    type Error = String;

    fn try_from(file: KillFile) -> Result<Self, String> {
        let KillFile { pod, container, node, beside, namespace, signal, within } = file;
        let of_pods =
            [("container", container.is_some()), ("namespace", namespace.is_some()), ("signal", !signal.is_kill())];
        let (target, idle) = match (pod, container, node, beside) {
            (Some(pod), Some(container), None, None) => {
                (KillTarget::Container { pod, container, namespace, signal }, Idle::default())
            }
            (None, _, Some(node), None) => (KillTarget::Node(node), Idle::given(&of_pods)),
            (None, _, None, Some(beside)) => (KillTarget::Beside(beside), Idle::given(&of_pods)),
            _ => return Err("`kill` has no target".to_owned()),
        };
        Ok(Self { target, within, idle })
    }
}

impl Parts for KillTarget {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Container { pod, container, namespace, signal: _ } => {
                below(at, "pod", |at| pod.see(at, to));
                below(at, "container", |at| container.see(at, to));
                below(at, "namespace", |at| namespace.see(at, to));
            }
            Self::Node(name) => below(at, "node", |at| name.see(at, to)),
            Self::Beside(name) => below(at, "beside", |at| name.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Container { pod, container, namespace, signal } => Self::Container {
                pod: pod.filled(words)?,
                container: container.filled(words)?,
                namespace: namespace.filled(words)?,
                signal: *signal,
            },
            Self::Node(name) => Self::Node(name.filled(words)?),
            Self::Beside(name) => Self::Beside(name.clone()),
        })
    }
}

impl Kinded for KillStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::POD_NODE_OR_BESIDE];
    const NEEDS: &'static [Needs] = &[Needs {
        of: "KillStep",
        key: "pod",
        other: "container",
        wrong: |_| {
            let message = "`kill` names a pod, but no container".to_owned();
            Wrong::key("", message, "add `container:` with the name of one of the pod's containers")
        },
    }];
}

impl Alters for KillStep {
    fn reach(&self) -> Reach<'_> {
        let (touched, node, beside) = match &self.target {
            KillTarget::Container { pod, namespace, .. } => (vec![Touched::pod(namespace.as_ref(), pod)], None, None),
            KillTarget::Node(name) => (Vec::new(), Some(name), None),
            KillTarget::Beside(name) => (Vec::new(), None, Some(name.as_str())),
        };
        Reach { touched, node, beside, starts: false, waits: true, applied: &[], within: self.within }
    }

    fn owners(&self) -> Option<&'static str> {
        matches!(self.target, KillTarget::Container { .. }).then_some(RUNTIME)
    }
}

impl Rules for KillStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("kill", self.within, errors);
        match &self.target {
            KillTarget::Container { pod, .. } => judge.pod("kill", pod, errors),
            KillTarget::Node(name) => {
                judge.agent("kill", name, errors);
                self.idle.report("kill", "node", judge, errors);
            }
            KillTarget::Beside(name) => {
                judge.beside("kill", name, errors);
                self.idle.report("kill", "container outside the cluster", judge, errors);
            }
        }
    }
}
