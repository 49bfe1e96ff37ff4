//! Spans of time in the form that people write: `5m`, `90s`, `7d`, `-1h`, `500ms`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A span of time with a sign, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    milliseconds: i64,
}

/// The units with their lengths in milliseconds, longest first. A span is printed in the first unit that divides it
/// without a remainder.
const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    /// The regular expression for a span of time in the schema.
    pub(crate) const PATTERN: &str = "^-?[0-9]+(ms|s|m|h|d)$";

    /// Returns a span of whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self { milliseconds: seconds * 1000 }
    }

    /// Returns the span for a time that was measured in milliseconds.
    pub fn milliseconds(milliseconds: u64) -> Self {
        Self { milliseconds: i64::try_from(milliseconds).unwrap_or(i64::MAX) }
    }

    /// Returns the span in milliseconds. A negative number is a time in the past.
    pub fn as_millis(self) -> i64 {
        self.milliseconds
    }

    /// Returns the span in whole seconds, rounded towards zero.
    pub fn as_seconds(self) -> i64 {
        self.milliseconds / 1000
    }

    /// Returns the span as a `Duration`. A negative span becomes zero.
    pub fn to_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.milliseconds).unwrap_or(0))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!("`{text}` is not a span of time; write a whole number and a unit: 500ms, 90s, 5m, 12h, 7d, or -1h")
        };
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit_at);
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let milliseconds = number.checked_mul(*factor).ok_or_else(wrong)?;
        Ok(Self { milliseconds })
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every unit divides zero without a remainder. Zero is printed in seconds, as people write it.
        let divides = |factor: i64| self.milliseconds % factor == 0 && (self.milliseconds != 0 || factor == 1000);
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| divides(*factor)).expect("one millisecond divides every span except zero");
        write!(f, "{}{unit}", self.milliseconds / factor)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A span of time: a whole number and a unit (ms, s, m, h, d).",
            "type": "string",
            "pattern": Self::PATTERN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_parsed_and_printed_in_the_largest_unit_that_divides_them() {
        for (text, milliseconds, printed) in [
            ("5m", 300_000, "5m"),
            ("90s", 90_000, "90s"),
            ("-1h", -3_600_000, "-1h"),
            ("500ms", 500, "500ms"),
            ("168h", 604_800_000, "7d"),
            ("0m", 0, "0s"),
        ] {
            let span: Span = text.parse().expect("valid");
            assert_eq!(span.as_millis(), milliseconds, "{text}");
            assert_eq!(span.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn an_invalid_span_is_refused() {
        for text in ["", "5", "m", "1.5h", "5 m", "5min", "1h30m", "9223372036854775807d"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
