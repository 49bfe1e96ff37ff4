//! Runs a variant's flow: the order of its steps, blocked steps, rounds, and the results that later steps use.
//!
//! The module `run::step` makes a single try of a step. It has one file for each group of similar kinds of steps.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parallax_vocab::course::{Course, Finding, Round};
use parallax_vocab::event::{Outcome, StepEnded, VariantStarted, Verdict};
use parallax_vocab::signature::SignatureFinding;
use parallax_vocab::{Cause, EventKind, StepId, VantageId, millis};

use super::apart::Apart;
use super::environment::Stage;
use super::error::RunError;
use super::lives::{self, Lives};
use super::pods::Pods;
use super::probers::Probers;
use super::results::Results;
use super::rounds::{self, Rounds};
use super::settle::{self, Settled};
use super::side_effects::SideEffects;
use super::step::{Attempt, Tried};
use super::{chain, concealed, reached, reset, signature};
use parallax_judge::StepResult;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{RepeatStep, Step, VantageSpec, Vulnerable};
use parallax_plan::VariantPlan;
use parallax_record::Noted as _;

/// Runs a variant and reports how each step and the variant ended. `lives` describes the containers that ran before the
/// first flow of the environment, and `apart` says which events and log lines the variant may see. Returns the changes
/// that the flow made to the environment.
pub(super) async fn run(
    stage: &Stage<'_>,
    variant: &VariantPlan,
    lives: &Lives,
    apart: &Apart,
) -> Result<SideEffects, RunError> {
    let mut flow = Flow::begin(stage, Cow::Borrowed(variant), lives, apart);
    let outcome = match flow.whole().await {
        Ok(outcome) => outcome,
        Err(error) => {
            // After an error, no further variant runs in this environment, so the objects in its namespace may stay.
            // But other environments of the cluster still run. They must not see the cluster-scoped objects of this
            // flow, so these objects are removed.
            if !error.is_silence() && !stage.context.options.keep {
                let taken_away = Box::pin(reset::wide_taken_away(stage, &flow.effects)).await;
                taken_away.noted("remove the cluster-wide objects of a flow that ended with an error");
            }
            return Err(error);
        }
    };
    stage.context.verdicts.say(&variant.id, outcome, flow.took_ms());
    Ok(flow.effects)
}

/// The value of `{{ variant.nonce }}`: a word that is different for each variant and for each run.
fn nonce(stage: &Stage<'_>, variant: &VariantPlan) -> String {
    let of = format!("{} {}", stage.context.options.id, variant.id);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes());
    digest.as_ref()[..4].iter().fold(String::from("n"), |word, byte| format!("{word}{byte:02x}"))
}

/// A running flow of a variant, with the results and the effects of its steps so far.
pub(super) struct Flow<'a> {
    stage: &'a Stage<'a>,
    pub(super) variant: Cow<'a, VariantPlan>,
    lives: &'a Lives,
    pods: Pods,
    apart: &'a Apart,
    probers: Probers,
    pub(super) effects: SideEffects,
    results: Results,
    /// The ids of the steps that failed or were blocked. A step that needs one of them is blocked.
    not_passed: BTreeSet<String>,
    /// The last time at which a step failed in a way that can result from the end of a container, for example because
    /// no answer came. The harness may not have noticed yet that the container has ended.
    silence: Option<Instant>,
    began: (Instant, Duration),
}

impl<'a> Flow<'a> {
    /// Reports that the flow of a variant begins. No step has run yet.
    pub(super) fn begin(
        stage: &'a Stage<'a>,
        variant: Cow<'a, VariantPlan>,
        lives: &'a Lives,
        apart: &'a Apart,
    ) -> Self {
        stage.context.sink.say(EventKind::VariantStarted(VariantStarted {
            variant: variant.id.clone(),
            summary: variant.variant.summary.clone(),
            cluster: stage.scene.cluster.name.clone(),
            namespace: stage.scene.plan.namespace.clone(),
            hosts: stage.scene.plan.hosts.clone(),
            file: variant.file.clone(),
        }));
        Self {
            results: Results::of(nonce(stage, &variant)),
            stage,
            variant,
            lives,
            pods: lives.pods(&stage.scene.plan.namespace),
            apart,
            probers: Probers::default(),
            effects: SideEffects::default(),
            not_passed: BTreeSet::new(),
            silence: None,
            began: (Instant::now(), Duration::from_millis(parallax_probe::unix_ms())),
        }
    }

    /// The time since the flow began, in milliseconds.
    pub(super) fn took_ms(&self) -> u64 {
        millis(self.began.0.elapsed())
    }

    /// Runs the whole flow and ends its probers. The result says whether the variant behaved as its scenario declares.
    /// An error means that the harness failed, or that a part of the environment ended on its own.
    pub(super) async fn whole(&mut self) -> Result<Outcome, RunError> {
        let flow = self.variant.variant.scenario.flow.clone();
        let results = self.steps(&flow).await;
        let broke = self.effects.is_empty() && self.stage.a_trace_broke_since(self.began.1);
        let silence = if broke { Some(Instant::now()) } else { self.silence };
        self.end_probers().await;
        // If the apiserver has just failed to answer, it is not asked whether a container or node has ended, because
        // that would only take time.
        if !results.as_ref().is_err_and(RunError::is_silence) {
            let ended = Box::pin(self.lives.ended(self.stage, (&self.effects, &mut self.pods), silence)).await;
            match (&results, ended) {
                (_, Ok(ended)) if !ended.is_empty() => {
                    let seen = match &results {
                        Ok(results) => {
                            results.iter().map(|it| it.sentence.clone()).filter(|it| !it.is_empty()).collect()
                        }
                        Err(error) => vec![error.to_string()],
                    };
                    return Err(lives::died(self.stage, &self.variant, ended, seen).await);
                }
                (Ok(_), Err(error)) => return Err(error),
                _ => {}
            }
        }
        Ok(self.judged(&flow, &results?))
    }

    /// Runs the steps in `steps`, which are a part of the flow. Returns whether their results are as the variant
    /// declares.
    pub(super) async fn part(&mut self, steps: &[Step]) -> Result<Outcome, RunError> {
        // A step that runs again is not blocked by its own earlier failure.
        self.not_passed.retain(|id| steps.iter().all(|it| it.id != *id));
        let results = self.steps(steps).await?;
        Ok(self.judged(steps, &results))
    }

    /// Consumes the flow and returns its variant.
    pub(super) fn into_variant(self) -> VariantPlan {
        self.variant.into_owned()
    }

    /// Ends the probers that the flow's steps have started so far.
    pub(super) async fn end_probers(&mut self) {
        std::mem::take(&mut self.probers).end().await;
    }

    /// Reads the pods of the environment again, after something else than a step has replaced some of them.
    pub(super) async fn look(&mut self) {
        Box::pin(lives::look(self.stage, &self.effects, &mut self.pods, None)).await;
    }

    /// Compares the results of the steps in `flow` with what the variant declares. If `flow` is only a part of the
    /// variant's flow, only declarations about steps that ran are compared.
    fn judged(&self, flow: &[Step], results: &[StepResult]) -> Outcome {
        let inner = &self.variant.variant;
        let ran = |id: &String| results.iter().any(|it| it.step == *id);
        let part = flow.len() < inner.scenario.flow.len();
        let fails = inner.fails.iter().filter(|(id, _)| !part || ran(id));
        let blocks: Vec<String> = inner.blocks.iter().filter(|id| !part || ran(id)).cloned().collect();
        let problems = parallax_judge::problems(flow, fails, &blocks, results);
        if problems.is_empty() { Outcome::AsExpected } else { Outcome::NotAsExpected { problems } }
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<Vec<StepResult>, RunError> {
        let mut results = Vec::new();
        for step in steps {
            match step.repeat() {
                Some(repeat) => results.extend(self.rounds(step, repeat).await?),
                None => results.push(self.step(step, None, false).await?.0),
            }
        }
        Ok(results)
    }

    /// Runs the steps of a `repeat` in rounds. No further round begins after a round in which a step did not pass.
    async fn rounds(&mut self, step: &Step, repeat: &RepeatStep) -> Result<Vec<StepResult>, RunError> {
        let context = self.stage.context;
        let drawn = u64::try_from(context.start.unix_timestamp()).unwrap_or_default();
        let mut rounds = Rounds::new(step, repeat, context.options.seed, drawn);
        context.sink.note(format!("{}: {}", self.variant.id, rounds.in_words()));
        let mut results = Vec::new();
        while rounds.next() {
            self.results.begin_round(rounds.number);
            let mut of_round = Vec::new();
            let mut void = None;
            for inner in &repeat.flow {
                let (result, why) = self.step(inner, Some(rounds.round(inner)), rounds.may_be_void()).await?;
                of_round.push(result);
                void = rounds::void(&of_round, why);
                if void.is_some() {
                    break;
                }
            }
            if let Some(why) = void {
                let number = rounds.number;
                context.sink.note(format!("{}: round {number} is void and is run again: {why}", self.variant.id));
                rounds.was_void();
                self.results.void_round();
                continue;
            }
            results.append(&mut of_round);
            if results.iter().any(|it| it.verdict != Verdict::Passed) {
                break;
            }
        }
        self.results.end_rounds(rounds.void);
        Ok(results)
    }

    /// Runs a step. Returns the step's result and, if the step makes its round void, the reason. `may_be_void` is false
    /// if the step is in no `repeat`, or if no further void round is allowed. If it is false, the step fails instead of
    /// making a round void.
    async fn step(
        &mut self,
        step: &Step,
        round: Option<Round>,
        may_be_void: bool,
    ) -> Result<(StepResult, Option<String>), RunError> {
        let (variant, id) = (self.variant.id.clone(), StepId::new(step.id.clone()));
        let place = self.variant.places.get(&step.id).cloned().unwrap_or_default();
        let within = settle::within(step) + step.consistently.map_or(Duration::ZERO, Span::to_duration);
        let deadline_ms = millis(within);
        self.stage.context.sink.say(EventKind::StepStarted { variant: variant.clone(), step: id.clone() });
        let needed = parallax_language::scenario::dependencies(&self.variant.variant.scenario, step);
        let blocked_by: Vec<StepId> = needed.into_iter().filter(|it| self.not_passed.contains(it.as_str())).collect();
        // The time in which the agent is first placed in an application's pod does not count towards the step's time
        // limit. A step with `eventually` may find that the pod does not run yet. This is no error here, because each
        // of its tries places the agent again.
        if blocked_by.is_empty()
            && let Err(error) = self.attempt(step, &place, within).guest_comes().await
            && !(error.may_pass() && step.eventually.is_some())
        {
            return Err(error);
        }
        let began = Instant::now();
        let settled = if blocked_by.is_empty() {
            if let Some(after_ms) = round.as_ref().and_then(|it| it.after_ms) {
                // The scenario declares this delay before the step, so a sleep is correct here.
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            let attempt = self.attempt(step, &place, within);
            Box::pin(settle::settle(attempt, self.variant.variant.fails.get(&step.id))).await?
        } else {
            Settled::default()
        };
        let Settled { attempts, last: mut tried, held, in_row } = settled;
        let void = tried.as_mut().and_then(|tried| tried.void.take());
        if let (Some(tried), Some(void), false) = (&mut tried, &void, may_be_void) {
            void.count(step, &place, tried)?;
        }
        let void = void.map(|it| it.why);
        if let Some(tried) = &mut tried {
            tried.prove(step, &self.results.seen).await;
        }
        let cause = tried.as_ref().and_then(|it| it.judgement.cause.clone());
        self.no_error_of_the_network(step, tried.as_ref(), cause.as_ref())?;
        let verdict = match (&tried, &cause) {
            (None, _) => Verdict::Blocked,
            (Some(_), Some(_)) => Verdict::Failed,
            (Some(_), None) => Verdict::Passed,
        };
        self.keep(step, verdict, tried.as_ref()).await;
        let (expect, looked) = tried.as_ref().map(Tried::judged_by).unwrap_or_default();
        let finding = step.vulnerable.as_ref().filter(|_| verdict == Verdict::Passed).map(finding);
        let hole = step.vulnerable.as_ref().filter(|_| verdict == Verdict::Failed);
        let closed = hole.map(|hole| hole.advisory.clone());
        let missed = tried.as_ref().and_then(|it| it.judgement.missed()).cloned();
        let signature = self.signature(tried.as_ref()).await.map(Box::new);
        let link = self.broken_link(step, tried.as_ref(), cause.as_ref()).await;
        let took_ms = millis(began.elapsed());
        if let Some(tried) = &mut tried {
            tried.conclude().await;
        }
        let Tried { question, answer, witness, judgement, mut captured, secret, notes, tally, figure, moments, .. } =
            tried.unwrap_or_default();
        for (name, value) in &mut captured {
            *value = if secret.contains(name) { concealed::digest(value) } else { concealed::conceal(value) };
        }
        let from = step.from.as_deref();
        let vantage = from.and_then(|id| self.variant.variant.scenario.vantages.get(id));
        let ended = StepEnded {
            variant,
            step: id,
            kind: step.kind().to_string(),
            from: from.map(VantageId::from),
            verdict,
            cause: cause.clone(),
            matchers: judgement.matchers,
            attempts,
            took_ms,
            deadline_ms,
            question,
            answer,
            witness,
            course: Course {
                expect,
                looked,
                captured,
                in_row,
                held,
                notes,
                finding,
                shows: step.shows.clone(),
                closed,
                link,
                tally,
                moments,
                figure,
                void: void.clone(),
                round,
            },
            signature,
            inside: vantage.is_some_and(VantageSpec::is_inside),
            blocked_by,
            place: place.clone(),
        };
        // The sentence that explains the cause is built from the recorded event. So `parallax explain` builds the same
        // sentence from the record.
        let sentence = if cause.is_some() { parallax_explain::of_step(&ended) } else { String::new() };
        self.stage.context.sink.say(EventKind::StepEnded(Box::new(ended)));
        let void = void.filter(|_| verdict == Verdict::Passed);
        Ok((StepResult { step: step.id.clone(), verdict, cause, missed, place, sentence }, void))
    }

    /// Stores what later steps and the end of the flow need: the step's results, and whether the step passed.
    async fn keep(&mut self, step: &Step, verdict: Verdict, tried: Option<&Tried>) {
        // Nothing replaces the pods of the set-up until a step of the flow changes something. So the pods are read
        // again only after such a step.
        if !self.effects.is_empty() {
            let acted = step.action.changes().map(|_| verdict == Verdict::Passed);
            Box::pin(lives::look(self.stage, &self.effects, &mut self.pods, acted)).await;
        }
        if verdict == Verdict::Passed {
            self.not_passed.remove(&step.id);
        } else {
            self.not_passed.insert(step.id.clone());
        }
        let Some(tried) = tried else { return };
        if tried.judgement.cause.as_ref().is_some_and(Cause::may_be_a_death) {
            self.silence = Some(Instant::now());
        }
        self.results.keep(step, tried);
    }

    /// Returns an error if a step got no connection because the cluster's own network does not work. Such a failure
    /// proves nothing about the system under test.
    fn no_error_of_the_network(
        &self,
        step: &Step,
        tried: Option<&Tried>,
        cause: Option<&Cause>,
    ) -> Result<(), RunError> {
        let pod = step.from.as_ref().and_then(|from| self.variant.pods.get(from));
        let answer = tried.and_then(|it| it.answer.as_ref());
        let (Some(pod), Some(answer), Some(cause)) = (pod, answer, cause) else { return Ok(()) };
        reached::error(self.stage, pod, answer, cause).map_or(Ok(()), Err)
    }

    /// Prepares one try of a step. `left` is the time limit of the try, and `place` is the step's place in the scenario
    /// file.
    fn attempt<'b>(&'b self, step: &'b Step, place: &'b str, left: Duration) -> Attempt<'b> {
        let Self { stage, apart, .. } = *self;
        let Self { variant, results, probers, effects, pods, .. } = self;
        Attempt { stage, variant, step, results, probers, effects, pods, apart, place, left }
    }

    /// Finds out why the store refused a signature. `None` if the step did not fail for this reason. The search must
    /// happen during the run, because it needs the secrets, which the record does not contain.
    async fn signature(&self, tried: Option<&Tried>) -> Option<SignatureFinding> {
        let tried = tried?;
        let (question, answer) = (tried.question.as_ref()?, tried.answer.as_ref()?);
        tried.judgement.cause.as_ref()?;
        let presigned = &self.results.presigned;
        let case = signature::case(&self.stage.scene, question, answer, tried.witness.as_ref(), presigned)?;
        // The search computes thousands of signatures. It runs on its own thread, so that it does not delay other
        // flows.
        let found = tokio::task::spawn_blocking(move || case.finding()).await;
        found.noted("find out why a signature was refused")
    }

    /// A sentence that says why a store refused to exchange a web identity token, for example because the token has
    /// expired. `None` if no token exchange failed, or if the facts show no reason.
    async fn broken_link(&self, step: &Step, tried: Option<&Tried>, cause: Option<&Cause>) -> Option<String> {
        let question = tried?.question.as_ref()?;
        chain::broken_link(self.stage, &self.variant, step, question, cause?).await
    }
}

/// The finding to report for a step that has demonstrated a known vulnerability.
fn finding(hole: &Vulnerable) -> Finding {
    let Vulnerable { advisory, means, instead } = hole.clone();
    Finding { advisory, means, instead }
}
