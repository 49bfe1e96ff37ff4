//! `start`: starts a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, Reach, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Start a further node of the cluster that does not run: one with `late`, or one that `kill` or `end` ended. The step ends
/// when its container runs. Whether the node becomes ready is seen by a `resource` step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartStep {
    /// The name of the node.
    pub node: Template,
    /// The time limit. The default is 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

parts!(StartStep { node, within });

impl Kinded for StartStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
}

impl Alters for StartStep {
    fn reach(&self) -> Reach<'_> {
        Reach { touched: Vec::new(), node: Some(&self.node), applied: &[], within: self.within }
    }
}

impl Rules for StartStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("start", self.within, errors);
        judge.agent("start", &self.node, errors);
    }
}
