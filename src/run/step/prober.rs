//! The steps `background` and `prober`: `background` starts a prober, and `prober` judges the prober's outcomes so far.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use parallax_vocab::Question;
use parallax_vocab::prober::{ProberQuestion, Series};
use parallax_vocab::tally::Tally;

use super::probe::identity;
use super::{Attempt, Tried};
use crate::run::error::RunError;
use crate::run::probers::Running;
use crate::run::question::Known;
use crate::run::token;
use parallax_judge::{Counted, Expected};
use parallax_language::scenario::action::Special;
use parallax_language::scenario::model::{BackgroundStep, Expect, ProberStep, Source};
use parallax_record::Noted as _;

pub(super) async fn start(it: &Attempt<'_>, background: &BackgroundStep) -> Result<Tried, RunError> {
    let Special { token, token_of, presents, .. } = background.probe.asks().special();
    let token = token::of_step(it, token, token_of).await?;
    let known = Known { scene: &it.stage.scene, results: it.results, token, variables: &IndexMap::new() };
    let probe = it.words().question(background.probe.asks(), &known).map_err(|reason| it.wrong(reason))?;
    let (from, vantage) = it.vantage()?;
    let deadline_ms = u64::try_from(background.within.as_millis()).unwrap_or(0);
    let mut question = Question { view: it.stage.scene.view(vantage), deadline_ms, probe };
    question.view.identity = identity(it, presents)?;
    let expect = it.expect()?;
    let kept = Kept::of(expect.as_ref());
    let expected = expect.map_or(Expected::Answer, |expect| Expected::Declared(Box::new(expect)));
    let asked =
        ProberQuestion { question: question.clone(), rate: background.rate, headers: kept.headers, body: kept.body };
    it.effects.asked(&asked.question.probe);
    let prober = it.stage.vantage(it.variant, from).prober(asked).await?;
    // The private key of the client's certificate is removed, because the record does not need it.
    question.view.identity = None;
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
    /// The parts that the matchers of an expectation read.
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
                    // The prober always keeps what the matchers with the sources `Store`, `Name` and `Connection` read.
                    // No answer to a prober's question contains the other sources.
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
        Ok(tried)
    };
    // With `eventually`, the prober continues until its outcomes so far are as expected. Only then it is stopped, and
    // the answers to its last questions are counted too.
    if step.stop && it.step.eventually.is_some() {
        let tried = judged(prober.read().await?)?;
        if tried.judgement.cause.is_some() {
            return Ok(tried);
        }
    }
    judged(if step.stop { prober.stop().await? } else { prober.read().await? })
}

/// Judges the prober's statistics. Also returns whether the prober asked so late that the statistics do not decide
/// about the expectation.
fn judged(expect: &Expect, tally: &Tally) -> (Tried, bool) {
    let Counted { judgement, decided, blurred } = parallax_judge::judge_tally(expect, tally);
    let (other, expect) = (serde_json::to_value(tally).noted("record a tally"), Some(Box::new(expect.clone())));
    (Tried { other, tally: Some(tally.clone()), decided, expect, ..Tried::judged(judgement) }, blurred)
}

fn blurred_by_the_machine(it: &Attempt<'_>, tally: &Tally) -> RunError {
    RunError::Machine {
        what: format!(
            "{}: step `{}`: the prober asked up to {} ms late, and its longest gap is {}: without the delay the result would be another one",
            it.place, it.step.id, tally.late_ms, tally.longest_gap
        ),
        fix: "the machine is too busy to measure this; give the run fewer jobs (`--jobs 1`), or the prober a lower `rate`"
            .to_owned(),
    }
}
