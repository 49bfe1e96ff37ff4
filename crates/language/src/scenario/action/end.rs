//! `end`: stops a pod, or removes an agent node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node::{self, Idle};
use super::role::RUNTIME;
use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, Touched, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{Parts, See, below, no_parts, parts};
use crate::scenario::template::{Template, Words};

/// End a pod, wait until it is gone, and keep the last log lines of its containers. Until every container has ended, a
/// finalizer keeps the pod's object, so no new pod of the same name starts earlier. With `node`, remove an agent node
/// from the cluster: its container ends, and then its Node object is deleted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "EndStep")]
struct EndFile {
    /// The name of the pod, or labels that select exactly one pod: `app=db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Template>,
    /// The name of an agent node of the cluster (`agents`), instead of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Template>,
    /// How the pod or the node is ended: `crash` or `clean`.
    how: Ending,
    /// The namespace of the pod. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Template>,
    /// The time limit of the step. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Span>,
}

/// Stops a pod, or removes an agent node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EndFile")]
pub struct EndStep {
    /// The pod or the agent node that is ended.
    pub target: EndTarget,
    /// How the pod or the agent node is ended.
    pub how: Ending,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
    idle: Idle,
}

/// The target of an `end` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndTarget {
    /// The step ends a pod.
    Pod {
        /// The name of the pod, or labels that select exactly one pod.
        pod: Template,
        /// The namespace of the pod. The default is the variant's namespace.
        namespace: Option<Template>,
    },
    /// An agent node of the cluster, by name.
    Node(Template),
}

/// How a pod or a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The pod ends as if its node crashed: the node's container runtime kills every container (exit code 137), and the
    /// pod is deleted at once without a grace period. If the kubelet restarts a container before the pod is deleted,
    /// the step does not count: within a `repeat` such a round is void and is run again. An agent node is killed, and
    /// its Node object is deleted, as a cloud provider does when a machine is gone.
    Crash,
    /// The pod ends as with `kubectl delete`: every container receives its stop signal and has the pod's grace period
    /// to end. An agent node is drained first, as with `kubectl drain`: it takes no new pods, and its pods are evicted,
    /// except those of `DaemonSets`.
    Clean,
}

no_parts!(Ending);
written_as!(EndStep, EndFile);
parts!(EndStep { target as "", how, within, idle });

impl TryFrom<EndFile> for EndStep {
    type Error = String;

    fn try_from(file: EndFile) -> Result<Self, String> {
        let EndFile { pod, node, how, namespace, within } = file;
        let (target, idle) = match (pod, node) {
            (Some(pod), None) => (EndTarget::Pod { pod, namespace }, Idle::default()),
            (None, Some(node)) => (EndTarget::Node(node), Idle::given(&[("namespace", namespace.is_some())])),
            _ => return Err("`end` has no target".to_owned()),
        };
        Ok(Self { target, how, within, idle })
    }
}

impl Parts for EndTarget {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Pod { pod, namespace } => {
                below(at, "pod", |at| pod.see(at, to));
                below(at, "namespace", |at| namespace.see(at, to));
            }
            Self::Node(name) => below(at, "node", |at| name.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Pod { pod, namespace } => Self::Pod { pod: pod.filled(words)?, namespace: namespace.filled(words)? },
            Self::Node(name) => Self::Node(name.filled(words)?),
        })
    }
}

impl Kinded for EndStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::POD_OR_NODE];
}

impl Alters for EndStep {
    fn reach(&self) -> Reach<'_> {
        let (touched, node) = match &self.target {
            EndTarget::Pod { pod, namespace } => (vec![Touched::pod(namespace.as_ref(), pod)], None),
            EndTarget::Node(name) => (Vec::new(), Some(name)),
        };
        Reach { touched, node, beside: None, starts: false, waits: true, applied: &[], within: self.within }
    }

    fn owners(&self) -> Option<&'static str> {
        // A finalizer keeps the pod's object while the pod ends. If the run is stopped at that time, the object is
        // removed only together with its cluster.
        let held = "a cluster that the run removes, because it holds the pod while it ends";
        Some(if self.how == Ending::Crash { RUNTIME } else { held })
    }
}

impl Rules for EndStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("end", self.within, errors);
        match &self.target {
            EndTarget::Pod { pod, .. } => judge.pod("end", pod, errors),
            EndTarget::Node(name) => {
                judge.agent("end", name, errors);
                self.idle.report("end", "node", judge, errors);
            }
        }
    }
}
