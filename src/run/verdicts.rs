//! Collects the verdicts of a run, and reports the verdict of each variant exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use parallax_vocab::event::{Failure, Outcome, VariantEnded};
use parallax_vocab::{EventKind, VariantId};

use super::error::RunError;
use parallax_plan::VariantPlan;
use parallax_record::Sink;

/// Returns the error of the machine if, at this moment, the machine makes every observed result worthless: the result
/// would say nothing about the system under test. Otherwise returns `None`.
type Doubt = Box<dyn Fn() -> Option<RunError> + Send + Sync>;

/// The verdicts of a run so far. Only the first report about a variant counts, so a verdict stays valid if the run
/// fails or is interrupted later. Before a variant runs again, the earlier report about it is taken back.
pub(crate) struct Verdicts {
    sink: Sink,
    /// The function that is called before a verdict about the system under test is reported. It is unset until the
    /// machine is known.
    doubt: OnceLock<Doubt>,
    /// The number of failed variants after which no further variant begins (`--max-fail`). `None` means no limit.
    limit: Option<u32>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    variants: BTreeMap<VariantId, Kind>,
    /// How many more times the variants that have no verdict because of the machine may run again (`--retry-machine`).
    tries: u32,
    /// Whether the user has been told that no further variant begins.
    noted: bool,
}

/// How a variant ended. The run decides by this value whether further variants begin, and whether this variant runs
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The variant was as declared, skipped, interrupted or not begun.
    NotRed,
    /// The variant was not as declared, or ended with an error.
    Red,
    /// The variant has no verdict because of the harness, the engine or the machine.
    Machine,
}

impl State {
    /// The number of failed variants. A variant that got no verdict because of the machine does not count as long as
    /// it may run again.
    fn failed(&self) -> usize {
        let counts = |kind: &&Kind| match kind {
            Kind::NotRed => false,
            Kind::Red => true,
            Kind::Machine => self.tries == 0,
        };
        self.variants.values().filter(counts).count()
    }
}

impl Verdicts {
    /// Creates the verdicts of a run that has just begun. `limit` is the number of failed variants after which no
    /// variant begins; `None` means no limit. `tries` is how many times variants without a verdict may run again.
    pub(crate) fn new(sink: Sink, limit: Option<u32>, tries: u32) -> Self {
        Self {
            sink,
            limit,
            doubt: OnceLock::new(),
            state: Mutex::new(State { variants: BTreeMap::new(), tries, noted: false }),
        }
    }

    /// Sets the function that is called before a verdict about the system under test is reported. If the function
    /// returns an error, the variant has no verdict, because the machine failed. Only the first call has an effect.
    pub(crate) fn doubt(&self, doubt: impl Fn() -> Option<RunError> + Send + Sync + 'static) {
        drop(self.doubt.set(Box::new(doubt)));
    }

    /// Returns `outcome` if it says something about the system under test. If the machine is in such a bad state that the
    /// outcome proves nothing, returns the failure of the machine, which quotes what the outcome says.
    pub(crate) fn trusted(&self, outcome: Outcome) -> Result<Outcome, Failure> {
        let said: Vec<String> = match &outcome {
            Outcome::AsExpected => Vec::new(),
            Outcome::NotAsExpected { problems } => {
                problems.iter().map(|it| format!("{}: {}", it.place, it.sentence)).collect()
            }
            Outcome::Error { failure } => vec![failure.what.clone()],
            Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. } => return Ok(outcome),
        };
        let Some(error) = self.doubt.get().and_then(|doubt| doubt()) else { return Ok(outcome) };
        let mut failure = error.failure();
        failure.evidence.extend(said);
        Err(failure)
    }

    /// Reports how a variant ended, unless a report about this variant exists already. Returns whether this call
    /// reported it. If the machine is in such a bad state that `outcome` proves nothing, reports the failure of the
    /// machine instead.
    pub(crate) fn say(&self, variant: &VariantId, outcome: Outcome, took_ms: u64) -> bool {
        let outcome = match self.trusted(outcome) {
            Ok(outcome) => outcome,
            Err(failure) => return self.note(variant, Outcome::Error { failure }, Kind::Machine, took_ms),
        };
        let kind = match &outcome {
            Outcome::NotAsExpected { .. } | Outcome::Error { .. } => Kind::Red,
            Outcome::AsExpected | Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. } => {
                Kind::NotRed
            }
        };
        self.note(variant, outcome, kind, took_ms)
    }

    /// Reports that a variant ended with an error, unless a report about this variant exists already. Returns whether
    /// this call reported it.
    pub(crate) fn fail(&self, variant: &VariantId, error: &RunError, took_ms: u64) -> bool {
        let outcome = match error {
            RunError::Interrupted => return self.say(variant, Outcome::Interrupted, took_ms),
            other => Outcome::Error { failure: other.failure() },
        };
        if error.is_of_the_machine() {
            return self.note(variant, outcome, Kind::Machine, took_ms);
        }
        self.say(variant, outcome, took_ms)
    }

    /// Reports that a variant has no verdict because of a failure of the harness, the engine or the machine.
    pub(crate) fn fail_by_machine(&self, variant: &VariantId, failure: Failure, took_ms: u64) {
        self.note(variant, Outcome::Error { failure }, Kind::Machine, took_ms);
    }

    fn note(&self, variant: &VariantId, outcome: Outcome, kind: Kind, took_ms: u64) -> bool {
        let mut state = self.state();
        let first = !state.variants.contains_key(variant);
        if first {
            state.variants.insert(variant.clone(), kind);
            self.sink.say(EventKind::VariantEnded(VariantEnded { variant: variant.clone(), outcome, took_ms }));
        }
        first
    }

    /// Reports each of the given variants that has no verdict yet as interrupted or as failed with `error`, so that the
    /// record says of each variant how it ended. Returns the variants that were reported by this call.
    pub(crate) fn give_up<'a>(
        &self,
        variants: impl Iterator<Item = &'a VariantPlan>,
        error: &RunError,
    ) -> Vec<&'a VariantId> {
        let variants = variants.map(|it| &it.id);
        variants.filter(|id| self.fail(id, error, 0)).collect()
    }

    /// Whether a variant of the run failed, or has no verdict because of the harness, the engine or the machine.
    pub(crate) fn any_red(&self) -> bool {
        self.state().variants.values().any(|kind| *kind != Kind::NotRed)
    }

    /// Whether so many variants have failed that no further variant may begin.
    pub(crate) fn enough(&self) -> bool {
        let state = self.state();
        self.limit.is_some_and(|limit| state.failed() >= usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// If no further variant may begin, reports the given variants as not begun and returns true. Otherwise does
    /// nothing and returns false.
    pub(crate) fn none_begins(&self, variants: &[VariantPlan]) -> bool {
        if !self.enough() {
            return false;
        }
        let reason =
            format!("not begun, because enough variants had failed (--max-fail {})", self.limit.unwrap_or_default());
        if !std::mem::replace(&mut self.state().noted, true) {
            self.sink.note(format!("{reason}: what is running ends, and the rest is left out"));
        }
        for variant in variants {
            self.say(&variant.id, Outcome::NotBegun { reason: reason.clone() }, 0);
        }
        true
    }

    /// Takes back the reports of variants that have no verdict because of the harness, the engine or the machine.
    /// Returns these variants, so that they can run again.
    pub(crate) fn take_back(&self) -> BTreeSet<VariantId> {
        let mut state = self.state();
        state.tries = state.tries.saturating_sub(1);
        let again: BTreeSet<VariantId> =
            state.variants.iter().filter(|(_, kind)| **kind == Kind::Machine).map(|(id, _)| id.clone()).collect();
        state.variants.retain(|id, _| !again.contains(id));
        again
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdicts").field("limit", &self.limit).field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use parallax_vocab::event::Problem;

    use super::*;

    #[test]
    fn only_the_first_verdict_of_a_variant_is_reported() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let taker = Arc::clone(&heard);
        let verdicts = Verdicts::new(Sink::new(move |event| taker.lock().unwrap().push(event)), None, 0);
        verdicts.say(&"a".into(), Outcome::AsExpected, 1);
        verdicts.say(&"a".into(), Outcome::Interrupted, 2);
        verdicts.say(&"b".into(), Outcome::Interrupted, 3);
        let heard = heard.lock().unwrap();
        let ended = |variant: &str, outcome, took_ms| {
            EventKind::VariantEnded(VariantEnded { variant: variant.into(), outcome, took_ms })
        };
        assert_eq!(*heard, [ended("a", Outcome::AsExpected, 1), ended("b", Outcome::Interrupted, 3)]);
    }

    fn not_as_expected() -> Outcome {
        Outcome::NotAsExpected { problems: Vec::new() }
    }

    #[test]
    fn after_enough_failures_no_further_variant_begins() {
        let verdicts = Verdicts::new(Sink::silent(), Some(2), 0);
        verdicts.say(&"a".into(), Outcome::AsExpected, 1);
        verdicts.say(&"b".into(), not_as_expected(), 1);
        verdicts.say(&"b".into(), not_as_expected(), 1);
        assert!(!verdicts.none_begins(&[]), "one failed");
        verdicts.fail(
            &"c".into(),
            &RunError::Step { place: String::new(), step: String::new(), reason: String::new() },
            1,
        );
        assert!(verdicts.none_begins(&[]), "two failed");
        assert!(!Verdicts::new(Sink::silent(), None, 0).enough());
    }

    #[test]
    fn in_a_bad_state_of_the_machine_no_result_of_a_flow_is_a_verdict() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let taker = Arc::clone(&heard);
        let verdicts = Verdicts::new(Sink::new(move |event| taker.lock().unwrap().push(event)), None, 1);
        let full = Arc::new(AtomicBool::new(false));
        let is_full = Arc::clone(&full);
        verdicts.doubt(move || {
            let error = || RunError::Machine { what: "the disk is full".to_owned(), fix: "make room".to_owned() };
            is_full.load(Ordering::Relaxed).then(error)
        });
        verdicts.say(&"before".into(), Outcome::AsExpected, 1);
        full.store(true, Ordering::Relaxed);
        let problem = Problem {
            step: "get".into(),
            place: "a.yaml:3".to_owned(),
            sentence: "the store does not answer".to_owned(),
            expected: String::new(),
            seen: String::new(),
        };
        verdicts.say(&"red".into(), Outcome::NotAsExpected { problems: vec![problem] }, 1);
        verdicts.say(&"green".into(), Outcome::AsExpected, 1);
        let died = vec!["the store".to_owned()];
        let died = RunError::Died { variant: "died".into(), namespace: "n".to_owned(), ended: died, evidence: vec![] };
        verdicts.fail(&"died".into(), &died, 1);
        verdicts.say(&"left-out".into(), Outcome::Skipped { reason: "no browser".to_owned() }, 1);
        assert_eq!(verdicts.take_back(), BTreeSet::from(["died".into(), "green".into(), "red".into()]));
        let heard = heard.lock().unwrap();
        let outcomes: Vec<_> = heard
            .iter()
            .filter_map(|event| match event {
                EventKind::VariantEnded(it) => Some(&it.outcome),
                _ => None,
            })
            .collect();
        let failure = |evidence: &[&str]| Outcome::Error {
            failure: Failure {
                what: "the disk is full".to_owned(),
                fix: Some("make room".to_owned()),
                evidence: evidence.iter().map(ToString::to_string).collect(),
            },
        };
        assert_eq!(*outcomes[0], Outcome::AsExpected);
        assert_eq!(*outcomes[1], failure(&["a.yaml:3: the store does not answer"]));
        assert_eq!(*outcomes[2], failure(&[]));
        assert_eq!(*outcomes[3], failure(&[&died.to_string()]));
        assert!(matches!(outcomes[4], Outcome::Skipped { .. }));
    }

    #[test]
    fn only_what_the_machine_broke_is_taken_back_and_it_counts_when_it_is_not_tried_again() {
        let machine = || RunError::Machine { what: "no disk".to_owned(), fix: String::new() };
        let verdicts = Verdicts::new(Sink::silent(), Some(1), 1);
        verdicts.fail(&"machine".into(), &machine(), 1);
        assert!(!verdicts.enough(), "it is run again");
        assert_eq!(verdicts.take_back(), BTreeSet::from(["machine".into()]));
        assert!(verdicts.fail(&"machine".into(), &machine(), 1), "it was taken back");
        assert!(verdicts.enough(), "this was the last try");

        let verdicts = Verdicts::new(Sink::silent(), None, 2);
        verdicts.say(&"red".into(), not_as_expected(), 1);
        let died = RunError::Died { variant: "died".into(), namespace: String::new(), ended: vec![], evidence: vec![] };
        verdicts.fail(&"died".into(), &died, 1);
        verdicts.fail(&"stopped".into(), &RunError::Interrupted, 1);
        assert_eq!(verdicts.take_back(), BTreeSet::new());
    }
}
