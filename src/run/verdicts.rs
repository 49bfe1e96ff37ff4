//! Reports the verdict of each variant exactly once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use parallax_vocab::event::{Outcome, VariantEnded};
use parallax_vocab::{EventKind, VariantId};

use super::error::RunError;
use parallax_plan::VariantPlan;
use parallax_record::Sink;

/// Reports how variants ended. Only the first report of a variant counts, so a verdict remains valid when the run fails
/// or is interrupted later.
#[derive(Debug)]
pub(crate) struct Verdicts {
    sink: Sink,
    said: Mutex<BTreeSet<VariantId>>,
}

impl Verdicts {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, said: Mutex::default() }
    }

    /// Reports how a variant ended, unless this was already reported. Returns whether it was reported now.
    pub(crate) fn say(&self, variant: &VariantId, outcome: Outcome, took_ms: u64) -> bool {
        let first = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(variant.clone());
        if first {
            self.sink.say(EventKind::VariantEnded(VariantEnded { variant: variant.clone(), outcome, took_ms }));
        }
        first
    }

    /// Reports all given variants that have no verdict yet as interrupted or failed with `error`, so that the record
    /// has an outcome for each variant. Returns these variants.
    pub(crate) fn give_up<'a>(
        &self,
        variants: impl Iterator<Item = &'a VariantPlan>,
        error: &RunError,
    ) -> Vec<&'a VariantId> {
        let outcome = match error {
            RunError::Interrupted => Outcome::Interrupted,
            other => Outcome::Error { failure: other.failure() },
        };
        let variants = variants.map(|it| &it.id);
        variants.filter(|id| self.say(id, outcome.clone(), 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_the_first_verdict_of_a_variant_is_reported() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let taker = Arc::clone(&heard);
        let verdicts = Verdicts::new(Sink::new(move |event| taker.lock().unwrap().push(event)));
        verdicts.say(&"a".into(), Outcome::AsExpected, 1);
        verdicts.say(&"a".into(), Outcome::Interrupted, 2);
        verdicts.say(&"b".into(), Outcome::Interrupted, 3);
        let heard = heard.lock().unwrap();
        let ended = |variant: &str, outcome, took_ms| {
            EventKind::VariantEnded(VariantEnded { variant: variant.into(), outcome, took_ms })
        };
        assert_eq!(*heard, [ended("a", Outcome::AsExpected, 1), ended("b", Outcome::Interrupted, 3)]);
    }
}
