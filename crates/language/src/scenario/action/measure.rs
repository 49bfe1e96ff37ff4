//! `measure`: measures a number that a step captured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{ProberOf, Source};
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Measure a number that a step captured, or the difference of two captured numbers. Later steps can capture the result
/// from `/value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MeasureStep {
    /// The number to measure: `"{{ step.capture }}"`.
    pub of: Template,
    /// A number to subtract from `of`: `"{{ step.capture }}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less: Option<Template>,
}

parts!(MeasureStep { of, less });

impl Kinded for MeasureStep {
    const NATURE: Nature = Nature::look(&["mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Directs for MeasureStep {
    fn starts(&self) -> Option<&dyn Asks> {
        None
    }

    fn counts(&self) -> Option<&ProberOf> {
        None
    }
}

impl Rules for MeasureStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Measure]
    }

    /// A measured number needs no `expect` here, because a later `figures` step can judge it.
    fn needs_expect(&self) -> bool {
        false
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if self.of.references().is_ok_and(<[_]>::is_empty) {
            let error = judge.error("/measure/of", format!("`{}` does not refer to a step", self.of.as_str()));
            errors.push(error.fix("refer to a capture of a step: `\"{{ step.capture }}\"`"));
        }
    }
}
