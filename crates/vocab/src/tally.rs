//! Statistics of a prober, the probe that repeats one question at a fixed rate in the background.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;

/// Statistics of one prober. Fields that end in `_ms` are in milliseconds. Points in time count from the start of the
/// prober, except `began_unix_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The time at which the prober began, in milliseconds since the Unix epoch, by the clock of the vantage.
    pub began_unix_ms: u64,
    /// How long the prober asked its questions, in milliseconds.
    pub asked_for_ms: u64,
    /// The number of all outcomes, successes and failures.
    pub count: u64,
    /// The number of outcomes that are not as the step expects.
    pub failures: u64,
    /// The number of questions that were due but not asked, because too many questions were unanswered.
    pub dropped: u64,
    /// The number of questions that were asked and have no outcome yet.
    pub in_flight: usize,
    /// The number of answers that come from a store. The store's trace is not searched for the requests of a prober, so
    /// nothing confirms from which address these requests came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub of_a_store: u64,
    /// The longest time during which the prober had no success.
    pub longest_gap: Gap,
    /// The median of the time from a question to its answer, over all successes, in milliseconds.
    pub median_ms: u64,
    /// The longest time from a question to its answer, over all successes, in milliseconds.
    pub worst_ms: u64,
    /// The longest delay from the moment at which a question was due to the moment at which it was asked.
    pub late_ms: u64,
    /// The causes of the failures, in the order of their first occurrence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Failing>,
    /// The leaf certificates that the server presented, in the order of their first occurrence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<Serving>,
}

/// A time without a success. It begins at a success or at the start of the prober, and ends at the next success or at
/// the end of the prober.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The length of this time without a success, in milliseconds.
    pub took_ms: u64,
    /// The moment at which the time without a success begins, in milliseconds since the start of the prober.
    pub from_ms: u64,
    /// The moment at which the time without a success ends, in milliseconds since the start of the prober.
    pub to_ms: u64,
}

/// One cause of failures: how often it occurred, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// The cause, with the details of its first occurrence.
    pub cause: Cause,
    /// The number of failures with this cause.
    pub count: u64,
    /// The time of the first failure with this cause, in milliseconds since the start of the prober.
    pub first_ms: u64,
    /// The time of the last failure with this cause, in milliseconds since the start of the prober.
    pub last_ms: u64,
}

/// One leaf certificate: how often the server presented it, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// The serial number of the certificate, in lower-case hexadecimal.
    pub serial: String,
    /// The number of answers with this certificate.
    pub count: u64,
    /// The time of the first answer with this certificate, in milliseconds since the start of the prober.
    pub first_ms: u64,
    /// The time of the last answer with this certificate, in milliseconds since the start of the prober.
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

/// Writes `WHAT, COUNT times from FIRST to LAST`, or `WHAT, once at FIRST`.
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

/// A point in time, in milliseconds since the start of the prober. It is displayed in seconds.
struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1000, self.0 % 1000)
    }
}
