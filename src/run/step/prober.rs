//! Runs the steps `background` and `prober`. A `background` step starts a prober. A `prober` step judges the answers
//! that this prober has got so far.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use parallax_vocab::Question;
use parallax_vocab::prober::{ProberQuestion, Series};
use parallax_vocab::tally::Tally;

use super::probe::identity;
use super::void::Void;
use super::{Attempt, Tried};
use crate::run::error::RunError;
use crate::run::existing;
use crate::run::guests::for_the_record;
use crate::run::probers::Running;
use crate::run::question::Known;
use crate::run::token;
use parallax_judge::{Counted, Expected, Judgement};
use parallax_language::scenario::action::Special;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{BackgroundStep, Expect, ProberStep, Source};
use parallax_record::Noted as _;

pub(super) async fn start(it: &Attempt<'_>, background: &BackgroundStep) -> Result<Tried, RunError> {
    let Special { token, token_of, presents, .. } = background.probe.asks().special();
    let token = token::of_step(it, token, token_of).await?;
    let known = Known { scene: &it.stage.scene, results: it.results, token, variables: &IndexMap::new() };
    let probe = it.words().question(background.probe.asks(), &known).map_err(|reason| it.wrong(reason))?;
    existing::permitted(&it.stage.scene, &probe).map_err(|reason| it.wrong(reason))?;
    let (from, vantage) = it.vantage()?;
    let deadline_ms = u64::try_from(background.within.as_millis()).unwrap_or(0);
    let seat = it.stage.vantage(it.variant, from).await.map_err(|reason| it.wrong(reason))?;
    let view = seat.view(it.stage.scene.view(vantage)).map_err(|reason| it.wrong(reason))?;
    let mut question = Question { view, deadline_ms, probe };
    question.view.identity = identity(it, presents)?;
    let expect = it.expect()?;
    let kept = Kept::of(expect.as_ref());
    let expected = expect.map_or(Expected::Answer, |expect| Expected::Declared(Box::new(expect)));
    let asked =
        ProberQuestion { question: question.clone(), rate: background.rate, headers: kept.headers, body: kept.body };
    it.effects.asked(&asked.question.probe);
    let prober = seat.prober(asked).await?;
    for_the_record(&mut question);
    it.probers
        .keep(&it.step.id, Running { prober, question: question.clone(), expected, seen: it.results.seen.clone() })
        .await;
    Ok(Tried { question: Some(question), ..Tried::default() })
}

/// Which parts of each answer a prober keeps for the matchers, in addition to the parts that it always keeps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    headers: BTreeSet<String>,
    body: bool,
}

impl Kept {
    /// Returns the parts of an answer that the matchers of the expectation `expect` read.
    fn of(expect: Option<&Expect>) -> Self {
        let mut kept = Self::default();
        for wanted in expect.into_iter().flat_map(Expect::wanted) {
            for source in wanted.matcher().reads() {
                match source {
                    Source::Headers => {
                        let names = expect.iter().flat_map(|it| it.headers.iter().flatten());
                        kept.headers.extend(names.map(|(name, _)| name.to_lowercase()));
                    }
                    Source::Body => kept.body = true,
                    // The prober always keeps the parts `Store`, `Name` and `Connection` of an answer. The other parts
                    // never occur in an answer to a prober's question.
                    Source::Store
                    | Source::Name
                    | Source::Connection
                    | Source::TokenService
                    | Source::Token
                    | Source::Listing
                    | Source::Client
                    | Source::Program
                    | Source::Object
                    | Source::Events
                    | Source::Log
                    | Source::Prober
                    | Source::Figures
                    | Source::Measure
                    | Source::Database
                    | Source::Replica => {}
                }
            }
        }
        kept
    }
}

pub(super) async fn count(it: &Attempt<'_>, step: &ProberStep) -> Result<Tried, RunError> {
    let mut probers = it.probers.lock().await;
    let running = probers.get_mut(&*step.of).ok_or_else(|| it.wrong(format!("no prober `{}` was started", step.of)))?;
    let Running { prober, question, expected, seen } = running;
    let expect = it.expect()?.unwrap_or_default();
    let judged = |series: &Series| {
        let of_a_store = series.of_a_store(question);
        let tally = Tally { of_a_store, ..parallax_judge::tally(series, expected, seen) };
        let (tried, blurred) = judged(&expect, &tally);
        let is_last = tried.decided || tried.judgement.cause.is_none() || it.step.eventually.is_none();
        if blurred && is_last {
            return Err(blurred_by_the_machine(it, &tally));
        }
        Ok(match step.exact.filter(|_| is_last).and_then(|exact| too_inexact(exact, &tally)) {
            // The measured times are too inexact to say anything about the system under test. So the step is void, and
            // its times are not judged.
            Some(void) => Tried { void: Some(void), judgement: Judgement::default(), ..tried },
            None => tried,
        })
    };
    // With `eventually`, the prober continues until its answers so far meet the expectation. Then the prober is
    // stopped. All its answers are judged once more, now including the answers to its last questions.
    if step.stop && it.step.eventually.is_some() {
        let tried = judged(prober.read().await?)?;
        if tried.judgement.cause.is_some() {
            return Ok(tried);
        }
    }
    judged(if step.stop { prober.stop().await? } else { prober.read().await? })
}

/// Judges the prober's statistics (`tally`). Also returns true if the prober sent its questions too late: the
/// statistics then cannot decide whether the expectation is met.
fn judged(expect: &Expect, tally: &Tally) -> (Tried, bool) {
    let Counted { judgement, decided, blurred } = parallax_judge::judge_tally(expect, tally);
    let (other, expect) = (serde_json::to_value(tally).noted("record a tally"), Some(Box::new(expect.clone())));
    (Tried { other, tally: Some(tally.clone()), decided, expect, ..Tried::judged(judgement) }, blurred)
}

/// What the user can do if the machine is too busy to measure.
const TOO_BUSY: &str =
    "the machine is too busy to measure this; give the run fewer jobs (`--jobs 1`), or the prober a lower `rate`";

fn blurred_by_the_machine(it: &Attempt<'_>, tally: &Tally) -> RunError {
    RunError::Machine {
        what: format!(
            "{}: step `{}`: the prober asked up to {} ms late, and its longest gap is {}: without the delay the result would be another one",
            it.place, it.step.id, tally.late_ms, tally.longest_gap
        ),
        fix: TOO_BUSY.to_owned(),
    }
}

/// The reason why the times that a prober measured do not count: their error is larger than `exact`, the largest error
/// that the step allows. `None` if the times count.
fn too_inexact(exact: Span, tally: &Tally) -> Option<Void> {
    let error = Span::milliseconds(tally.late_ms.max(tally.median_ms));
    (error > exact).then(|| Void {
        why: format!(
            "the prober asked up to {} ms late, and a success took {} ms in the median, so its times are not exact to {exact}",
            tally.late_ms, tally.median_ms
        ),
        fix: Some(TOO_BUSY),
    })
}

#[cfg(test)]
mod tests {
    use parallax_vocab::tally::Gap;

    use super::*;

    #[test]
    fn figures_count_up_to_the_allowed_error() {
        let tally = |late_ms, median_ms| Tally {
            began_unix_ms: 0,
            asked_for_ms: 1000,
            count: 100,
            failures: 0,
            dropped: 0,
            in_flight: 0,
            of_a_store: 0,
            longest_gap: Gap::default(),
            median_ms,
            worst_ms: median_ms,
            late_ms,
            causes: Vec::new(),
            serials: Vec::new(),
        };
        let void =
            |late_ms, median_ms| too_inexact(Span::milliseconds(50), &tally(late_ms, median_ms)).map(|it| it.why);
        assert_eq!((void(50, 50), void(0, 5)), (None, None));
        let late = void(51, 5).expect("the prober asked too late");
        assert!(late.contains("up to 51 ms late") && late.contains("exact to 50ms"), "{late}");
        assert!(void(1, 476).is_some_and(|why| why.contains("took 476 ms in the median")));
    }
}
