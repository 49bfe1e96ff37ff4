//! Details of a step beyond its last question and answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tally::Tally;

/// Details of a step; each is present only if the step's kind or its fields call for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// The expectation with all references resolved, so that the step can be judged again from the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Value>,
    /// The observation of a step that asked neither a vantage nor a prober.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Value>,
    /// The captured values, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
    /// The number of consecutive tries that held at the end, if more than one was required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_row: Option<u32>,
    /// The time for which the expectation held, if it had to hold for a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Further lines for the user: the fields in which an object differs, the last lines of a log, events, and the
    /// changes of an action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// The vulnerability that the step demonstrated, if its attack succeeded in this build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The cell of a table that the step shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<Shows>,
    /// The advisory whose attack the step tried without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// Statistics of a prober's outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
    /// Events in the system with their times, as far as the step observed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<Moment>,
    /// Statistics of a number that was measured in each round, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// The reason why the step could not be done as intended, so that its round does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// The round of a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// The broken link in the web identity chain, with its fix, if a token exchange failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A known vulnerability that was demonstrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The advisory, or another description of the fault.
    pub advisory: String,
    /// The consequence for users of this build.
    pub means: String,
    /// The alternative that the finding recommends.
    pub instead: String,
}

/// The cell of a table that a step shows. The report makes the tables of a run from what their steps were answered. A step that
/// fails in a break shows its cell only if the break says so: `change: { flow: { STEP: { shows: … } } }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shows {
    /// The table's title. `stores` is the table of `parallax stores`, whose rows and columns are in `scenarios/stores/table.yaml`.
    pub table: String,
    /// The row: what is tried.
    pub row: String,
    /// The column: where or with what it is tried.
    pub column: String,
    /// How it works, if it works otherwise than people expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// What happens instead, if it does not work at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Course {
    /// Whether no detail is present.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Statistics of a number that each round of a `repeat` step measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The name of the measured number.
    pub name: String,
    /// Id of the `repeat` step.
    pub of: String,
    /// The unit of the values.
    pub unit: String,
    /// The number of values.
    pub count: usize,
    /// The smallest value.
    pub least: f64,
    /// The median; for an even count, the lower of the two middle values.
    pub median: f64,
    /// The largest value.
    pub worst: f64,
    /// The round with the largest value, counted from 1; the first if there are several.
    pub worst_round: usize,
    /// Number of rounds that were void and were run again.
    pub void: u32,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { unit, count, least, median, worst, worst_round, void, .. } = self;
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        write!(f, "median {median}{unit}, worst {worst}{unit} (round {worst_round}), least {least}{unit}, of {count}")?;
        match void {
            0 => Ok(()),
            1 => f.write_str("; 1 more round was void"),
            void => write!(f, "; {void} more rounds were void"),
        }
    }
}

/// An event in the system under test, with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// The time of the event, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The description of the event.
    pub what: String,
}

/// How long an expectation held that had to hold for a span (`consistently`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The duration of the span, in milliseconds.
    pub span_ms: u64,
    /// The time from the first try that held until the last one that held, or until the one that failed, in
    /// milliseconds.
    pub held_ms: u64,
    /// Number of tries that held.
    pub tries: u32,
    /// The number of the try that failed, counted from the step's first try. `None` if no try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<u32>,
}

/// One round of a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// The id of the repeat.
    pub of: String,
    /// The number of this round, from 1.
    pub number: u32,
    /// The total number of rounds.
    pub times: u32,
    /// The seed of the round's random delays.
    pub seed: u64,
    /// The delay between the previous step and this step, in milliseconds, if one was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}
