//! `start`: starts a node, or a container outside the cluster.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, node, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{Parts, See, below, parts};
use crate::scenario::template::{Template, Words};

/// Start an agent node of the cluster, or a container of a fixture outside the cluster, that does not run. The target
/// is declared as `late`, or an earlier step ended it. The step ends when the container runs. A `resource` step can
/// check whether a node becomes ready. A container outside the cluster can get a new address; only other containers
/// outside the cluster learn this address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "StartStep")]
struct StartFile {
    /// The name of an agent node of the cluster (`agents`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Template>,
    /// The fixture and its container outside the cluster: `masters.second` is the container `second` of the fixture
    /// `masters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    /// The time limit of the step. The default is 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Span>,
}

/// Starts a node, or a container outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StartFile")]
pub struct StartStep {
    /// The node or the container to start.
    pub target: StartTarget,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
}

/// The target of a `start` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartTarget {
    /// A node of the cluster other than the server node.
    Node(Template),
    /// A container that a fixture runs outside the cluster: `masters.second` is the container `second` of the fixture
    /// `masters`.
    Beside(String),
}

written_as!(StartStep, StartFile);
parts!(StartStep { target as "", within });

impl TryFrom<StartFile> for StartStep {
    type Error = String;

    fn try_from(file: StartFile) -> Result<Self, String> {
        let StartFile { node, beside, within } = file;
        let target = node.map(StartTarget::Node).or(beside.map(StartTarget::Beside));
        Ok(Self { target: target.ok_or("`start` has no target")?, within })
    }
}

impl Parts for StartTarget {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Node(name) => below(at, "node", |at| name.see(at, to)),
            Self::Beside(name) => below(at, "beside", |at| name.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Node(name) => Self::Node(name.filled(words)?),
            Self::Beside(name) => Self::Beside(name.clone()),
        })
    }
}

impl Kinded for StartStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
    const ONE_OF: &'static [OneOf] = &[node::NODE_OR_BESIDE];
}

impl Alters for StartStep {
    fn reach(&self) -> Reach<'_> {
        let (node, beside) = match &self.target {
            StartTarget::Node(name) => (Some(name), None),
            StartTarget::Beside(name) => (None, Some(name.as_str())),
        };
        Reach { touched: Vec::new(), node, beside, starts: true, waits: true, applied: &[], within: self.within }
    }
}

impl Rules for StartStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("start", self.within, errors);
        match &self.target {
            StartTarget::Node(name) => judge.agent("start", name, errors),
            StartTarget::Beside(name) => judge.beside("start", name, errors),
        }
    }
}
