//! Records after what time the expectation of each step held in the baselines of this run. Before that moment, even a
//! baseline can show the failure that a break declares, so such a failure proves nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parallax_vocab::VariantId;

/// A safety margin that is added to the measured time. There are pauses between the tries of a baseline's step, so the
/// exact moment at which it first holds is not known.
const MARGIN: Duration = Duration::from_secs(2);

/// The time after which each step of a baseline held. The key is the scenario and the step.
#[derive(Debug, Default)]
pub(crate) struct Baselines(Mutex<BTreeMap<(String, String), Duration>>);

impl Baselines {
    /// Records that a step held after the time `took`, if its variant is a baseline. If the step runs in several rounds
    /// of a `repeat`, the longest time counts, because any of the rounds may be the one that shows the failure in a
    /// break.
    pub(super) fn held(&self, variant: &VariantId, step: &str, took: Duration) {
        if variant.change().is_none() {
            let key = (variant.as_str().to_owned(), step.to_owned());
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let longest = known.entry(key).or_default();
            *longest = took.max(*longest);
        }
    }

    /// The time for which a declared cause must last in a break's step with the time limit `within`. This time is
    /// longer than the time after which the same step of the baseline held, even if the break's limit is shorter. If
    /// the baseline's time is not known, the cause must last until the time limit.
    pub(super) fn past(&self, variant: &VariantId, step: &str, within: Duration) -> Duration {
        let key = (variant.scenario().to_owned(), step.to_owned());
        let took = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        took.map_or(
            within,
            |took| {
                if took < within { (took * 2).max(took + MARGIN).min(within) } else { took + MARGIN }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_cause_must_last_longer_than_the_baseline_shows_it() {
        let (baselines, within) = (Baselines::default(), Duration::from_secs(30));
        let past = |step: &str| baselines.past(&"a/s+b".into(), step, within).as_secs();
        assert_eq!(past("dead"), 30);
        // The variant `other` is a break and not a baseline, so the time of its step is not recorded.
        baselines.held(&"a/s+other".into(), "dead", Duration::ZERO);
        assert_eq!(past("dead"), 30);
        // For example, a token is valid for 8 s, and a break changes this to 9 s. Both variants fail for 8 s, so a
        // failure in this time does not come from the break.
        baselines.held(&"a/s".into(), "dead", Duration::from_secs(8));
        assert_eq!(past("dead"), 16);
        // A later round of a `repeat` holds at once. This does not shorten the recorded time, because another round may
        // take as long as the first one.
        baselines.held(&"a/s".into(), "dead", Duration::from_millis(20));
        assert_eq!(past("dead"), 16);
        baselines.held(&"a/s".into(), "quick", Duration::from_millis(20));
        assert_eq!(past("quick"), 2);
        baselines.held(&"a/s".into(), "slow", Duration::from_secs(29));
        assert_eq!(past("slow"), 30);
        // The break's time limit is shorter than the time that the baseline needed.
        baselines.held(&"a/s".into(), "slower", Duration::from_secs(31));
        assert_eq!(past("slower"), 33);
    }
}
