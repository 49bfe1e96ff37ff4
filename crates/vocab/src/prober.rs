//! A prober asks one question at a fixed rate, each time over a new connection. It does not wait for an answer before
//! it asks the next time.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::event::is_of_a_store;
use crate::question::Question;

/// The highest rate of a prober, in questions per second.
pub const RATE_LIMIT: u32 = 200;
/// The largest number of a prober's questions that may be unanswered at the same time. At this limit, a question that
/// is due is not asked, but counted as dropped. On a busy machine, answers come late. So the limit is large enough for
/// 50 questions per second that take 15 s each.
pub const IN_FLIGHT_LIMIT: usize = 800;
/// The largest number of outcomes that a prober keeps. At this limit, the prober stops asking and counts as broken,
/// because it cannot observe what happens afterwards.
pub const OUTCOMES_LIMIT: usize = 200_000;
/// The largest number of outcomes in one page of a series. A page is sent in one frame, so it must be smaller than the
/// limit of a frame.
pub const PAGE: usize = 8_000;
/// The largest number of different answers that a prober keeps. At this limit, each new answer that differs from all
/// kept answers counts as one and the same further answer, which is a failure.
pub const KINDS_LIMIT: usize = 12;
/// The largest value that the harness accepts for a time or a count in the observations of a prober. It is enough for a
/// hundred days in microseconds, and for the time since 1970 in milliseconds. The sum of [`OUTCOMES_LIMIT`] values of
/// this size fits into 64 bits.
const NUMBER_LIMIT: u64 = 1 << 43;
/// The largest part of an HTTP body that a prober keeps, in bytes. The rest of a longer body is cut off.
pub const BODY_LIMIT_BYTES: usize = 4 * 1024;

/// The question that a prober repeats, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProberQuestion {
    /// The question. Its time limit applies each time that it is asked.
    pub question: Question,
    /// The number of questions per second, from 1 to [`RATE_LIMIT`].
    pub rate: u32,
    /// The names of the headers, in lower case, that must be equal in two HTTP answers that count as the same answer.
    /// Other headers are ignored, because some of them differ in each answer.
    #[serde(default)]
    pub headers: BTreeSet<String>,
    /// Whether two HTTP answers with different bodies are counted as different answers.
    #[serde(default)]
    pub body: bool,
}

/// An order of the harness to a prober.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProberOrder {
    /// Start a prober that asks this question. If the session (the connection to the agent) has a prober with the same
    /// number, that prober ends.
    Start(Box<ProberQuestion>),
    /// Return the outcomes that the harness does not have yet ([`Known`]).
    Read(Known),
    /// Stop asking, wait for the outstanding answers, and return the outcomes that the harness does not have yet
    /// ([`Known`]).
    Stop(Known),
    /// End the prober, and return no outcomes.
    End,
}

/// What the harness has already received from a prober.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The number of outcomes that the harness has received.
    pub outcomes: usize,
    /// The number of different answers that the harness has received.
    pub kinds: usize,
}

/// The observations of a prober: one page of them, or all pages joined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The time at which the prober began, in milliseconds since the Unix epoch, by the clock of the vantage.
    pub began_unix_ms: u64,
    /// The time from the start of the prober until now, or until it was stopped, in microseconds.
    pub asked_for_us: u64,
    /// The number of questions that were due but not asked, because [`IN_FLIGHT_LIMIT`] questions were unanswered.
    pub dropped: u64,
    /// The number of questions that were asked and have no outcome yet.
    pub in_flight: usize,
    /// The longest delay from the time at which a question was due to the time at which it was asked, in microseconds.
    /// A slow machine makes a measured time wrong by at most this delay.
    pub late_us: u64,
    /// The outcome of each answered question, in the order of the answers.
    pub outcomes: Vec<Outcome>,
    /// The different answers in this series, without the values that differ each time, such as durations.
    /// [`Outcome::kind`] is an index into this list.
    pub kinds: Vec<Answer>,
    /// Whether the prober has further outcomes, on the next page.
    pub more: bool,
    /// The reason why the prober itself failed; `None` if it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Series {
    /// The number of outcomes and the number of different answers in this series. The harness sends these numbers with
    /// its next order, so that the prober returns only later outcomes and answers.
    pub fn known(&self) -> Known {
        Known { outcomes: self.outcomes.len(), kinds: self.kinds.len() }
    }

    /// The number of outcomes in which a store replied. `question` is the question that the prober repeats.
    pub fn of_a_store(&self, question: &Question) -> u64 {
        let is_of_a_store = |it: &Answer| it.reply().is_some_and(|reply| is_of_a_store(reply, Some(question)));
        let kinds: Vec<bool> = self.kinds.iter().map(is_of_a_store).collect();
        let of_a_store = |it: &&Outcome| kinds.get(it.kind).copied().unwrap_or_default();
        self.outcomes.iter().filter(of_a_store).count() as u64
    }

    /// Appends a page to the series.
    ///
    /// # Errors
    /// Describes what is invalid in the page. Pages come from the agent and are not trusted, because a scenario can
    /// choose the image in which the agent runs. For example, an agent that always announces one more page would make
    /// the harness read forever.
    pub fn join(&mut self, page: Self) -> Result<(), String> {
        let Self { mut outcomes, mut kinds, .. } = std::mem::take(self);
        if page.more && page.outcomes.is_empty() {
            return Err("a prober announced another page, but this page is empty".to_owned());
        }
        outcomes.extend_from_slice(&page.outcomes);
        kinds.extend_from_slice(&page.kinds);
        if outcomes.len() > OUTCOMES_LIMIT || kinds.len() > KINDS_LIMIT + 1 {
            let (outcomes, kinds) = (outcomes.len(), kinds.len());
            return Err(format!("a prober reported more than it can have seen: {outcomes} outcomes, {kinds} kinds"));
        }
        let numbers = [page.began_unix_ms, page.asked_for_us, page.late_us, page.dropped, page.in_flight as u64];
        let of_outcomes = outcomes.iter().flat_map(|it| [it.at_us, it.took_us]);
        if let Some(number) = of_outcomes.chain(numbers).find(|it| *it > NUMBER_LIMIT) {
            return Err(format!("a prober reported the number {number}, which no clock can show"));
        }
        if let Some(outcome) = outcomes.iter().find(|it| it.kind >= kinds.len()) {
            return Err(format!("a prober reported an outcome of kind {}, but no answer of that kind", outcome.kind));
        }
        *self = Self { outcomes, kinds, ..page };
        Ok(())
    }
}

/// The outcome of one question of a prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(u64, u64, usize)", into = "(u64, u64, usize)")]
pub struct Outcome {
    /// The time at which the question was asked, in microseconds since the start of the prober.
    pub at_us: u64,
    /// The time from the question to its answer, in microseconds.
    pub took_us: u64,
    /// The answer, as an index into [`Series::kinds`].
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
    fn pages_join_to_a_series_and_the_last_page_has_the_totals() {
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
    fn the_answers_of_a_store_are_counted() {
        use crate::answer::Reply;
        use crate::question::{HttpQuestion, Probe, View};
        let reply = serde_json::from_value(serde_json::json!({ "status": 200, "keys": [] })).expect("a reply");
        let of_a_store = Answer { outcome: Ok(Reply::S3(reply)), ..answer() };
        let outcome = |kind| Outcome { at_us: 1, took_us: 1, kind };
        let outcomes = vec![outcome(0), outcome(1), outcome(1)];
        let series = Series { outcomes, kinds: vec![answer(), of_a_store], ..Series::default() };
        let probe = Probe::Http(HttpQuestion::new("GET", String::new()));
        assert_eq!(series.of_a_store(&Question { view: View::default(), deadline_ms: 1, probe }), 2);
    }

    #[test]
    fn an_impossible_page_is_refused() {
        let outcome = Outcome { at_us: 1, took_us: 1, kind: 0 };
        let sound = || Series { outcomes: vec![outcome], kinds: vec![answer()], ..Series::default() };
        let of = |outcome| Series { outcomes: vec![outcome], ..sound() };
        for (page, says) in [
            (Series { more: true, ..Series::default() }, "announced another page"),
            (of(Outcome { at_us: u64::MAX, ..outcome }), "no clock can show"),
            (of(Outcome { took_us: u64::MAX, ..outcome }), "no clock can show"),
            (of(Outcome { kind: 1, ..outcome }), "no answer of that kind"),
            (Series { dropped: u64::MAX, ..sound() }, "no clock can show"),
            (Series { in_flight: usize::MAX, ..sound() }, "no clock can show"),
            (Series { began_unix_ms: u64::MAX, ..sound() }, "no clock can show"),
            (Series { asked_for_us: u64::MAX, ..sound() }, "no clock can show"),
            (Series { late_us: u64::MAX, ..sound() }, "no clock can show"),
            (Series { outcomes: vec![outcome; OUTCOMES_LIMIT + 1], ..sound() }, "more than it can have seen"),
            (Series { kinds: vec![answer(); KINDS_LIMIT + 2], ..sound() }, "more than it can have seen"),
        ] {
            let error = Series::default().join(page).expect_err(says);
            assert!(error.contains(says), "{error}");
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
