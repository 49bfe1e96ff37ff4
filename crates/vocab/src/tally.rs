//! What a prober's outcomes come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;

/// A series in figures. Instants are milliseconds since the prober began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// When it began, milliseconds since the Unix epoch, by the clock of the place.
    pub began_unix_ms: u64,
    /// How long it has asked.
    pub asked_for_ms: u64,
    /// Outcomes, good and bad.
    pub count: u64,
    /// Outcomes that were not as they must be.
    pub failures: u64,
    /// Questions that were due and not asked, because too many were in flight.
    pub dropped: u64,
    /// Questions without an outcome yet.
    pub in_flight: usize,
    /// The longest time without a success.
    pub longest_gap: Gap,
    /// How long a success took: the median.
    pub median_ms: u64,
    /// How long a success took: the worst.
    pub worst_ms: u64,
    /// The most by which a question was asked later than it was due.
    pub late_ms: u64,
    /// The causes of failures, in the order in which they first came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Failing>,
    /// The leaf certificates, in the order in which they first came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<Serving>,
}

/// A time without a success: from the one before to the one after, or from the beginning, or to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// How long.
    pub took_ms: u64,
    /// When the answer before it came.
    pub from_ms: u64,
    /// When the answer after it came.
    pub to_ms: u64,
}

/// One cause of failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// The cause, with the details of the first.
    pub cause: Cause,
    /// How often.
    pub count: u64,
    /// When the first came.
    pub first_ms: u64,
    /// When the last came.
    pub last_ms: u64,
}

/// One leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// Its serial number, lower-case hexadecimal.
    pub serial: String,
    /// How often it was seen.
    pub count: u64,
    /// When it was seen first.
    pub first_ms: u64,
    /// When it was seen last.
    pub last_ms: u64,
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

/// What came so many times, from the first to the last.
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

/// An instant since the prober began, as people read it.
struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1000, self.0 % 1000)
    }
}
