//! One try of a step: executes the step according to its role and kind, and returns the result. There is one file for
//! each group of similar kinds of steps.

mod act;
mod cluster;
mod database;
mod figures;
mod probe;
mod prober;
mod void;

pub(super) use act::within as act_within;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::course::{Figure, Moment};
use parallax_vocab::event::Witness;
use parallax_vocab::tally::Tally;
use parallax_vocab::{Answer, Question, Secret};
use serde_json::Value;

use super::apart::Apart;
use super::concealed;
use super::environment::Stage;
use super::error::RunError;
use super::guests::{Guest, for_the_record};
use super::pods::Pods;
use super::probers::Probers;
use super::results::{Results, Words};
use super::side_effects::SideEffects;
use parallax_judge::{Expected, Judgement, Look, Looked, Seen};
use parallax_language::scenario::action::{Directing, Implied, Looking, Role};
use parallax_language::scenario::meaning::empty_texts;
use parallax_language::scenario::model::{Expect, Step, VantageSpec};
use parallax_language::scenario::parts::Parts;
use parallax_language::scenario::target::{Aimed, Target};
use parallax_plan::VariantPlan;
use parallax_record::Noted as _;
use void::Void;

/// One try of one step, with all data that the try needs.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) variant: &'a VariantPlan,
    pub(super) step: &'a Step,
    pub(super) results: &'a Results,
    pub(super) probers: &'a Probers,
    pub(super) effects: &'a SideEffects,
    pub(super) pods: &'a Pods,
    /// Decides which events and log lines of the environment the variant may see.
    pub(super) apart: &'a Apart,
    /// The place of the step in the scenario file, as `file:line`.
    pub(super) place: &'a str,
    /// The time that is left for the step.
    pub(super) left: Duration,
}

/// The result of one try of a step.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// The question that the step sent to its vantage, with all certificates that the vantage trusts. `None` if the
    /// step uses no vantage.
    pub(super) question: Option<Question>,
    /// The vantage's answer to the question.
    pub(super) answer: Option<Answer>,
    /// The agent that got the question, if it is in an application's own pod and used the settings of the harness.
    /// `None` for any other vantage, and if the agent used the settings of the application.
    pub(super) guest: Option<Arc<Guest>>,
    /// The result of a step without a vantage, as JSON: an object, events, log lines, or the result of a change. The
    /// step's `capture` reads values from this JSON.
    pub(super) other: Option<Value>,
    /// The value of `{{ STEP }}` in later steps. `None` if the step produces no value.
    pub(super) value: Option<String>,
    /// Lines that are shown to the user in addition to the result, such as the last lines of a log.
    pub(super) notes: Vec<String>,
    /// Where the request came from, according to the store's trace. `None` if no trace can tell this.
    pub(super) witness: Option<Witness>,
    /// The expectation, with its references (`{{ }}`) replaced by values. `None` if the step has no `expect`.
    pub(super) expect: Option<Box<Expect>>,
    /// What the step observed, such as an object or log lines. `None` if the step asks a vantage or judges a prober.
    pub(super) looked: Option<Box<Looked>>,
    /// Whether the result meets the expectation, and the cause if it does not.
    pub(super) judgement: Judgement,
    /// The captured values, by name.
    pub(super) captured: BTreeMap<String, Value>,
    /// The names of captured values that are secret.
    pub(super) secret: BTreeSet<String>,
    /// The statistics of a prober's outcomes. `None` if the step does not judge a prober.
    pub(super) tally: Option<Tally>,
    /// Things that happened during the try, each with its time.
    pub(super) moments: Vec<Moment>,
    /// The statistics of a number that was measured in all rounds of a `repeat`. `None` if the step is not a `figures`
    /// step.
    pub(super) figure: Option<Figure>,
    /// The reason why the round of a `repeat` is void: the try could not be carried out as intended. `None` if the
    /// round is valid.
    pub(super) void: Option<Void>,
    /// Whether the failure of this try is final, so that no further try can hold.
    pub(super) decided: bool,
}

impl Tried {
    /// The result of a try that consists of its judgement alone.
    pub(super) fn judged(judgement: Judgement) -> Self {
        Self { judgement, ..Self::default() }
    }

    /// A try that observed something without a vantage, such as an object or log lines. The observation is judged by
    /// the expectation.
    pub(super) fn looked(expect: Option<&Expect>, looked: Looked) -> Self {
        let judgement = parallax_judge::judge_look(expect, &looked);
        let (expect, looked) = (expect.cloned().map(Box::new), Some(Box::new(looked)));
        Self { expect, looked, ..Self::judged(judgement) }
    }

    /// Judges altered answers. An altered answer is the real answer with one change. If a matcher fails on an altered
    /// answer, this proves that the matcher can fail, and the matcher is marked. There are hundreds of altered answers,
    /// so they are judged on a thread of their own. Otherwise they would delay other flows.
    pub(super) async fn prove(&mut self, step: &Step, seen: &Seen) {
        let Self { answer, tally, looked, expect, judgement, .. } = self;
        if judgement.cause.is_some() || judgement.matchers.is_empty() {
            return;
        }
        let expected = expect.clone().map_or_else(|| implied(step), Expected::Declared);
        let (judged, seen) = (judgement.clone(), seen.clone());
        let (answer, tally, looked) = (answer.clone(), tally.clone(), looked.clone());
        let proven = tokio::task::spawn_blocking(move || {
            let look: Option<Look<'_>> = match (&answer, &tally, &looked) {
                (Some(answer), _, _) => Some(answer.into()),
                (None, Some(tally), _) => Some(tally.into()),
                (None, None, looked) => looked.as_deref().map(Into::into),
            };
            look.map(|look| parallax_judge::prove(judged, &expected, look, &seen))
        });
        if let Some(proven) = proven.await.noted("judge altered answers").flatten() {
            *judgement = proven;
        }
    }

    /// If the step asked about DNS or TLS from an application's own pod, asks once more with the settings of the
    /// application, and notes the answer. Then removes the parts of the question that the record does not need. Call
    /// this function only when the verdict of the step is known, so that the second answer cannot change the verdict.
    pub(super) async fn conclude(&mut self) {
        if let (Some(guest), Some(question), Some(answer)) = (&self.guest, &self.question, &self.answer) {
            self.notes.extend(guest.beside(question, answer).await);
        }
        if let Some(question) = &mut self.question {
            for_the_record(question);
        }
    }

    /// The expectation, and what the step observed, as the JSON that is written into the record.
    pub(super) fn judged_by(&self) -> (Option<Value>, Option<Value>) {
        let expect = self.expect.as_ref().and_then(|it| serde_json::to_value(it).noted("record an expectation"));
        (expect, self.looked.as_ref().and_then(|it| serde_json::to_value(it).noted("record an observation")))
    }
}

/// What a step without `expect` expects of its answer, by the kind of the step.
fn implied(step: &Step) -> Expected {
    match step.action.rules().implied() {
        Implied::Success => Expected::Success,
        Implied::Answer => Expected::Answer,
    }
}

impl<'a> Attempt<'a> {
    /// Executes the step once. A failure of the system under test is not an error, but is contained in the judgement.
    /// An error is a failure of the harness.
    pub(super) async fn run(&self) -> Result<Tried, RunError> {
        let mut tried = match self.step.action.role() {
            Role::Asks(it) => probe::run(self, it).await,
            Role::Changes(_, change) => act::run(self, change).await,
            Role::Looks(_, Looking::Sqlite(it)) => database::run(self, &self.fill(it)?).await,
            Role::Looks(_, Looking::Resource(it)) => cluster::resource(self, &self.fill(it)?).await,
            Role::Looks(_, Looking::Log(it)) => cluster::log(self, it).await,
            Role::Looks(_, Looking::Event(it)) => cluster::event(self, it).await,
            Role::Directs(_, Directing::Background(it)) => prober::start(self, it).await,
            Role::Directs(_, Directing::Prober(it)) => prober::count(self, it).await,
            Role::Directs(_, Directing::Measure(it)) => figures::measure(self, &self.fill(it)?),
            Role::Directs(_, Directing::Figures(it)) => figures::run(self, it),
            // The flow itself runs the steps of a `repeat`, so there is nothing to do here.
            Role::Directs(_, Directing::Repeat(_)) => Ok(Tried::default()),
        }?;
        if !self.step.capture.is_empty() {
            let whole = tried.answer.as_ref().map(parallax_judge::answer_as_json).or_else(|| tried.other.clone());
            let whole = whole.unwrap_or_default();
            tried.captured = parallax_judge::capture(&self.step.capture, &whole, &mut tried.judgement);
            tried.secret = self.secret(&whole, &tried.captured);
        }
        Ok(tried)
    }

    /// Returns the names of the captured values that are secret. Registers these values with the redactor, before a
    /// value can be written or shown.
    fn secret(&self, whole: &Value, captured: &BTreeMap<String, Value>) -> BTreeSet<String> {
        let secret = self.step.capture.iter().filter(|(_, it)| it.secret || concealed::is_within(whole, &it.path));
        let secret: BTreeSet<String> = secret.map(|(name, _)| name.clone()).collect();
        for (name, value) in captured.iter().filter(|(name, _)| secret.contains(*name)) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if self.step.capture.get(name).is_some_and(|it| it.secret) {
                self.stage.context.redactor.register(&Secret::new(text));
            } else {
                let path = self.step.capture.get(name).map_or("", |it| it.path.as_str());
                let key = path.rsplit('/').next().unwrap_or_default();
                self.stage.context.redactor.register_found(key, &text);
            }
        }
        secret
    }

    /// The vantage from which the step asks: its id and its declaration.
    pub(super) fn vantage(&self) -> Result<(&'a str, &'a VantageSpec), RunError> {
        let from = self.step.from.as_deref().unwrap_or_default();
        let vantage = self.variant.variant.scenario.vantages.get(from);
        Ok((from, vantage.ok_or_else(|| self.wrong(format!("`{from}` is not a vantage")))?))
    }

    /// Everything to which `{{ }}` can refer in this step.
    pub(super) fn words(&self) -> Words<'a> {
        Words { scene: &self.stage.scene, results: self.results }
    }

    /// A part of the step, with its references (`{{ }}`) replaced by values.
    pub(super) fn fill<T: Parts>(&self, it: &T) -> Result<T, RunError> {
        self.words().fill(it).map_err(|reason| self.wrong(reason))
    }

    /// The target of the step, such as the object of a `log` step, with its references (`{{ }}`) replaced by values.
    pub(super) fn target<T: Target>(&self, it: &Aimed<T>) -> Result<T, RunError> {
        self.words().target(it).map_err(|reason| self.wrong(reason))
    }

    /// The step's expectation, with its references (`{{ }}`) replaced by values. `None` if the step has no `expect`.
    pub(super) fn expect(&self) -> Result<Option<Expect>, RunError> {
        let expect = self.step.expect.as_ref().map(|it| self.words().expect(it)).transpose();
        let expect = expect.map_err(|reason| self.wrong(reason))?;
        expect.as_ref().map_or(Ok(()), |it| self.says_something(it))?;
        Ok(expect)
    }

    /// Returns an error if a text of the expectation is empty after its references (`{{ }}`) were replaced. An
    /// expectation with an empty text would always hold or never hold, so it would prove nothing.
    fn says_something(&self, expect: &Expect) -> Result<(), RunError> {
        match empty_texts(expect).first() {
            Some(name) => Err(self.wrong(format!("`{name}` is empty once its references are filled in"))),
            None => Ok(()),
        }
    }

    /// Returns the namespace of the variant.
    pub(super) fn namespace(&self) -> &str {
        &self.stage.scene.plan.namespace
    }

    /// The error for a step that cannot be carried out as it is written. The system under test is not the reason.
    pub(super) fn wrong(&self, reason: String) -> RunError {
        RunError::Step { place: self.place.to_owned(), step: self.step.id.clone(), reason }
    }
}
