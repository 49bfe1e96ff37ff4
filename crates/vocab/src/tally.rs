//! Statistics of a prober's outcomes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;

/// The statistics of one series. Times are milliseconds since the prober began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The time at which the prober began, in milliseconds since the Unix epoch, by the clock of the vantage.
    pub began_unix_ms: u64,
    /// The time for which the prober has been asking.
    pub asked_for_ms: u64,
    /// The number of all outcomes, successes and failures.
    pub count: u64,
    /// The number of outcomes that did not match the expectation.
    pub failures: u64,
    /// The number of questions that were due but not asked, because too many were unanswered.
    pub dropped: u64,
    /// The number of questions without an outcome yet.
    pub in_flight: usize,
    /// The number of answers of a store. No trace confirms these answers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub of_a_store: u64,
    /// The longest time without a success.
    pub longest_gap: Gap,
    /// Median duration of a success.
    pub median_ms: u64,
    /// Longest duration of a success.
    pub worst_ms: u64,
    /// The longest delay between the time at which a question was due and the time at which it was asked.
    pub late_ms: u64,
    /// The causes of failures, in the order of their first occurrence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Failing>,
    /// The leaf certificates, in the order of their first occurrence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<Serving>,
}

/// A time without a success: from one success to the next, or from the start of the series, or to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The length of the gap.
    pub took_ms: u64,
    /// The time at which the gap begins.
    pub from_ms: u64,
    /// The time at which the gap ends.
    pub to_ms: u64,
}

/// How often, and from when to when, one cause of failure occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// The cause, with the details of its first occurrence.
    pub cause: Cause,
    /// The number of occurrences.
    pub count: u64,
    /// Time of the first occurrence.
    pub first_ms: u64,
    /// Time of the last occurrence.
    pub last_ms: u64,
}

/// How often, and from when to when, one leaf certificate was served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// The serial number of the certificate, in lower-case hexadecimal.
    pub serial: String,
    /// The number of times that the certificate was seen.
    pub count: u64,
    /// The time at which the certificate was first seen.
    pub first_ms: u64,
    /// The time at which the certificate was last seen.
    pub last_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        times(f, &self.cause, self.count, self.first_ms, self.last_ms)
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        times(f, &self.serial, self.count, self.first_ms, self.last_ms)
    }
}

/// Writes `WHAT, COUNT times from FIRST to LAST`.
fn times(f: &mut fmt::Formatter<'_>, what: &dyn fmt::Display, count: u64, first_ms: u64, last_ms: u64) -> fmt::Result {
    match count {
        1 => write!(f, "{what}, once at {}", Instant(first_ms)),
        _ => write!(f, "{what}, {count} times from {} to {}", Instant(first_ms), Instant(last_ms)),
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms, from {} to {}", self.took_ms, Instant(self.from_ms), Instant(self.to_ms))
    }
}

/// A time since the prober began, displayed in seconds.
struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1000, self.0 % 1000)
    }
}
