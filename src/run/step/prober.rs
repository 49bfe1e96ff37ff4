//! `background` starts a prober; `prober` counts what it has seen.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use parallax_vocab::Question;
use parallax_vocab::prober::{ProberQuestion, Series};
use parallax_vocab::tally::Tally;

use super::{Attempt, Tried};
use crate::run::error::RunError;
use crate::run::probers::Running;
use crate::run::question::{Asking, Asks};
use parallax_judge::{Counted, Expected};
use parallax_language::scenario::model::{BackgroundStep, Expect, ProberStep, Probing, Source};

pub(super) async fn start(it: &Attempt<'_>, background: &BackgroundStep) -> Result<Tried, RunError> {
    let asking = Asking { scene: &it.stage.scene, kept: it.kept, token: None, place: &IndexMap::new() };
    let probe = match &background.probe {
        Probing::Dns(dns) => dns.probe(&asking),
        Probing::Tls(tls) => tls.probe(&asking),
        Probing::Http(http) => http.probe(&asking),
    };
    let probe = probe.map_err(|reason| it.wrong(reason))?;
    let (from, vantage) = it.vantage()?;
    let deadline_ms = u64::try_from(background.within.as_millis()).unwrap_or(0);
    let question = Question { view: it.stage.scene.view(vantage), deadline_ms, probe };
    let expect = it.expect()?;
    let kept = Kept::of(expect.as_ref());
    let expected = expect.map_or(Expected::Answer, |expect| Expected::Declared(Box::new(expect)));
    let asked =
        ProberQuestion { question: question.clone(), rate: background.rate, headers: kept.headers, body: kept.body };
    it.deeds.asks(&asked.question.probe);
    let prober = it.stage.vantage(it.variant, from).prober(asked).await?;
    it.probers.keep(&it.step.id, Running { prober, expected, seen: it.kept.seen.clone() }).await;
    Ok(Tried { question: Some(question), ..Tried::default() })
}

/// What a prober keeps of an answer, beyond what it keeps of each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    headers: BTreeSet<String>,
    body: bool,
}

impl Kept {
    /// What the matchers read.
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
                    // Kept of each answer: a store's, a name's and a connection's. For the others no prober asks.
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
    let Running { prober, expected, seen } = running;
    let expect = it.expect()?.unwrap_or_default();
    let judged = |series: &Series| judged(&expect, parallax_judge::tally(series, expected, seen));
    // One that is waited for goes on until it is as expected; then what was in flight is counted too.
    if step.stop && it.step.eventually.is_some() {
        let tried = judged(prober.read().await?);
        if tried.judgement.cause.is_some() {
            return Ok(tried);
        }
    }
    Ok(judged(if step.stop { prober.stop().await? } else { prober.read().await? }))
}

fn judged(expect: &Expect, tally: Tally) -> Tried {
    let Counted { judgement, decided } = parallax_judge::judge_tally(expect, &tally);
    let (other, expect) = (serde_json::to_value(&tally).ok(), Some(Box::new(expect.clone())));
    Tried { other, tally: Some(tally), decided, expect, ..Tried::judged(judgement) }
}
