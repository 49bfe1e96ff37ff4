//! Converts durations to milliseconds, the unit of records, questions and causes.

use std::time::Duration;

/// The duration in whole milliseconds. A duration too long for `u64` becomes the largest `u64`.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_whole_and_never_too_many() {
        for (duration, expected) in
            [(Duration::from_micros(1_999), 1), (Duration::from_secs(90), 90_000), (Duration::MAX, u64::MAX)]
        {
            assert_eq!(millis(duration), expected, "{duration:?}");
        }
    }
}
