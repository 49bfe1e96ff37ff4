//! `figures`: judges numbers that the rounds of a repeat captured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{ProberOf, Source};
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Judge a list of numbers that the rounds of a repeat captured: their count, their median and their worst value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FiguresStep {
    /// The list of numbers: `"{{ step.capture }}"`, where `step` is a step within a repeat.
    pub of: Template,
    /// A name for what the numbers measure, for example `recovery time`. With a name, the report shows their count,
    /// median and worst value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The unit of the numbers, for the report: `ms`, `rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

parts!(FiguresStep { of, name, unit });

impl Kinded for FiguresStep {
    const NATURE: Nature = Nature::look(&["mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Directs for FiguresStep {
    fn starts(&self) -> Option<&dyn Asks> {
        None
    }

    fn counts(&self) -> Option<&ProberOf> {
        None
    }
}

impl Rules for FiguresStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Figures]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if self.of.references().is_ok_and(<[_]>::is_empty) {
            let error = judge.error("/figures/of", format!("`{}` does not refer to a step", self.of.as_str()));
            errors.push(error.fix("refer to a capture of a step within a repeat: `\"{{ step.capture }}\"`"));
        }
        if self.unit.is_some() && self.name.is_none() {
            let message = "the report shows only figures with a name, so `unit` has no effect".to_owned();
            let error = judge.key_error("/figures/unit", message);
            errors.push(error.fix("add `name:` and say what the numbers measure"));
        }
    }
}
