//! Running one variant's flow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use parallax_vocab::answer::Reply;
use parallax_vocab::event::{Outcome, StepEnded, VariantStarted, Verdict, Witness};
use parallax_vocab::{Answer, Cause, EventKind, Question, StepId, VantageId};

use super::environment::Stage;
use super::error::RunError;
use super::{millis, question};
use crate::apply::ApplyError;
use crate::explain::{self, Subject};
use crate::judge::{self, Expected, Judgement, Seen, StepResult};
use crate::plan::VariantPlan;
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
    let mut flow =
        Flow { stage, variant, yielded: BTreeMap::new(), seen: Seen::default(), not_passed: BTreeSet::new() };
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

struct Flow<'a, 'b> {
    stage: &'a Stage<'b>,
    variant: &'a VariantPlan,
    /// What `{{ step }}` stands for.
    yielded: BTreeMap<String, String>,
    seen: Seen,
    /// Steps that failed or were blocked.
    not_passed: BTreeSet<String>,
}

/// What one try of a step brought.
struct Tried {
    question: Option<Question>,
    answer: Option<Answer>,
    witness: Option<Witness>,
    judgement: Judgement,
}

impl Flow<'_, '_> {
    async fn step(&mut self, step: &Step) -> Result<StepResult, RunError> {
        let (variant, id) = (self.variant.id.clone(), StepId::new(step.id.clone()));
        let place = self.variant.places.get(&step.id).cloned().unwrap_or_default();
        let within = step.eventually.map_or(STEP_WITHIN, crate::scenario::duration::Span::to_duration);
        let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.stage.context.sink.say(EventKind::StepStarted { variant: variant.clone(), step: id.clone() });
        let began = Instant::now();
        let needed = crate::scenario::dependencies(&self.variant.variant.scenario, step);
        let blocked = needed.iter().any(|it| self.not_passed.contains(it.as_str()));
        let (tried, attempts) = if blocked { (None, 0) } else { self.settle(step, within, &place).await? };
        let cause = tried.as_ref().and_then(|it| it.judgement.cause.clone());
        let verdict = match (&tried, &cause) {
            (None, _) => Verdict::Blocked,
            (Some(_), Some(_)) => Verdict::Failed,
            (Some(_), None) => Verdict::Passed,
        };
        if verdict != Verdict::Passed {
            self.not_passed.insert(step.id.clone());
        }
        self.keep(step, tried.as_ref());
        let sentence = self.sentence(step, tried.as_ref(), cause.as_ref());
        let missed = tried.as_ref().and_then(|it| it.judgement.missed()).cloned();
        let (question, answer, witness, matchers) = match tried {
            Some(it) => (it.question, it.answer, it.witness, it.judgement.matchers),
            None => (None, None, None, Vec::new()),
        };
        self.stage.context.sink.say(EventKind::StepEnded(Box::new(StepEnded {
            variant,
            step: id,
            kind: step.action().to_string(),
            from: step.from.as_deref().map(VantageId::from),
            verdict,
            cause: cause.clone(),
            matchers,
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
    async fn settle(&self, step: &Step, within: Duration, place: &str) -> Result<(Option<Tried>, u32), RunError> {
        let declared: Option<&CauseSpec> = self.variant.variant.fails.get(&step.id);
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = within.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            let tried = self.attempt(step, left, place).await?;
            let settled = match &tried.judgement.cause {
                None => declared.is_none(),
                Some(cause) => declared.is_some_and(|spec| judge::matches(spec, cause)),
            };
            if settled || step.eventually.is_none() || began.elapsed() + AGAIN_AFTER >= within {
                return Ok((Some(tried), attempts));
            }
            // A declared effect with a deadline of its own: there is nothing that could be watched.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn attempt(&self, step: &Step, left: Duration, place: &str) -> Result<Tried, RunError> {
        let wrong = |reason: String| RunError::Step { place: place.to_owned(), step: step.id.clone(), reason };
        let plain = |judgement| Tried { question: None, answer: None, witness: None, judgement };
        if let Some(resource) = &step.resource {
            let namespace = resource.namespace.as_deref().unwrap_or(&self.stage.scene.plan.namespace);
            let name = self.stage.scene.render(&resource.name, &self.yielded).map_err(wrong)?;
            let looked = self.stage.applier.get(&resource.api_version, &resource.kind, namespace, &name).await?;
            let (what, object) = looked;
            let expect = step.expect.as_ref().map(|it| self.render_expect(it)).transpose().map_err(wrong)?;
            return Ok(plain(judge::judge_object(&what, expect.as_ref(), object.as_ref())));
        }
        if let Some(apply) = &step.apply {
            for object in &apply.objects {
                let object = self.render_value(object).map_err(wrong)?;
                match self.stage.applier.apply(&object, &self.stage.scene.plan.namespace, place).await {
                    Ok(_) => {}
                    Err(ApplyError::Refused { resource, source, .. }) => {
                        let cause = Cause::Resource { resource, detail: source.to_string() };
                        return Ok(plain(Judgement { matchers: Vec::new(), cause: Some(cause) }));
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            return Ok(plain(Judgement::default()));
        }
        let probe = question::probe(&self.stage.scene, step, &self.yielded).map_err(wrong)?;
        let from = step.from.as_deref().unwrap_or_default();
        let vantage = self.variant.variant.scenario.vantages.get(from);
        let vantage = vantage.ok_or_else(|| wrong(format!("`{from}` is not a vantage")))?;
        let view = self.stage.scene.view(vantage);
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let question = Question { view, deadline_ms, probe };
        let answer = self.stage.vantage(from, vantage).ask(question.clone()).await?;
        let expect = step.expect.as_ref().map(|it| self.render_expect(it)).transpose().map_err(wrong)?;
        let expected = match expect {
            Some(expect) => Expected::Declared(Box::new(expect)),
            None if step.s3.is_some() => Expected::Success,
            None => Expected::Answer,
        };
        let judgement = judge::judge(&expected, &answer, &self.seen);
        let witness = self.stage.witness(from, vantage, &answer).await;
        let judgement = disagreement(judgement, witness.as_ref());
        Ok(Tried { question: Some(question), answer: Some(answer), witness, judgement })
    }

    /// Keeps what later steps refer to.
    fn keep(&mut self, step: &Step, tried: Option<&Tried>) {
        let Some(answer) = tried.and_then(|it| it.answer.as_ref()) else { return };
        if let Some(Reply::Presign(presign)) = &answer.reply {
            self.yielded.insert(step.id.clone(), presign.url.clone());
        }
        if !answer.evidence.chain.is_empty() {
            self.seen.chains.insert(step.id.clone(), answer.evidence.chain.clone());
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

    fn render_value(&self, value: &serde_json::Value) -> Result<serde_json::Value, String> {
        use serde_json::Value;
        Ok(match value {
            Value::String(text) => Value::String(self.stage.scene.render(text, &self.yielded)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.render_value(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| Ok((key.clone(), self.render_value(value)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn render_expect(&self, expect: &crate::scenario::model::Expect) -> Result<crate::scenario::model::Expect, String> {
        let value = serde_json::to_value(expect).map_err(|error| error.to_string())?;
        serde_json::from_value(self.render_value(&value)?).map_err(|error| error.to_string())
    }
}

/// An answer that came from elsewhere than the vantage says nothing about the vantage, however well it reads.
fn disagreement(judgement: Judgement, witness: Option<&Witness>) -> Judgement {
    match (witness, &judgement.cause) {
        (Some(witness), None) if !witness.agrees => {
            let cause = Cause::Mismatch {
                matcher: "witness".to_owned(),
                expected: "a request from where the vantage is".to_owned(),
                seen: format!("the store saw it come from {}", witness.source),
            };
            Judgement { cause: Some(cause), ..judgement }
        }
        _ => judgement,
    }
}
