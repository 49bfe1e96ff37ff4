//! `end`: ends a pod, or removes a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, Touched, node};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;
/// End a pod, wait until it is gone, and keep the last log lines of its containers. A finalizer keeps the pod's object
/// until its status shows that every container has ended. So no new pod of the same name starts earlier. With `node`,
/// remove a further node from the cluster: its container ends, and then its Node object is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndStep {
    /// The name of the pod, or labels that select exactly one pod: `app=db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Template>,
    /// The name of a further node of the cluster (`agents`), instead of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Template>,
    /// How it ends.
    pub how: Ending,
    /// The namespace of the pod. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// The time limit. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// How a pod or a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As if its node crashed: every container is killed through the node's container runtime (exit code 137), and the
    /// pod is deleted at once without a grace period. If the kubelet restarts a container in between, the step does not
    /// count. Within a `repeat` such a round is void and is run again. A node is killed, and its Node object is deleted,
    /// as a cloud does whose machine is gone.
    Crash,
    /// As with `kubectl delete`: every container receives its stop signal and has the pod's grace period to end. A node is
    /// drained first, as with `kubectl drain`: it takes no new pods, and its pods are evicted, except those of `DaemonSets`.
    Clean,
}

no_parts!(Ending);
parts!(EndStep { pod, node, how, namespace, within });

impl Kinded for EndStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::POD_OR_NODE];
}

impl Alters for EndStep {
    fn reach(&self) -> Reach<'_> {
        let touched = self.pod.iter().map(|pod| Touched::pod(self.namespace.as_ref(), pod)).collect();
        Reach {
            touched,
            node: self.node.as_ref(),
            beside: None,
            starts: false,
            waits: true,
            applied: &[],
            within: self.within,
        }
    }
}

impl Rules for EndStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("end", self.within, errors);
        if let Some(pod) = &self.pod {
            judge.pod("end", pod, errors);
        }
        if let Some(name) = &self.node {
            judge.agent("end", name, errors);
            node::refuse("end", "node", &[("namespace", self.namespace.is_some())], judge, errors);
        }
    }
}
