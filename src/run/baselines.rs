//! When the steps of this run's baselines came to hold: before that, a baseline too sees what a break may declare.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parallax_vocab::VariantId;

/// A baseline is not seen to hold for the first time to the moment: so much later it does for certain.
const MARGIN: Duration = Duration::from_secs(2);

/// How long each step of a baseline took to come to hold, by scenario and step.
#[derive(Debug, Default)]
pub(crate) struct Baselines(Mutex<BTreeMap<(String, String), Duration>>);

impl Baselines {
    /// Takes note of a step that holds, where its variant is a baseline.
    pub(super) fn held(&self, variant: &VariantId, step: &str, took: Duration) {
        if !variant.as_str().contains('+') {
            let key = (variant.as_str().to_owned(), step.to_owned());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, took);
        }
    }

    /// How long a declared cause must be seen in a break's step that has `within` to come to hold: past the time that its
    /// baseline took, or to the end where that is not known.
    pub(super) fn past(&self, variant: &VariantId, step: &str, within: Duration) -> Duration {
        let scenario = variant.as_str().split('+').next().unwrap_or_default();
        let key = (scenario.to_owned(), step.to_owned());
        let took = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        took.map_or(within, |took| within.min((took * 2).max(took + MARGIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_baseline_passes_through_must_outlast_it() {
        let (baselines, within) = (Baselines::default(), Duration::from_secs(30));
        let past = |step: &str| baselines.past(&"a/s+b".into(), step, within).as_secs();
        assert_eq!(past("dead"), 30);
        // A break says nothing of how its baseline goes.
        baselines.held(&"a/s+other".into(), "dead", Duration::ZERO);
        assert_eq!(past("dead"), 30);
        // The token's life of 8 s, and the break that makes it 9 s: the answer on the way is none of the break's.
        baselines.held(&"a/s".into(), "dead", Duration::from_secs(8));
        assert_eq!(past("dead"), 16);
        baselines.held(&"a/s".into(), "quick", Duration::from_millis(20));
        assert_eq!(past("quick"), 2);
        baselines.held(&"a/s".into(), "slow", Duration::from_secs(29));
        assert_eq!(past("slow"), 30);
    }
}
