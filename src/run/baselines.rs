//! Records how long each step's expectation took to hold in the baselines of this run. During this time, even a
//! baseline can show the failure that a break declares. So a failure of the break in this time proves nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parallax_vocab::VariantId;

/// A safety margin that is added to the time that a baseline's step took. There are pauses between the tries of the
/// step, so the exact moment at which its expectation first holds is not known.
const MARGIN: Duration = Duration::from_secs(2);

/// How long each step of a baseline took until its expectation held. The key is the id of the scenario and the id of
/// the step.
#[derive(Debug, Default)]
pub(crate) struct Baselines(Mutex<BTreeMap<(String, String), Duration>>);

impl Baselines {
    /// Records that a step held after the time `took`, if its variant is a baseline. If the step runs in several
    /// rounds of a `repeat`, the longest time counts, because in a break the failure may come in any round.
    pub(super) fn held(&self, variant: &VariantId, step: &str, took: Duration) {
        if variant.change().is_none() {
            let key = (variant.as_str().to_owned(), step.to_owned());
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let longest = known.entry(key).or_default();
            *longest = took.max(*longest);
        }
    }

    /// The time for which a declared cause must last in a step of a break. `within` is the time limit of this step. The
    /// result is longer than the time that the same step took in the baseline, even if the result is then longer than
    /// `within`. If the time of the baseline is not known, the result is `within`.
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
        // For example, the step waits until a token has expired: in the baseline after 8 s, in a break later. In the
        // first 8 s the step fails in both variants, so a failure in this time does not come from the break.
        baselines.held(&"a/s".into(), "dead", Duration::from_secs(8));
        assert_eq!(past("dead"), 16);
        // In a later round of a `repeat`, the step holds at once. This does not shorten the recorded time, because
        // another round may take as long as the first one.
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
