//! How a step went, beyond the last thing that was asked and answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tally::Tally;

/// How a step went: each part is there only where the step asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// What was expected, with every reference replaced: so that it can be judged again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Value>,
    /// What was looked at where no vantage was asked and no prober counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Value>,
    /// What was captured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
    /// How many tries in a row held at the end, where more than one had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_row: Option<u32>,
    /// How long it held, where it had to hold for a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// What a person should see besides, a line each: places in which an object differs, last lines of a log, events,
    /// what an act did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// What it means that the step passed, where it shows an attack that this build lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The advisory whose attack did not come through, where the step was to show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// What a prober's outcomes come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
    /// What happened in the system at which instant, as far as the step saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<Moment>,
    /// What the numbers of rounds come to, where they have a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// Why the step was not done as it was meant, so that its round does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// The round of a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// Which link of the chain of web identity is to blame, with its repair, where an exchange failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A known hole that was seen open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The advisory, or where the fault is described.
    pub advisory: String,
    /// What it means for who runs this build.
    pub means: String,
    /// What to do instead.
    pub instead: String,
}

impl Course {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the numbers of rounds come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Id of the repeat whose rounds brought the numbers.
    pub of: String,
    /// In which unit.
    pub unit: String,
    /// How many numbers there are.
    pub count: usize,
    /// The least.
    pub least: f64,
    /// The median; of an even count, the lower of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub worst: f64,
    /// Which round brought the greatest, from 1; the first of several.
    pub worst_round: usize,
    /// Rounds that were void, and were run again.
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

/// An instant, and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What.
    pub what: String,
}

/// How long an expectation held that had to hold for a span (`consistently`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The span, in milliseconds.
    pub span_ms: u64,
    /// From the first try in which it held to the last in which it did, or to the one that broke it, in milliseconds.
    pub held_ms: u64,
    /// Tries in which it held.
    pub tries: u32,
    /// The try that broke it, counted from the step's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<u32>,
}

/// One round of a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// The id of the repeat.
    pub of: String,
    /// Which round, from 1.
    pub number: u32,
    /// How many there are to be.
    pub times: u32,
    /// What its moments are drawn from.
    pub seed: u64,
    /// How long after the step before it this step began, in milliseconds, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}
