//! The rounds of a `repeat`: the seed, and the random delays before steps, which are computed from the seed.

use std::time::Duration;

use parallax_judge::StepResult;
use parallax_vocab::course::Round;
use parallax_vocab::event::Verdict;
use parallax_vocab::millis;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{After, RepeatStep, Step};

/// The state of a `repeat` whose rounds are running.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    of: String,
    times: u32,
    seed: u64,
    /// The number of the current round; the first is 1.
    pub(super) number: u32,
    /// The number of void rounds so far.
    pub(super) void: u32,
    void_at_most: u32,
    /// `pending`: whether the next round replaces a void round. `repeated`: whether the current round replaces one.
    pending: bool,
    repeated: bool,
}

impl Rounds {
    /// The state before the first round. The seed is `seed` (the user's `--seed`), otherwise the scenario's seed,
    /// otherwise `drawn`.
    pub(super) fn new(step: &Step, repeat: &RepeatStep, seed: Option<u64>, drawn: u64) -> Self {
        let seed = seed.or(repeat.seed).unwrap_or(drawn);
        Self {
            of: step.id.clone(),
            times: repeat.times,
            seed,
            number: 0,
            void: 0,
            void_at_most: repeat.void,
            pending: false,
            repeated: false,
        }
    }

    /// Begins the next round. Returns false if there is no further round.
    pub(super) fn next(&mut self) -> bool {
        self.repeated = std::mem::take(&mut self.pending);
        self.number += u32::from(!self.repeated);
        self.number <= self.times
    }

    /// Whether the scenario allows one more void round.
    pub(super) fn may_be_void(&self) -> bool {
        self.void < self.void_at_most
    }

    /// Records that the current round was void. The next round has the same number, but other random delays.
    pub(super) fn was_void(&mut self) {
        self.void += 1;
        self.pending = true;
    }

    /// The number from which the random delays of the current round are computed. Normally this is the number of the
    /// round. A round that replaces a void round gets a number greater than the number of rounds. So it has other
    /// delays than any other round, and the delays of the other rounds stay the same.
    fn draw(&self) -> u32 {
        if self.repeated { self.times + self.void } else { self.number }
    }

    /// The note for the user at the beginning of the `repeat`: the number of rounds, and the seed.
    pub(super) fn in_words(&self) -> String {
        format!(
            "`{}` runs {} rounds by seed {}; `--seed {}` draws the same moments again",
            self.of, self.times, self.seed, self.seed
        )
    }

    /// The current round in the form of the record, with the delay before `step` begins.
    pub(super) fn round(&self, step: &Step) -> Round {
        let after = step.after.map(|after| self.moment(step, after));
        let after_ms = after.map(millis);
        Round { of: self.of.clone(), number: self.number, times: self.times, seed: self.seed, after_ms }
    }

    /// The delay before a step of the current round begins. A random delay depends only on the seed, the round and the
    /// step's id. So the delays of other steps stay the same if a step is added to the scenario.
    fn moment(&self, step: &Step, after: After) -> Duration {
        let longest = after.span().to_duration();
        let After::Random(_) = after else { return longest };
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        // The id is hashed by FNV-1a, because this hash is the same on every machine and in every version.
        let stream = step
            .id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        generator.set_stream(stream);
        generator.set_word_pos(u128::from(self.draw()) * 2);
        let milliseconds = u64::try_from(Span::as_millis(after.span())).unwrap_or(0);
        Duration::from_millis(generator.next_u64() % (milliseconds + 1))
    }
}

/// Returns `void`, the reason why the current round is void. Returns `None` if a step of the round did not pass. A
/// failed or blocked step is a result, so the round counts, and the other steps of the round still run.
pub(super) fn void(results: &[StepResult], void: Option<String>) -> Option<String> {
    void.filter(|_| results.iter().all(|it| it.verdict == Verdict::Passed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rounds(seed: Option<u64>, over: Option<u64>) -> (Rounds, Step) {
        let inner = json!({"id": "kill", "dns": {"name": "x"}, "after": {"random": "3s"}});
        let repeat = json!({"id": "kills", "repeat": {"times": 3, "seed": seed, "flow": [inner]}});
        let step: Step = serde_json::from_value(repeat).expect("a step");
        let repeat = step.repeat().cloned().expect("a repeat");
        (Rounds::new(&step, &repeat, over, 7), repeat.flow[0].clone())
    }

    fn moments(seed: Option<u64>, over: Option<u64>) -> (u64, Vec<u64>) {
        let (mut rounds, step) = rounds(seed, over);
        let mut moments = Vec::new();
        while rounds.next() {
            moments.push(rounds.round(&step).after_ms.expect("it has a moment"));
        }
        (rounds.seed, moments)
    }

    #[test]
    fn a_seed_gives_the_same_start_times_on_every_machine() {
        let (seed, drawn) = moments(Some(42), None);
        assert_eq!((seed, drawn.clone()), (42, vec![2295, 2817, 2352]));
        assert_eq!(moments(Some(42), None).1, drawn);
        assert_eq!(moments(Some(1), Some(42)), (42, drawn.clone()));
        assert_ne!(moments(Some(43), None).1, drawn);
        assert_eq!(moments(None, None).0, 7);
        assert!(drawn.iter().all(|it| *it <= 3000));
    }

    #[test]
    fn a_void_round_gets_a_new_start_time_and_changes_no_other() {
        let (mut rounds, step) = rounds(Some(42), None);
        rounds.void_at_most = 1;
        let (mut drawn, mut numbers) = (Vec::new(), Vec::new());
        while rounds.next() {
            drawn.push(rounds.round(&step).after_ms.expect("it has a moment"));
            numbers.push(rounds.number);
            if numbers == [1, 2] {
                assert!(rounds.may_be_void());
                rounds.was_void();
            }
        }
        assert_eq!((numbers, rounds.void, rounds.may_be_void()), (vec![1, 2, 2, 3], 1, false));
        assert_eq!((drawn[0], drawn[1], drawn[3]), (2295, 2817, 2352));
        assert_ne!(drawn[2], 2817);
    }

    #[test]
    fn a_round_with_a_failure_is_not_void() {
        let of = |verdicts: &[Verdict]| {
            let result = |verdict: &Verdict| StepResult {
                step: "crash".to_owned(),
                verdict: *verdict,
                cause: None,
                missed: None,
                place: String::new(),
                sentence: String::new(),
            };
            void(&verdicts.iter().map(result).collect::<Vec<_>>(), Some("too late".to_owned())).is_some()
        };
        assert!(of(&[Verdict::Passed, Verdict::Passed]));
        // The break declares that the first step fails. The last step, a crash, came too late, and alone this would
        // make the round void. But the round counts, because its first step did not pass.
        assert!(!of(&[Verdict::Failed, Verdict::Blocked, Verdict::Passed]));
        assert_eq!(void(&[], None), None);
    }

    #[test]
    fn a_start_time_depends_on_the_step_unless_it_is_fixed() {
        let (mut rounds, mut step) = rounds(Some(42), None);
        assert!(rounds.next());
        let first = rounds.round(&step).after_ms;
        step.id = "other".to_owned();
        assert_ne!(rounds.round(&step).after_ms, first);
        step.after = Some(After::Span(Span::seconds(2)));
        assert_eq!(rounds.round(&step).after_ms, Some(2000));
        step.after = None;
        assert_eq!(rounds.round(&step).after_ms, None);
    }
}
