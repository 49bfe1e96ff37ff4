//! `repeat`: runs a group of steps in rounds. A seed decides the random delays, so that a run can be repeated with the
//! same delays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, Effect, Kinded, Nature, Rules, Step};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::ProberOf;
use crate::scenario::parts::{Parts, See};
use crate::scenario::template::Words;

/// The reserved name in `{{ round }}`, which stands for the number of the round within a repeat, starting at 1. No step
/// or fixture may have this id.
pub const ROUND: &str = "round";

/// Run a group of steps in rounds. If a step of a round does not pass, no further round is run. Within a round, a
/// capture of a step is one value. After the repeat, the capture is the list of the values of all rounds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RepeatStep {
    /// The number of rounds.
    #[schemars(range(min = 1, max = 1000))]
    pub times: u32,
    /// The seed for random delays. If it is left out, the harness chooses a seed and reports it. The option `--seed`
    /// overrides the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of rounds that may be void. A round is void if a change could not be made as intended because
    /// something else interfered, or if a prober could not measure as exactly as its step demands (`exact`). Void
    /// rounds are run again. The default is 0.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schemars(range(max = 1000))]
    pub void: u32,
    /// The steps of a round. Their ids are unique in the whole scenario.
    pub flow: Vec<Step>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// When a step of a round begins, relative to the previous step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum After {
    /// A fixed time after the previous step.
    Span(Span),
    /// A random time after the previous step. The repeat's seed decides the time.
    Random(Random),
}

/// A random delay after the previous step. The repeat's seed decides the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Random {
    /// The longest delay after the previous step. The delay is at least 0.
    pub random: Span,
}

impl After {
    /// Returns the delay after the previous step. For a random delay, this is the longest possible delay.
    pub fn span(self) -> Span {
        match self {
            Self::Span(span) => span,
            Self::Random(random) => random.random,
        }
    }
}

/// A step, and its position in the scenario.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    /// The step at this position.
    pub step: &'a Step,
    /// The JSON pointer of the step in the scenario.
    pub at: String,
    /// The `repeat` step that contains this step; `None` outside a `repeat`.
    pub group: Option<&'a Step>,
}

/// Returns all steps of a flow in the order in which they begin. The steps inside a `repeat` follow the `repeat`
/// itself.
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
    /// Visits nothing. The steps of the `repeat` are also entries of the list that [`placed`] returns, and each is
    /// visited as an entry of this list.
    fn see<'p>(&'p self, _: &mut String, _: &mut See<'_, 'p>) {}

    fn filled(&self, _: &Words<'_>) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl Kinded for RepeatStep {
    // If a step in a round fails, that step gets the verdict; the repeat itself does not fail.
    const NATURE: Nature = Nature { effect: Effect::Groups, ..Nature::look(&[]) };
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Directs for RepeatStep {
    fn starts(&self) -> Option<&dyn Asks> {
        None
    }

    fn counts(&self) -> Option<&ProberOf> {
        None
    }
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
            errors.push(error.fix("use one repeat; its number of rounds is the product of both"));
        }
        if self.flow.is_empty() {
            let error = judge.key_error("/repeat/flow", format!("`{}` has no steps", step.id));
            errors.push(error.fix("add a step to its `flow`"));
        }
        for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
            if given {
                let message = format!("a repeat has no expectation, so `{key}` has no effect here");
                errors.push(judge.key_error(&format!("/{key}"), message).fix("move it to a step of its `flow`"));
            }
        }
    }
}
