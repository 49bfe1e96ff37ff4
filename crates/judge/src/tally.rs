//! Counts the outcomes of a prober's questions, and judges the counts against the `expect` of a step. An outcome is a
//! reply or a cause.

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;
use parallax_vocab::prober::{Outcome, Series};
use parallax_vocab::tally::{Failing, Gap, Serving, Tally};

use super::bound::Bound;
use super::observe::{Case, Observed};
use super::{Expected, Judgement, Seen, judge};
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{Expect, Matcher, SpanBound};

/// The text that messages show as the observed value if no question of the prober has an outcome (a reply or a cause)
/// yet.
const NO_PROBE: &str = "no probe that has an outcome";
/// The largest number of causes of failures that a message shows.
const CAUSES_SHOWN: usize = 3;

/// Counts the outcomes of a prober's questions. Each answer is judged against `expected`, in the same way as the answer
/// to a single question. The caller sets `of_a_store` of the result.
pub fn tally(series: &Series, expected: &Expected, seen: &Seen) -> Tally {
    let causes: Vec<Option<Cause>> = series.kinds.iter().map(|kind| judge(expected, kind, seen).cause).collect();
    let cause = |outcome: &Outcome| causes.get(outcome.kind).and_then(Option::as_ref);
    let (mut good, mut took) = (Vec::new(), Vec::new());
    let (mut failing, mut serving): (Vec<Failing>, Vec<Serving>) = (Vec::new(), Vec::new());
    for outcome in &series.outcomes {
        // The numbers come from the agent and are untrusted, so the sum must not overflow.
        let came_us = outcome.at_us.saturating_add(outcome.took_us);
        let at_ms = came_us / 1000;
        match cause(outcome) {
            None => {
                good.push(came_us);
                took.push(outcome.took_us);
            }
            Some(cause) => match failing.iter_mut().find(|it| it.cause == *cause) {
                Some(it) => (it.count, it.last_ms) = (it.count + 1, it.last_ms.max(at_ms)),
                None => failing.push(Failing { cause: cause.clone(), count: 1, first_ms: at_ms, last_ms: at_ms }),
            },
        }
        let leaf = series.kinds.get(outcome.kind).and_then(|kind| kind.evidence.chain.first());
        if let Some(leaf) = leaf {
            match serving.iter_mut().find(|it| it.serial == leaf.serial) {
                Some(it) => (it.count, it.last_ms) = (it.count + 1, it.last_ms.max(at_ms)),
                None => {
                    serving.push(Serving { serial: leaf.serial.clone(), count: 1, first_ms: at_ms, last_ms: at_ms });
                }
            }
        }
    }
    took.sort_unstable();
    Tally {
        began_unix_ms: series.began_unix_ms,
        asked_for_ms: series.asked_for_us / 1000,
        count: series.outcomes.len() as u64,
        failures: failing.iter().map(|it| it.count).sum(),
        dropped: series.dropped,
        in_flight: series.in_flight,
        of_a_store: 0,
        longest_gap: longest_gap(good, series.asked_for_us),
        median_ms: took.get(took.len().saturating_sub(1) / 2).map_or(0, |us| us / 1000),
        worst_ms: took.last().map_or(0, |us| us / 1000),
        late_ms: series.late_us / 1000,
        causes: failing,
        serials: serving,
    }
}

/// Returns the longest time between two consecutive successes. An answer counts at the time at which it arrives. The
/// time before the first success and the time after the last success count as gaps too. So an outage that never ended
/// is found.
fn longest_gap(mut good_us: Vec<u64>, end_us: u64) -> Gap {
    good_us.sort_unstable();
    let end_us = good_us.last().map_or(end_us, |last| end_us.max(*last));
    let starts = std::iter::once(0).chain(good_us.iter().copied());
    let ends = good_us.iter().copied().chain([end_us]);
    let gaps = starts.zip(ends).map(|(from, to)| (to - from, from, to));
    // If several gaps have the greatest length, the first one is reported.
    let longest = gaps.reduce(|longest, gap| if gap.0 > longest.0 { gap } else { longest });
    longest.map_or(Gap::default(), |(took, from, to)| Gap {
        took_ms: took / 1000,
        from_ms: from / 1000,
        to_ms: to / 1000,
    })
}

/// A judgement of a prober's counts, and whether further answers can still change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The judgement of the prober's counts.
    pub judgement: Judgement,
    /// Whether a matcher has failed, and no further answer can make it hold. The counts can only grow, so a count that
    /// is too large stays too large.
    pub decided: bool,
    /// Whether the result could be different if the prober had asked its questions on time. If so, the machine was too
    /// slow to measure the longest gap, and the result says nothing about the system under test.
    pub blurred: bool,
}

/// Judges the counts of a prober against `expect`. If no question of the prober has an outcome yet, no matcher holds.
pub fn judge_tally(expect: &Expect, tally: &Tally) -> Counted {
    let (expected, seen) = (Expected::Declared(Box::new(expect.clone())), Seen::default());
    let case = Case { expected: &expected, expect, look: tally.into(), facts: None, seen: &seen };
    let observed: Vec<Observed> = expect.wanted().iter().map(|it| case.observe(it)).collect();
    // If a matcher other than `longest-gap` fails too, the step fails whatever the length of the longest gap is. So it
    // does not matter that the machine was too slow to measure this length.
    let by_the_gap = |it: &Observed| it.is_blurred || it.matched.iter().all(|it| it.held);
    Counted {
        judgement: judge(&expected, tally, &seen),
        decided: observed.iter().any(|it| it.is_final),
        blurred: observed.iter().any(|it| it.is_blurred) && observed.iter().all(by_the_gap),
    }
}

/// Returns the number of failed questions. A question that the prober dropped counts as failed, because an application
/// would not have got an answer to it.
fn failed(tally: &Tally) -> u64 {
    tally.failures.saturating_add(tally.dropped)
}

fn longest(tally: &Tally) -> Span {
    Span::milliseconds(tally.longest_gap.took_ms)
}

/// Whether no question has an outcome (a reply or a cause) yet. The counts of outcomes are then zero and mean nothing.
fn says_nothing(tally: &Tally) -> bool {
    tally.count == 0
}

/// Returns the result of a matcher that expects exactly the count `exact`. The count can only grow, so if it is too
/// large, the failure is final.
fn growing(of: Matcher, exact: u64, count: u64, words: String, tally: &Tally) -> Observed {
    let unseen = says_nothing(tally);
    let matched = Matched::new(of.name(), count == exact && !unseen, exact.to_string(), words);
    Observed { matched: vec![Matched { unseen, ..matched }], is_final: count > exact, is_blurred: false }
}

/// Judges the number of failed questions.
pub(super) fn failures(exact: u64, tally: &Tally) -> Observed {
    growing(Matcher::Failures, exact, failed(tally), failures_in_words(tally), tally)
}

/// Judges the number of different leaf certificates that the server presented to the prober.
pub(super) fn serials(exact: usize, tally: &Tally) -> Observed {
    let words = if says_nothing(tally) { NO_PROBE.to_owned() } else { serials_in_words(tally) };
    growing(Matcher::Serials, exact as u64, tally.serials.len() as u64, words, tally)
}

/// Judges the longest time between two successes. If the prober asked its questions late, the measured gap may be too
/// long by up to this delay.
pub(super) fn longest_gap_within(bound: SpanBound, tally: &Tally) -> Observed {
    let seen = (!says_nothing(tally)).then(|| longest(tally));
    let words = seen.map_or(NO_PROBE.to_owned(), |_| tally.longest_gap.to_string());
    let is_final = bound.below.is_some_and(|below| longest(tally) >= below);
    let judged = |seen: Option<&Span>, words| Bound::from(bound).judge(Matcher::LongestGap.name(), seen, words);
    let matched = judged(seen.as_ref(), words);
    let in_time = Span::milliseconds(tally.longest_gap.took_ms.saturating_sub(tally.late_ms));
    let is_blurred = seen.is_some() && judged(Some(&in_time), String::new()).held != matched.held;
    Observed { matched: vec![matched], is_final, is_blurred }
}

/// Checks that at least `least` questions have an outcome. A failure is never final, because further outcomes can
/// follow.
pub(super) fn at_least(least: u64, tally: &Tally) -> Observed {
    let (expected, seen) = (format!("{least} probes or more"), format!("{} probes", tally.count));
    let matched = Matched::new(Matcher::AtLeast.name(), tally.count >= least, expected, seen);
    Observed { matched: vec![matched], is_final: false, is_blurred: false }
}

/// Describes the failures in words, for example `3 of 120: connect: refused (…), 3 times from 2.310 s to 2.460 s`.
fn failures_in_words(tally: &Tally) -> String {
    if tally.count == 0 && tally.dropped == 0 {
        return NO_PROBE.to_owned();
    }
    let mut words = format!("{} of {}", tally.failures, tally.count);
    let causes: Vec<String> = tally.causes.iter().take(CAUSES_SHOWN).map(ToString::to_string).collect();
    if !causes.is_empty() {
        words = format!("{words}: {}", causes.join("; "));
    }
    if tally.causes.len() > CAUSES_SHOWN {
        words = format!("{words}; and {} other causes", tally.causes.len() - CAUSES_SHOWN);
    }
    if tally.dropped > 0 {
        words = format!("{words}; {} more were dropped, because too many were in flight", tally.dropped);
    }
    words
}

fn serials_in_words(tally: &Tally) -> String {
    let each = tally.serials.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if each.is_empty() { "none".to_owned() } else { format!("{}: {each}", tally.serials.len()) }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::answer::{DnsReply, Reply};
    use parallax_vocab::{Answer, Certificate, ConnectFault, Evidence};
    use serde_json::json;

    use super::*;

    const GOOD: usize = 0;
    const REFUSED: usize = 1;

    fn kinds() -> Vec<Answer> {
        let leaf = |serial: &str| Certificate {
            subject: String::new(),
            issuer: String::new(),
            serial: serial.to_owned(),
            names: vec![],
            not_before: String::new(),
            not_after: String::new(),
            sha256: serial.to_owned(),
        };
        let with = |serial: &str| Evidence { chain: vec![leaf(serial)], ..Evidence::default() };
        let reply = || Ok(Reply::Dns(DnsReply { addresses: vec![], cnames: vec![], ttl_s: 0, searched: None }));
        let refused = Cause::Connect { fault: ConnectFault::Refused, detail: "10.0.0.1:9000".to_owned() };
        vec![
            Answer { outcome: reply(), evidence: with("0a") },
            Answer { outcome: Err(refused), evidence: Evidence::default() },
            Answer { outcome: reply(), evidence: with("0b") },
        ]
    }

    /// Builds a series from outcomes, each of which is (start, duration, kind). All times are in milliseconds.
    fn series(outcomes: &[(u64, u64, usize)], asked_for_ms: u64) -> Series {
        let outcomes = outcomes.iter().map(|(at, took, kind)| (at * 1000, took * 1000, *kind).into()).collect();
        Series { outcomes, kinds: kinds(), asked_for_us: asked_for_ms * 1000, ..Series::default() }
    }

    fn counted(series: &Series) -> Tally {
        tally(series, &Expected::Answer, &Seen::default())
    }

    #[test]
    fn a_gap_that_a_late_prober_explains_has_no_result() {
        let judged = |expect: serde_json::Value, gap_ms: u64, late_ms: u64| {
            let expect: Expect = serde_json::from_value(expect).expect("an expectation");
            let at = [(0, 1, GOOD), (gap_ms, 0, GOOD)];
            let series = Series { late_us: late_ms * 1000, ..series(&at, gap_ms) };
            let counted = judge_tally(&expect, &counted(&series));
            (counted.judgement.cause.is_none(), counted.blurred)
        };
        let below = json!({ "longest-gap": { "below": "3s" } });
        let between = json!({ "longest-gap": { "at-least": "9s", "below": "11s" } });
        // With this expectation, another matcher (`at-least`) fails too. So it does not matter that the prober was too
        // late to measure the longest gap exactly.
        let and_another = json!({ "longest-gap": { "below": "3s" }, "at-least": 50 });
        for (expect, gap_ms, late_ms, expected) in [
            (&below, 2_900, 2_000, (true, false)),
            (&below, 4_000, 100, (false, false)),
            (&below, 4_000, 1_500, (false, true)),
            (&and_another, 4_000, 1_500, (false, false)),
            (&between, 10_200, 300, (true, false)),
            (&between, 10_200, 1_500, (true, true)),
        ] {
            assert_eq!(judged(expect.clone(), gap_ms, late_ms), expected, "{expect} {gap_ms} {late_ms}");
        }
    }

    #[test]
    fn the_longest_gap_is_what_a_client_goes_without() {
        for (what, outcomes, asked_for_ms, (took_ms, from_ms, to_ms)) in [
            ("nothing at all", vec![], 0, (0, 0, 0)),
            ("nothing yet", vec![], 700, (700, 0, 700)),
            ("only failures", vec![(0, 1, REFUSED), (100, 1, REFUSED)], 200, (200, 0, 200)),
            ("steady", vec![(0, 5, GOOD), (50, 5, GOOD), (100, 5, GOOD)], 106, (50, 5, 55)),
            (
                "an outage in the middle",
                vec![(0, 5, GOOD), (50, 1, REFUSED), (900, 5, GOOD), (950, 5, GOOD)],
                960,
                (900, 5, 905),
            ),
            ("an outage at the beginning", vec![(0, 1, REFUSED), (400, 5, GOOD), (450, 5, GOOD)], 455, (405, 0, 405)),
            ("an outage that never ends", vec![(0, 5, GOOD), (50, 1, REFUSED)], 1000, (995, 5, 1000)),
            // An answer counts at the time at which it arrives. So the slow first answer is the last success here.
            ("answers that overtake", vec![(0, 500, GOOD), (50, 5, GOOD), (100, 5, GOOD)], 500, (395, 105, 500)),
            ("one that came after the end", vec![(0, 5, GOOD), (50, 500, GOOD)], 60, (545, 5, 550)),
        ] {
            let gap = counted(&series(&outcomes, asked_for_ms)).longest_gap;
            assert_eq!(gap, Gap { took_ms, from_ms, to_ms }, "{what}");
        }
    }

    #[test]
    fn causes_and_certificates_are_counted_with_their_instants() {
        let outcomes = [(0, 4, 0), (10, 6, REFUSED), (20, 8, 0), (30, 2, REFUSED), (40, 6, 2)];
        let tally = counted(&series(&outcomes, 50));
        assert_eq!((tally.count, tally.failures, tally.median_ms, tally.worst_ms), (5, 2, 6, 8));
        assert_eq!(
            tally.causes.iter().map(|it| (it.count, it.first_ms, it.last_ms)).collect::<Vec<_>>(),
            [(2, 16, 32)]
        );
        let serials: Vec<_> = tally.serials.iter().map(|it| (it.serial.as_str(), it.count, it.first_ms)).collect();
        assert_eq!(serials, [("0a", 2, 4), ("0b", 1, 46)]);
    }

    #[test]
    fn a_success_is_what_is_expected_of_it() {
        let expect: Expect = serde_json::from_value(json!({"dns": "no-such-name"})).expect("valid");
        let series = series(&[(0, 1, GOOD), (10, 1, REFUSED)], 20);
        let tally = tally(&series, &Expected::Declared(Box::new(expect)), &Seen::default());
        assert_eq!((tally.count, tally.failures), (2, 2));
    }

    #[test]
    fn figures_are_judged_and_what_can_only_get_worse_is_decided() {
        let tally = counted(&series(&[(0, 5, 0), (50, 1, REFUSED), (400, 5, 2)], 410));
        for (expect, cause, decided) in [
            (json!({"failures": 1, "at-least": 3, "serials": 2, "longest-gap": {"below": "401ms"}}), None, false),
            (json!({"longest-gap": {"at-least": "400ms", "below": "1s"}}), None, false),
            (
                json!({"failures": 0}),
                Some("failures: expected 0, saw 1 of 3: connect: refused (10.0.0.1:9000), once at 0.051 s"),
                true,
            ),
            (
                json!({"failures": 2}),
                Some("failures: expected 2, saw 1 of 3: connect: refused (10.0.0.1:9000), once at 0.051 s"),
                false,
            ),
            (json!({"at-least": 4}), Some("at-least: expected 4 probes or more, saw 3 probes"), false),
            (
                json!({"longest-gap": {"below": "400ms"}}),
                Some("longest-gap: expected below 400ms, saw 400 ms, from 0.005 s to 0.405 s"),
                true,
            ),
            (
                json!({"longest-gap": {"at-least": "1s"}}),
                Some("longest-gap: expected 1s or more, saw 400 ms, from 0.005 s to 0.405 s"),
                false,
            ),
            (json!({"serials": 1}), Some("serials: expected 1, saw 2: 0a, once at 0.005 s; 0b, once at 0.405 s"), true),
            (
                json!({"serials": 3, "failures": 0}),
                Some("failures: expected 0, saw 1 of 3: connect: refused (10.0.0.1:9000), once at 0.051 s"),
                true,
            ),
        ] {
            let wanted: Expect = serde_json::from_value(expect.clone()).expect("valid");
            let counted = judge_tally(&wanted, &tally);
            let said = counted.judgement.cause.map(|it| it.to_string());
            assert_eq!((said.as_deref(), counted.decided), (cause, decided), "{expect}");
        }
    }

    #[test]
    fn nothing_holds_of_what_was_never_probed() {
        for expect in [
            json!({"failures": 0}),
            json!({"serials": 0}),
            json!({"longest-gap": {"below": "5s"}}),
            json!({"at-least": 1}),
        ] {
            let wanted: Expect = serde_json::from_value(expect.clone()).expect("valid");
            let counted = judge_tally(&wanted, &counted(&series(&[], 0)));
            assert!(counted.judgement.cause.is_some(), "{expect}");
            assert!(!counted.decided, "{expect}");
        }
    }

    #[test]
    fn what_was_due_and_could_not_be_asked_is_a_failure() {
        let series = Series { dropped: 2, ..series(&[(0, 5, GOOD)], 10) };
        for (failures, held) in [(0, false), (2, true)] {
            let wanted: Expect = serde_json::from_value(json!({"failures": failures})).expect("valid");
            let counted = judge_tally(&wanted, &counted(&series));
            assert_eq!((counted.judgement.cause.is_none(), counted.decided), (held, !held), "{failures}");
        }
    }

    #[test]
    fn figures_of_an_agent_that_tells_nonsense_are_bounded() {
        let outcomes = vec![(u64::MAX, u64::MAX, GOOD).into(), (u64::MAX, 1, usize::MAX).into()];
        let series = Series { outcomes, kinds: kinds(), asked_for_us: u64::MAX, ..Series::default() };
        assert_eq!(counted(&series).count, 2);
    }
}
