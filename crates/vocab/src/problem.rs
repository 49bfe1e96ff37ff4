//! A difference between what a scenario declares and what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::StepId;

/// If the break declares that the step fails, [`Problem::expected`] is this text and the declared cause.
/// [`Problem::seen`] begins with the same text if the step failed.
pub const FAILURE: &str = "failure with";
/// The value of [`Problem::expected`] if the break declares that the step is blocked.
pub const BLOCKED: &str = "blocked";

/// One difference between what a scenario declares and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The id of the step that did not behave as the scenario declares.
    pub step: StepId,
    /// The place of the step's declaration, as `file:line`.
    pub place: String,
    /// What is wrong, in one sentence, with the fix if one is known.
    pub sentence: String,
    /// What the scenario declares for this step, in words.
    pub expected: String,
    /// What the run observed of this step instead, in words.
    pub seen: String,
}
