//! Repeating: a group of steps in rounds, with moments drawn from a seed, and figures over what the rounds captured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::scenario::duration::Span;

/// The word for the number of the round, from 1: `{{ round }}` within a repeat. No step or fixture may have it as its id.
pub const ROUND: &str = "round";

/// Run a group of steps in rounds. A round in which a step does not pass is the last. What a step captures is one value
/// within its round, and after the repeat the list of all rounds' values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RepeatStep {
    /// How many rounds.
    #[schemars(range(min = 1, max = 1000))]
    pub times: u32,
    /// What random moments are drawn from; without one it is drawn too, and reported. `--seed` overrides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// So many rounds may be void, and are run again: those in which an act could not be done as it was meant, since
    /// something came in between. None where it is left out.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schemars(range(max = 1000))]
    pub void: u32,
    /// The steps of a round. Their ids are unique in the scenario.
    pub flow: Vec<Step>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// When a step of a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum After {
    /// This long after the step before it.
    Span(Span),
    /// A moment drawn from the repeat's seed.
    Random(Random),
}

/// A moment drawn from the repeat's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Random {
    /// Somewhere within this span after the step before it.
    pub random: Span,
}

impl After {
    /// The span, and whether it is the longest there can be or the very one.
    pub fn span(self) -> Span {
        match self {
            Self::Span(span) => span,
            Self::Random(random) => random.random,
        }
    }
}

/// Judge figures: numbers that the rounds of a repeat captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FiguresStep {
    /// The list: `"{{ step.capture }}"` of a step within a repeat.
    pub of: String,
    /// What is measured, in words: with it, count, median and worst are among the figures of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The unit of the numbers: `ms`, `rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Measure: a number that a step captured, or how far two are apart. It can be captured from `/value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MeasureStep {
    /// The number: `"{{ step.capture }}"`.
    pub of: String,
    /// What is taken from it: `"{{ step.capture }}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less: Option<String>,
}

/// A bound of a number: one of the two, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NumberBound {
    /// It must be less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// It must be this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// A step where it stands.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    /// The step.
    pub step: &'a Step,
    /// Its JSON pointer in the scenario.
    pub at: String,
    /// The `repeat` step that it is in.
    pub group: Option<&'a Step>,
}

/// Every step of a flow, those within a `repeat` right after the step that holds them: the order in which they begin.
pub fn placed(flow: &[Step]) -> Vec<Placed<'_>> {
    let mut all = Vec::new();
    for (index, step) in flow.iter().enumerate() {
        let at = format!("/flow/{index}");
        let inner = step.repeat.iter().flat_map(|repeat| &repeat.flow).enumerate();
        let inner = inner.map(|(number, inner)| Placed {
            step: inner,
            at: format!("{at}/repeat/flow/{number}"),
            group: Some(step),
        });
        all.push(Placed { step, at: at.clone(), group: None });
        all.extend(inner);
    }
    all
}
