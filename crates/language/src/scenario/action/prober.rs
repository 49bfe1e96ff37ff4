//! `prober`: counts the answers that a prober has received.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, Kinded, Nature, Rules};
use crate::scenario::model::{ProberOf, Source};
use crate::scenario::parts::parts;

/// Count the answers that a prober has received so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProberStep {
    /// The id of the `background` step that started the prober.
    pub of: ProberOf,
    /// `true`: stop the prober, wait for outstanding answers, and count them too. With `eventually`, the prober is
    /// stopped when the expectation holds. A prober that no step stops ends with the flow.
    #[serde(default)]
    pub stop: bool,
}

parts!(ProberStep { of, stop });

impl Kinded for ProberStep {
    const NATURE: Nature = Nature::look(&["mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Directs for ProberStep {
    fn starts(&self) -> Option<&dyn Asks> {
        None
    }

    fn counts(&self) -> Option<&ProberOf> {
        Some(&self.of)
    }
}

impl Rules for ProberStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Prober]
    }
}
