//! A variant's flow: the order of its steps, what is blocked, how often a step is tried, and what is kept.
//!
//! What one try of a step does is in `run::step`, a file for each family of kinds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parallax_vocab::course::{Course, Finding, Held};
use parallax_vocab::event::{Outcome, StepEnded, VariantStarted, Verdict};
use parallax_vocab::{Cause, EventKind, StepId, VantageId};

use super::environment::Stage;
use super::error::RunError;
use super::kept::Kept;
use super::millis;
use super::settle::{self, Settled};
use super::step::{Attempt, Tried};
use crate::explain::{self, Subject};
use crate::judge::{self, StepResult};
use crate::plan::VariantPlan;
use crate::scenario::duration::Span;
use crate::scenario::model::{Step, Vulnerable};

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

impl Flow<'_> {
    async fn step(&mut self, step: &Step) -> Result<StepResult, RunError> {
        let (variant, id) = (self.variant.id.clone(), StepId::new(step.id.clone()));
        let place = self.variant.places.get(&step.id).cloned().unwrap_or_default();
        let within = settle::within(step) + step.consistently.map_or(Duration::ZERO, Span::to_duration);
        let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.stage.context.sink.say(EventKind::StepStarted { variant: variant.clone(), step: id.clone() });
        let began = Instant::now();
        let needed = crate::scenario::dependencies(&self.variant.variant.scenario, step);
        let blocked = needed.iter().any(|it| self.not_passed.contains(it.as_str()));
        let settled = if blocked {
            Settled::default()
        } else {
            let (stage, variant, kept, place) = (self.stage, self.variant, &self.kept, place.as_str());
            let attempt = Attempt { stage, variant, step, kept, place, left: within };
            settle::settle(attempt, variant.variant.fails.get(&step.id)).await?
        };
        let Settled { attempts, last: tried, held } = settled;
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
        let finding = step.vulnerable.as_ref().filter(|_| verdict == Verdict::Passed).map(finding);
        let sentence = self.sentence(step, tried.as_ref(), cause.as_ref(), held.as_ref());
        let missed = tried.as_ref().and_then(|it| it.judgement.missed()).cloned();
        let Tried { question, answer, witness, judgement, captured, told, .. } = tried.unwrap_or_default();
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
            course: Course { captured, held, told, finding },
            place: place.clone(),
        })));
        Ok(StepResult { step: step.id.clone(), verdict, cause, missed, place, sentence })
    }

    fn sentence(&self, step: &Step, tried: Option<&Tried>, cause: Option<&Cause>, held: Option<&Held>) -> String {
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
        let sentence = explain::sentence(&subject, cause);
        let sentence = match &step.vulnerable {
            Some(hole) => explain::closed(&sentence, &hole.advisory),
            None => sentence,
        };
        match held.and_then(|it| it.broke.map(|broke| (it, broke))) {
            Some((held, broke)) => {
                format!("{sentence}; it broke at try {broke}, after it had held for {} ms", held.held_ms)
            }
            None => sentence,
        }
    }
}

/// A known hole that was seen open.
fn finding(hole: &Vulnerable) -> Finding {
    let Vulnerable { advisory, means, instead } = hole.clone();
    Finding { advisory, means, instead }
}
