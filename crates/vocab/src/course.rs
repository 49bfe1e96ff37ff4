//! Details of a step in the record, in addition to the step's last question and answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tally::Tally;

/// Details of a step. Each field may be empty, because most steps have only a few of these details.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// The step's `expect`, with all references (`{{ }}`) replaced by values. It is recorded so that the step can be
    /// judged again from the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Value>,
    /// What the step observed, for example a Kubernetes object. Present only for a step that sends no question to a
    /// vantage and reads no prober.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Value>,
    /// The values that the step captured for later steps, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
    /// The number of tries in a row that held at the end of the step. Present only if the step requires that several
    /// tries in a row hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_row: Option<u32>,
    /// How long the expectation held. Present only if the step requires that the expectation holds for a span of time
    /// (`consistently`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Further lines for people. For example: the fields in which an object differs from the expectation, the last
    /// lines of a log, Kubernetes events, or the changes that an action made.
    #[serde(rename = "told", default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The vulnerability that the step demonstrated. Present only if the attack of the step succeeded in the version
    /// under test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The cell of a report's table that the result of this step fills (`shows` in the scenario).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<Shows>,
    /// The advisory of the vulnerability that the step tried to demonstrate. Present only if the attack failed, so that
    /// the version under test is not vulnerable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// Statistics of a prober's outcomes. Present only for a step that reads a prober.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
    /// The events in the system under test that the step observed (for example the end of a pod), each with its time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<Moment>,
    /// Statistics of a number that each round of a `repeat` measured. Present only if the scenario gives the number a
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// The reason why the step could not be carried out as intended. If it is present, the step's round of the `repeat`
    /// is void and is run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// The round of the `repeat` to which the step belongs. `None` for a step outside a `repeat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// The first broken link in the chain of web identity (token, issuer, keys, role), with its fix. Present only if a
    /// token exchange failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A known vulnerability that a step demonstrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The id of the advisory, or another description of the vulnerability.
    pub advisory: String,
    /// What the vulnerability means for users of the version under test.
    pub means: String,
    /// What users should do or use instead.
    pub instead: String,
}

/// The cell of a report's table that the result of a step fills. If the step fails in a break, it fills a cell only if
/// the break itself has `shows` for the step: `change: { flow: { STEP: { shows: … } } }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shows {
    /// The title of the table. The title `stores` means the table of `parallax stores`, whose rows and columns are in
    /// `scenarios/stores/table.yaml`.
    pub table: String,
    /// The row of the cell. A row is for one subject, which is something that is tried, for example an operation.
    pub row: String,
    /// The column of the cell: where or with what the subject of the row is tried, for example a store.
    pub column: String,
    /// The text of the cell for a subject that works in another way than people expect. The text says in which way it
    /// works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// The text of the cell for a subject that does not work at all. The text says what happens instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Course {
    /// Whether all details are empty.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Statistics of a number that each round of a `repeat` measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The name that the scenario gives to the number that the rounds measured.
    pub name: String,
    /// The id of the `repeat` step whose rounds measured the number.
    pub of: String,
    /// The unit of the measured number, for example `ms`; empty if the scenario gives none.
    pub unit: String,
    /// The number of measured values. Each round that is not void has one.
    pub count: usize,
    /// The smallest measured value.
    pub least: f64,
    /// The median of the measured values; for an even count, the lower of the two middle values.
    pub median: f64,
    /// The largest measured value.
    pub worst: f64,
    /// The number of the round with the largest value, counted from 1. If several rounds have the largest value, the
    /// number of the first of them.
    pub worst_round: usize,
    /// The number of void rounds, which were run again.
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

/// An event in the system under test (for example the end of a pod), with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// The time at which the event happened, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The event in words, for example `pod writer-0 is gone`.
    pub what: String,
}

/// How long the expectation of a step held. The step requires that the expectation holds for a span of time
/// (`consistently`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// How long the expectation must hold (`consistently: 3s`), in milliseconds.
    pub span_ms: u64,
    /// The time for which the expectation held, in milliseconds: from the first try that held to the last one, or to
    /// the try that failed.
    pub held_ms: u64,
    /// The number of tries in the span in which the expectation held.
    pub tries: u32,
    /// The number of the try that failed within the span, counted from the step's first try. `None` if no try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<u32>,
}

/// One round of a `repeat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// The id of the `repeat` step.
    pub of: String,
    /// The number of this round, counted from 1.
    pub number: u32,
    /// The number of rounds that the `repeat` has.
    pub times: u32,
    /// The seed from which the random delays of the round are made.
    pub seed: u64,
    /// The random delay before this step, in milliseconds. `None` if the scenario asks for no random delay here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}
