//! A variant's flow: the order of its steps, what is blocked, how often a step is tried, and what is kept.
//!
//! What one try of a step does is in `run::step`, a file for each family of kinds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parallax_vocab::event::{Outcome, StepEnded, VariantStarted, Verdict};
use parallax_vocab::{Cause, EventKind, StepId, VantageId};

use super::environment::Stage;
use super::error::RunError;
use super::kept::Kept;
use super::millis;
use super::step::{Attempt, Tried};
use crate::explain::{self, Subject};
use crate::judge::{self, StepResult};
use crate::plan::VariantPlan;
use crate::scenario::duration::Span;
use crate::scenario::model::{CauseSpec, Step};

/// A step without `eventually` must be settled within this time.
const STEP_WITHIN: Duration = Duration::from_secs(15);
/// Between two tries of a step with `eventually`: what it waits for takes effect in its own time and gives no notice.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Runs a variant and says how each step and the whole ended.
pub(super) async fn run(stage: &Stage<'_>, variant: &VariantPlan) -> Result<(), RunError> {
    let began = Instant::now();
    let sink = &stage.context.sink;
    sink.say(EventKind::VariantStarted(VariantStarted {
        variant: variant.id.clone(),
        summary: variant.variant.summary.clone(),
        cluster: stage.scene.cluster.name.clone(),
        namespace: stage.scene.plan.namespace.clone(),
        hosts: stage.scene.plan.hosts.clone(),
        file: variant.file.clone(),
    }));
    let mut flow = Flow { stage, variant, kept: Kept::default(), not_passed: BTreeSet::new() };
    let mut results = Vec::new();
    for step in &variant.variant.scenario.flow {
        results.push(flow.step(step).await?);
    }
    let inner = &variant.variant;
    let problems = judge::problems(&inner.scenario.flow, &inner.fails, &inner.blocks, &results);
    let outcome = if problems.is_empty() { Outcome::AsExpected } else { Outcome::NotAsExpected { problems } };
    stage.context.verdicts.say(&variant.id, outcome, millis(began));
    Ok(())
}

struct Flow<'a> {
    stage: &'a Stage<'a>,
    variant: &'a VariantPlan,
    kept: Kept,
    /// Steps that failed or were blocked.
    not_passed: BTreeSet<String>,
}

/// The tries of a step: how many, and what the last one brought.
#[derive(Default)]
struct Settled {
    attempts: u32,
    last: Option<Tried>,
}

impl Flow<'_> {
    async fn step(&mut self, step: &Step) -> Result<StepResult, RunError> {
        let (variant, id) = (self.variant.id.clone(), StepId::new(step.id.clone()));
        let place = self.variant.places.get(&step.id).cloned().unwrap_or_default();
        let within = step.eventually.map_or(STEP_WITHIN, Span::to_duration);
        let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.stage.context.sink.say(EventKind::StepStarted { variant: variant.clone(), step: id.clone() });
        let began = Instant::now();
        let needed = crate::scenario::dependencies(&self.variant.variant.scenario, step);
        let blocked = needed.iter().any(|it| self.not_passed.contains(it.as_str()));
        let settled = if blocked { Settled::default() } else { self.settle(step, within, &place).await? };
        let Settled { attempts, last: tried } = settled;
        let cause = tried.as_ref().and_then(|it| it.judgement.cause.clone());
        let verdict = match (&tried, &cause) {
            (None, _) => Verdict::Blocked,
            (Some(_), Some(_)) => Verdict::Failed,
            (Some(_), None) => Verdict::Passed,
        };
        if verdict != Verdict::Passed {
            self.not_passed.insert(step.id.clone());
        }
        if let Some(tried) = &tried {
            self.kept.keep(step, tried);
        }
        let sentence = self.sentence(step, tried.as_ref(), cause.as_ref());
        let missed = tried.as_ref().and_then(|it| it.judgement.missed()).cloned();
        let Tried { question, answer, witness, judgement, .. } = tried.unwrap_or_default();
        self.stage.context.sink.say(EventKind::StepEnded(Box::new(StepEnded {
            variant,
            step: id,
            kind: step.action().to_string(),
            from: step.from.as_deref().map(VantageId::from),
            verdict,
            cause: cause.clone(),
            matchers: judgement.matchers,
            attempts,
            took_ms: millis(began),
            deadline_ms,
            question,
            answer,
            witness,
            place: place.clone(),
        })));
        Ok(StepResult { step: step.id.clone(), verdict, cause, missed, place, sentence })
    }

    /// Tries until the expectation holds, the declared failure is seen, or the time is over. Only a step with
    /// `eventually` is tried more than once.
    async fn settle(&self, step: &Step, within: Duration, place: &str) -> Result<Settled, RunError> {
        let declared: Option<&CauseSpec> = self.variant.variant.fails.get(&step.id);
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = within.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            let (stage, variant, kept) = (self.stage, self.variant, &self.kept);
            let tried = Attempt { stage, variant, step, kept, place, left }.run().await?;
            let settled = match &tried.judgement.cause {
                None => declared.is_none(),
                Some(cause) => declared.is_some_and(|spec| judge::matches(spec, cause)),
            };
            if settled || step.eventually.is_none() || began.elapsed() + AGAIN_AFTER >= within {
                return Ok(Settled { attempts, last: Some(tried) });
            }
            // A declared effect with a deadline of its own: there is nothing that could be watched.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn sentence(&self, step: &Step, tried: Option<&Tried>, cause: Option<&Cause>) -> String {
        let Some(cause) = cause else { return String::new() };
        let from = step.from.as_deref();
        let vantage = from.and_then(|id| self.variant.variant.scenario.vantages.get(id));
        let subject = Subject {
            step: &step.id,
            from,
            inside: vantage.is_some_and(|it| it.pod.is_some()),
            question: tried.and_then(|it| it.question.as_ref()),
            answer: tried.and_then(|it| it.answer.as_ref()),
        };
        explain::sentence(&subject, cause)
    }
}
