//! `start`: starts a node, or a container outside the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, node};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Start what does not run: a further node of the cluster, or a container of a fixture outside the cluster. It is `late`,
/// or an earlier step ended it. The step ends when its container runs. Whether a node becomes ready is seen by a `resource`
/// step. A container outside the cluster can get another address, which only other such containers learn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartStep {
    /// The name of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Template>,
    /// The fixture and its container outside the cluster: `masters.second`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// The time limit. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

parts!(StartStep { node, beside, within });

impl Kinded for StartStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::NODE_OR_BESIDE];
}

impl Alters for StartStep {
    fn reach(&self) -> Reach<'_> {
        Reach {
            touched: Vec::new(),
            node: self.node.as_ref(),
            beside: self.beside.as_deref(),
            starts: true,
            waits: true,
            applied: &[],
            within: self.within,
        }
    }
}

impl Rules for StartStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("start", self.within, errors);
        if let Some(name) = &self.node {
            judge.agent("start", name, errors);
        }
        if let Some(name) = &self.beside {
            judge.beside("start", name, errors);
        }
    }
}
