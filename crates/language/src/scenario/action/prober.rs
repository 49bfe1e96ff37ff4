//! `prober`: counts the answers that a prober has received.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, Kinded, Nature, Rules};
use crate::scenario::duration::Span;
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
    /// The largest error that the measured times may have, for example `50ms`. A busy machine makes a prober ask late
    /// and makes each answer take longer. The error is the larger of two times: the longest delay of a question, and
    /// the median duration of a success. With a larger error, the round of a `repeat` is void. Outside a `repeat`, or
    /// if too many rounds are void, the run ends with an error of the machine. By default, the error is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<Span>,
}

parts!(ProberStep { of, stop, exact });

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
