//! `repeat`: a group of steps in rounds, with moments drawn from a seed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Effect, Kinded, Nature, Rules, Step};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{Parts, See};
use crate::scenario::template::Words;

/// The word for the number of the round, from 1: `{{ round }}` within a repeat. No step or fixture may have it as its id.
pub const ROUND: &str = "round";

/// Run a group of steps in rounds. A round in which a step does not pass is the last. What a step captures is one value
/// within its round, and after the repeat the list of all rounds' values.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
        let inner = step.repeat().into_iter().flat_map(|repeat| &repeat.flow).enumerate();
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

impl Parts for RepeatStep {
    /// Its steps are steps of their own.
    fn see<'p>(&'p self, _: &mut String, _: &mut See<'_, 'p>) {}

    fn filled(&self, _: &Words<'_>) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl Kinded for RepeatStep {
    // A round's failures are those of its steps.
    const NATURE: Nature = Nature { effect: Effect::Groups, ..Nature::look(&[]) };
}

impl Rules for RepeatStep {
    fn needs_expect(&self) -> bool {
        false
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let step = judge.step;
        if let Some(group) = judge.group {
            let message = format!("`{}` is a repeat within the repeat `{}`", step.id, group.id);
            let error = judge.key_error("/repeat", message);
            errors.push(error.fix("make it one repeat, with as many rounds as both"));
        }
        if self.flow.is_empty() {
            let error = judge.key_error("/repeat/flow", format!("`{}` repeats nothing", step.id));
            errors.push(error.fix("add a step to its `flow`"));
        }
        for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
            if given {
                let message = format!("a repeat has no expectation of its own: `{key}` says nothing here");
                errors.push(judge.key_error(&format!("/{key}"), message).fix("move it to a step of its `flow`"));
            }
        }
    }
}
