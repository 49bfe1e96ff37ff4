//! A prober: one question at a fixed rate, each time over a fresh connection, whatever becomes of the others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::question::Question;

/// The most that may be asked in a second.
pub const RATE_LIMIT: u32 = 200;
/// Questions in flight at once; what would go past it is dropped, and counted.
pub const IN_FLIGHT_LIMIT: usize = 256;
/// Outcomes that a prober keeps. One that has them asks no more, and is broken: what came later it has not seen.
pub const OUTCOMES_LIMIT: usize = 200_000;
/// Outcomes in one page, so that a page is shorter than a frame.
pub const PAGE: usize = 8_000;
/// Different answers that are told apart. What comes past it counts as one more, and as a failure.
pub const KINDS_LIMIT: usize = 12;
/// No number of a prober is larger: microseconds of eleven days, milliseconds since 1970 until far from now. What is
/// added up of [`OUTCOMES_LIMIT`] such numbers still fits 64 bits.
const NUMBER_LIMIT: u64 = 1 << 43;
/// How much of a body is compared, in bytes.
pub const BODY_LIMIT_BYTES: usize = 4 * 1024;

/// What a prober asks, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProberQuestion {
    /// Asked each time; its deadline is that of each.
    pub question: Question,
    /// Times in a second, from 1 to [`RATE_LIMIT`].
    pub rate: u32,
    /// Headers of an HTTP answer that matter, names in lower case. The others are left out, because some of them
    /// differ each time.
    #[serde(default)]
    pub headers: BTreeSet<String>,
    /// Whether an HTTP answer's body matters.
    #[serde(default)]
    pub body: bool,
}

/// What a prober is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProberOrder {
    /// Begin. What ran under the same number ends.
    Start(Box<ProberQuestion>),
    /// Tell what was seen since.
    Read(Known),
    /// Ask no more, wait for what is in flight, and tell.
    Stop(Known),
    /// Be gone.
    End,
}

/// How much of a series is known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Outcomes.
    pub outcomes: usize,
    /// Kinds of answer.
    pub kinds: usize,
}

/// What a prober saw: a page of it, or all pages joined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// When it began, milliseconds since the Unix epoch, by the clock of the place.
    pub began_unix_ms: u64,
    /// How long it has asked, in microseconds: until now, or until it was stopped.
    pub asked_for_us: u64,
    /// Questions that were due and not asked, because too many were in flight.
    pub dropped: u64,
    /// Questions that have no outcome yet.
    pub in_flight: usize,
    /// The most by which a question was asked later than it was due, in microseconds: what the prober itself, or its
    /// machine, adds to what it measures.
    pub late_us: u64,
    /// What became of each question, in the order of the answers.
    pub outcomes: Vec<Outcome>,
    /// The different answers.
    pub kinds: Vec<Answer>,
    /// Whether there is more than this page holds.
    pub more: bool,
    /// Why the prober itself broke, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Series {
    /// How much of it is known.
    pub fn known(&self) -> Known {
        Known { outcomes: self.outcomes.len(), kinds: self.kinds.len() }
    }

    /// Joins a page to what is known.
    ///
    /// # Errors
    /// Says what no prober tells: the agent runs in an image that a scenario chooses. Without this a page that promises
    /// another for ever, or a number that no clock shows, would end the harness instead of the session.
    pub fn join(&mut self, page: Self) -> Result<(), String> {
        let Self { mut outcomes, mut kinds, .. } = std::mem::take(self);
        if page.more && page.outcomes.is_empty() {
            return Err("a page of a prober promises more and holds nothing".to_owned());
        }
        outcomes.extend_from_slice(&page.outcomes);
        kinds.extend_from_slice(&page.kinds);
        if outcomes.len() > OUTCOMES_LIMIT || kinds.len() > KINDS_LIMIT + 1 {
            let (outcomes, kinds) = (outcomes.len(), kinds.len());
            return Err(format!("a prober tells more than one can see: {outcomes} outcomes, {kinds} kinds"));
        }
        let numbers = [page.began_unix_ms, page.asked_for_us, page.late_us, page.dropped, page.in_flight as u64];
        let of_outcomes = outcomes.iter().flat_map(|it| [it.at_us, it.took_us]);
        if let Some(number) = of_outcomes.chain(numbers).find(|it| *it > NUMBER_LIMIT) {
            return Err(format!("a prober tells the number {number}, which no clock shows"));
        }
        if let Some(outcome) = outcomes.iter().find(|it| it.kind >= kinds.len()) {
            return Err(format!("a prober tells an answer of kind {} and not what that is", outcome.kind));
        }
        *self = Self { outcomes, kinds, ..page };
        Ok(())
    }
}

/// What became of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, usize)", into = "(u64, u64, usize)")]
pub struct Outcome {
    /// When it was asked, in microseconds since the prober began.
    pub at_us: u64,
    /// How long the answer took, in microseconds.
    pub took_us: u64,
    /// Which of the kinds it is.
    pub kind: usize,
}

impl From<(u64, u64, usize)> for Outcome {
    fn from((at_us, took_us, kind): (u64, u64, usize)) -> Self {
        Self { at_us, took_us, kind }
    }
}

impl From<Outcome> for (u64, u64, usize) {
    fn from(it: Outcome) -> Self {
        (it.at_us, it.took_us, it.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_a_series_and_the_last_one_says_how_it_stands() {
        let outcome = |at_us| Outcome { at_us, took_us: 1, kind: 0 };
        let page = |at: &[u64], more, kinds| Series {
            asked_for_us: at.len() as u64,
            outcomes: at.iter().copied().map(outcome).collect(),
            more,
            kinds: vec![answer(); kinds],
            ..Series::default()
        };
        let mut all = Series::default();
        for page in [page(&[1, 2], true, 1), page(&[3], false, 0)] {
            all.join(page).expect("a page");
        }
        assert_eq!(all.outcomes, [outcome(1), outcome(2), outcome(3)]);
        assert_eq!((all.more, all.asked_for_us), (false, 1));
        assert_eq!(all.known(), Known { outcomes: 3, kinds: 1 });
    }

    fn answer() -> Answer {
        Answer { outcome: Err(crate::Cause::Client { detail: String::new() }), evidence: crate::Evidence::default() }
    }

    #[test]
    fn a_page_that_no_prober_tells_is_refused() {
        let outcome = Outcome { at_us: 1, took_us: 1, kind: 0 };
        let sound = || Series { outcomes: vec![outcome], kinds: vec![answer()], ..Series::default() };
        let of = |outcome| Series { outcomes: vec![outcome], ..sound() };
        for (page, says) in [
            (Series { more: true, ..Series::default() }, "promises more"),
            (of(Outcome { at_us: u64::MAX, ..outcome }), "no clock shows"),
            (of(Outcome { took_us: u64::MAX, ..outcome }), "no clock shows"),
            (of(Outcome { kind: 1, ..outcome }), "not what that is"),
            (Series { dropped: u64::MAX, ..sound() }, "no clock shows"),
            (Series { in_flight: usize::MAX, ..sound() }, "no clock shows"),
            (Series { began_unix_ms: u64::MAX, ..sound() }, "no clock shows"),
            (Series { asked_for_us: u64::MAX, ..sound() }, "no clock shows"),
            (Series { late_us: u64::MAX, ..sound() }, "no clock shows"),
            (Series { outcomes: vec![outcome; OUTCOMES_LIMIT + 1], ..sound() }, "more than one can see"),
            (Series { kinds: vec![answer(); KINDS_LIMIT + 2], ..sound() }, "more than one can see"),
        ] {
            let told = Series::default().join(page).expect_err(says);
            assert!(told.contains(says), "{told}");
        }
        assert_eq!(Series::default().join(sound()), Ok(()));
    }

    #[test]
    fn a_page_is_shorter_than_a_frame() {
        let outcomes = vec![Outcome { at_us: u64::MAX, took_us: u64::MAX, kind: KINDS_LIMIT }; PAGE];
        let page = Series { outcomes, ..Series::default() };
        let length = serde_json::to_vec(&page).expect("plain data").len();
        let bodies = KINDS_LIMIT * (BODY_LIMIT_BYTES * 6 + 8 * 1024);
        assert!(length + bodies < crate::wire::FRAME_LIMIT_BYTES as usize, "{length} + {bodies}");
    }
}
