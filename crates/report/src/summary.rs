//! Folds the events of a run into the summary from which all reports are made.

use std::collections::BTreeMap;

use parallax_vocab::course::Finding;
use parallax_vocab::event::{
    Demands, Exit, Failure, Outcome, Problem, Proof, RunEnded, RunStarted, StepEnded, VariantStarted,
};
use parallax_vocab::inert::inert_value;
use parallax_vocab::{Event, EventKind, VariantId};

use super::phases::Phases;
use parallax_vocab::event::AGAIN;

/// Everything that reports need, in the order of the events.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The first event: the run and its machine.
    pub run: Option<RunStarted>,
    /// Actions of the harness that people should know about.
    pub notes: Vec<String>,
    /// Warnings: what will probably cause a problem.
    pub warnings: Vec<String>,
    /// The set-up steps.
    pub setups: Vec<SetUp>,
    /// The scenarios with their variants.
    pub scenarios: Vec<Scenario>,
    /// The result of the clean-up.
    pub clean_up: Option<CleanUp>,
    /// The last event; absent if the run was killed or is still running.
    pub ended: Option<RunEnded>,
    /// How long each phase took.
    pub phases: Phases,
}

/// A set-up step.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// Its id, for example `image/minio`.
    pub id: String,
    /// What it does.
    pub title: String,
    /// When it started, in milliseconds since the run began.
    pub from_ms: u64,
    /// Duration in milliseconds. If the step never ended, up to the last event.
    pub took_ms: u64,
    /// How it ended; `None` if it did not end.
    pub detail: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// A scenario with those of its variants that were part of the run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, for example `presign/presigned-url`.
    pub name: String,
    /// Baseline and breaks, in the run's order.
    pub variants: Vec<Variant>,
}

/// A baseline or a break.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its id.
    pub id: VariantId,
    /// The event of its start; absent if it was never started.
    pub started: Option<VariantStarted>,
    /// When it started, in milliseconds since the run began.
    pub from_ms: u64,
    /// Its steps, in order.
    pub steps: Vec<StepEnded>,
    /// When each of `steps` ended, in milliseconds since the run began.
    pub ended_ms: Vec<u64>,
    /// How it ended; `None` if it did not end.
    pub outcome: Option<Outcome>,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// Failures of the harness, the engine or the machine after which it was run again (`--retry-machine`).
    pub retried: Vec<Failure>,
}

/// The result of the clean-up at the end of the run.
#[derive(Clone, Debug)]
pub struct CleanUp {
    /// How many containers, networks and volumes were removed.
    pub removed: usize,
    /// What still exists, each with the command that removes it.
    pub remaining: Vec<String>,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

/// The number of variants by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Variants that ended as expected.
    pub passed: usize,
    /// Variants that ended not as expected or with an error, or that never ended although the run was not interrupted.
    pub failed: usize,
    /// Variants that were skipped, or that did not run because the run was interrupted or enough others had failed.
    pub skipped: usize,
}

/// How a variant is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It ended as expected.
    Passed,
    /// It ended not as expected or with an error, or never ended although the run was not interrupted.
    Failed,
    /// It was skipped, or did not run because the run was interrupted or enough others had failed.
    Skipped,
}

impl Variant {
    /// How the variant is counted. `interrupted` tells whether the run was interrupted.
    pub fn counts_as(&self, interrupted: bool) -> Counted {
        match &self.outcome {
            Some(Outcome::AsExpected) => Counted::Passed,
            Some(Outcome::NotAsExpected { .. } | Outcome::Error { .. }) => Counted::Failed,
            None if !interrupted => Counted::Failed,
            Some(Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. }) | None => Counted::Skipped,
        }
    }

    /// Adds the result of a step. In a variant that stands, a step may run again: then its last result counts.
    fn take(&mut self, step: &StepEnded, at_ms: u64) {
        // The results of rounds stay in the order in which they ran, because a void round is followed by its repetition.
        let alone = step.course.round.is_none();
        if let Some(before) = self.steps.iter().position(|it| alone && it.step == step.step) {
            self.steps[before] = step.clone();
            self.ended_ms[before] = at_ms;
        } else {
            self.steps.push(step.clone());
            self.ended_ms.push(at_ms);
        }
    }

    /// The steps, each with the time at which it started and ended, in milliseconds since the run began.
    pub fn timed_steps(&self) -> impl Iterator<Item = (&StepEnded, u64, u64)> {
        let timed = self.steps.iter().zip(&self.ended_ms);
        timed.map(|(step, ended_ms)| (step, ended_ms.saturating_sub(step.took_ms), *ended_ms))
    }

    /// The break's name; `None` for the baseline.
    pub fn break_name(&self) -> Option<&str> {
        self.id.change()
    }

    /// `baseline` or the break's name.
    pub fn short_name(&self) -> &str {
        self.break_name().unwrap_or("baseline")
    }

    /// The problems of the system under test.
    pub fn problems(&self) -> &[Problem] {
        match &self.outcome {
            Some(Outcome::NotAsExpected { problems }) => problems,
            _ => &[],
        }
    }

    /// The last record of a step.
    pub fn step(&self, id: &str) -> Option<&StepEnded> {
        self.steps.iter().rev().find(|step| step.step.as_str() == id)
    }
}

/// The part of the set-up that an id means: a cluster that is tried again has the name of the first with a suffix.
fn part_of(id: &str) -> &str {
    id.split_once(AGAIN).map_or(id, |(part, _)| part)
}

/// Makes the texts of an event inert. A pod or a foreign record may have written them, and control characters in them,
/// for example, would act on the reader's terminal.
fn harmless(event: &Event) -> Event {
    let value = serde_json::to_value(event).map(inert_value);
    value.and_then(serde_json::from_value).unwrap_or_else(|_| Event {
        at_ms: event.at_ms,
        event: EventKind::Warning { text: "an event was left out: its words are no text for a report".to_owned() },
    })
}

impl Summary {
    /// Folds the events of a run. The events may be cut off anywhere.
    pub fn from_events(events: &[Event]) -> Self {
        let mut summary = Self { phases: Phases::from_events(events), ..Self::default() };
        for event in events {
            summary.take(&harmless(event));
        }
        let last_ms = events.last().map_or(0, |event| event.at_ms);
        for setup in summary.setups.iter_mut().filter(|setup| setup.detail.is_none()) {
            setup.took_ms = last_ms.saturating_sub(setup.from_ms);
        }
        summary.recover();
        summary
    }

    /// A set-up step that failed and succeeded when it was tried again is no failure any more; its words say so.
    fn recover(&mut self) {
        for number in 0..self.setups.len() {
            let (before, after) = self.setups.split_at_mut(number + 1);
            let setup = &mut before[number];
            let succeeded =
                |it: &SetUp| part_of(&it.id) == part_of(&setup.id) && it.detail.is_some() && it.error.is_none();
            if setup.error.is_some()
                && after.iter().any(succeeded)
                && let Some(failure) = setup.error.take()
            {
                setup.detail = Some(format!("failed, and succeeded when it was tried again: {}", failure.what));
            }
        }
    }

    fn take(&mut self, event: &Event) {
        match &event.event {
            EventKind::RunStarted(started) => {
                for id in &started.variants {
                    self.variant(id);
                }
                self.run = Some(started.clone());
            }
            EventKind::Note { text } => self.notes.push(text.clone()),
            EventKind::Warning { text } => self.warnings.push(text.clone()),
            EventKind::SetupStarted { id, title } => self.setups.push(SetUp {
                id: id.clone(),
                title: title.clone(),
                from_ms: event.at_ms,
                took_ms: 0,
                detail: None,
                error: None,
            }),
            EventKind::SetupEnded { id, took_ms, detail, error } => {
                let open = self.setups.iter_mut().rev().find(|setup| setup.id == *id && setup.detail.is_none());
                let ended = SetUp {
                    id: id.clone(),
                    title: open.as_ref().map_or_else(|| id.clone(), |setup| setup.title.clone()),
                    from_ms: event.at_ms.saturating_sub(*took_ms),
                    took_ms: *took_ms,
                    detail: Some(detail.clone()),
                    error: error.clone(),
                };
                match open {
                    Some(setup) => *setup = ended,
                    None => self.setups.push(ended),
                }
            }
            EventKind::VariantStarted(started) => {
                let variant = self.variant(&started.variant);
                variant.started = Some(started.clone());
                variant.from_ms = event.at_ms;
                // A variant that stands may run again from its beginning.
                variant.steps.clear();
                variant.ended_ms.clear();
            }
            EventKind::StepEnded(step) => self.variant(&step.variant).take(step, event.at_ms),
            EventKind::VariantEnded(ended) => {
                let variant = self.variant(&ended.variant);
                if let Some(Outcome::Error { failure }) = variant.outcome.replace(ended.outcome.clone()) {
                    variant.retried.push(failure);
                }
                variant.took_ms = ended.took_ms;
            }
            EventKind::CleanedUp { removed, remaining, took_ms } => {
                self.clean_up = Some(CleanUp { removed: *removed, remaining: remaining.clone(), took_ms: *took_ms });
            }
            EventKind::RunEnded(ended) => self.ended = Some(ended.clone()),
            EventKind::SetupProgress { .. } | EventKind::StepStarted { .. } => {}
        }
    }

    fn variant(&mut self, id: &VariantId) -> &mut Variant {
        let name = id.scenario();
        let known = self.scenarios.iter().position(|scenario| scenario.name == name);
        let index = known.unwrap_or_else(|| {
            self.scenarios.push(Scenario { name: name.to_owned(), variants: Vec::new() });
            self.scenarios.len() - 1
        });
        let variants = &mut self.scenarios[index].variants;
        let known = variants.iter().position(|variant| variant.id == *id);
        let index = known.unwrap_or_else(|| {
            variants.push(Variant {
                id: id.clone(),
                started: None,
                from_ms: 0,
                steps: Vec::new(),
                ended_ms: Vec::new(),
                outcome: None,
                took_ms: 0,
                retried: Vec::new(),
            });
            variants.len() - 1
        });
        &mut variants[index]
    }

    /// Findings, each once: the scenario and step that showed it, and what it means. Only baselines count,
    /// because a break may change the attack into something that is allowed.
    pub fn findings(&self) -> Vec<(String, &Finding)> {
        let mut findings: Vec<(String, &Finding)> = Vec::new();
        for scenario in &self.scenarios {
            let baselines = scenario.variants.iter().filter(|variant| variant.break_name().is_none());
            for step in baselines.flat_map(|variant| &variant.steps) {
                let Some(finding) = &step.course.finding else { continue };
                let shown_by = format!("{}: {}", scenario.name, step.step);
                if findings.iter().all(|(by, _)| *by != shown_by) {
                    findings.push((shown_by, finding));
                }
            }
        }
        findings
    }

    /// Every variant, in the run's order.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.scenarios.iter().flat_map(|scenario| &scenario.variants)
    }

    /// Whether the run was interrupted.
    pub fn interrupted(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Interrupted)
            || self.variants().any(|variant| variant.outcome == Some(Outcome::Interrupted))
    }

    /// Counts the variants, for every report. A run that failed without a failed variant counts as one failure, so
    /// that no reader mistakes it for a success.
    pub fn totals(&self) -> Totals {
        let interrupted = self.interrupted();
        let mut totals = Totals::default();
        for variant in self.variants() {
            match variant.counts_as(interrupted) {
                Counted::Passed => totals.passed += 1,
                Counted::Failed => totals.failed += 1,
                Counted::Skipped => totals.skipped += 1,
            }
        }
        totals.failed += usize::from(self.fails_as_a_whole());
        totals
    }

    /// Whether the run failed although no variant failed.
    pub fn fails_as_a_whole(&self) -> bool {
        let interrupted = self.interrupted();
        let failed = self.ended.as_ref().is_none_or(|ended| ended.failure.is_some())
            || self.lacks_proof()
            || self.only_skips()
            || self.setups.iter().any(|setup| setup.error.is_some());
        failed && !interrupted && self.variants().all(|it| it.counts_as(interrupted) != Counted::Failed)
    }

    /// How many answers of stores are not confirmed by the trace of a store.
    pub fn unconfirmed(&self) -> usize {
        let steps = || self.variants().flat_map(|variant| &variant.steps);
        // Several steps may count the answers of one prober, each from its beginning.
        let mut probers: BTreeMap<(&VariantId, u64), u64> = BTreeMap::new();
        for (variant, tally) in steps().filter_map(|step| Some((&step.variant, step.course.tally.as_ref()?))) {
            let count = probers.entry((variant, tally.began_unix_ms)).or_default();
            *count = tally.of_a_store.max(*count);
        }
        let of_probers = probers.into_values().fold(0u64, u64::saturating_add);
        let of_steps = steps().filter(|step| step.is_unconfirmed()).count();
        of_steps.saturating_add(usize::try_from(of_probers).unwrap_or(usize::MAX))
    }

    /// The demands of the run beyond verdicts.
    fn demands(&self) -> Demands {
        self.run.as_ref().map(|run| run.demands).unwrap_or_default()
    }

    /// Matchers that no break of the run turned red, but an altered answer did.
    pub fn proven_by_altered(&self) -> &[String] {
        self.ended.as_ref().map_or(&[], |ended| &ended.proven_by_altered)
    }

    /// Matchers that neither a break nor an altered answer turned red.
    pub fn unproven(&self) -> &[String] {
        self.ended.as_ref().map_or(&[], |ended| &ended.unproven)
    }

    /// Whether proof was demanded and a matcher has none.
    pub fn lacks_proof(&self) -> bool {
        self.demands().proof && !self.unproven().is_empty()
    }

    /// Whether proof was demanded and none is missing.
    pub fn has_proof(&self) -> bool {
        self.demands().proof && self.ended.is_some() && self.unproven().is_empty()
    }

    /// Whether every variant was skipped, and the run's demands do not allow that. Such a run shows nothing.
    pub fn only_skips(&self) -> bool {
        let mut variants = self.variants().peekable();
        variants.peek().is_some()
            && variants.all(|variant| matches!(variant.outcome, Some(Outcome::Skipped { .. })))
            && !self.demands().allow_skips
    }

    /// How the process ended. A record without a last event is a failure of the harness, because it cannot show that
    /// the rest of the run is as declared.
    pub fn exit(&self) -> Exit {
        match &self.ended {
            Some(ended) => ended.exit,
            None if self.interrupted() => Exit::Interrupted,
            None => Exit::Harness,
        }
    }

    /// Returns the same run after its record or reports could not be written, with the reason in `why`. A pass
    /// without evidence becomes an error of the harness. A red verdict stays, so that nothing hides it.
    #[must_use]
    pub fn unwritten(mut self, why: Option<String>) -> Self {
        if let (Some(what), Some(ended)) = (why, &mut self.ended)
            && ended.exit == Exit::AsExpected
        {
            ended.exit = Exit::Harness;
            ended.failure = Some(Failure { what, fix: None, evidence: Vec::new() });
        }
        self
    }

    /// The last event of a run. `failure` tells why the run itself failed, `interrupted` whether it was interrupted.
    pub fn ending(&self, proof: Proof, failure: Option<Failure>, interrupted: bool, took_ms: u64) -> RunEnded {
        let exit = Exit::Interrupted;
        let Proof { none: unproven, by_altered: proven_by_altered } = proof;
        let mut ended =
            RunEnded { exit, passed: 0, failed: 0, skipped: 0, unproven, proven_by_altered, took_ms, failure };
        if !interrupted {
            let closed = Self { ended: Some(ended.clone()), ..self.clone() };
            ended.exit = closed.exit_of(ended.failure.as_ref());
        }
        let totals = Self { ended: Some(ended.clone()), ..self.clone() }.totals();
        (ended.passed, ended.failed, ended.skipped) = (totals.passed, totals.failed, totals.skipped);
        ended
    }

    /// The exit code of the worst result. From the worst: an interruption, an error of the harness, a failed
    /// expectation.
    fn exit_of(&self, failure: Option<&Failure>) -> Exit {
        let any = |test: fn(&Variant) -> bool| self.variants().any(test);
        if any(|variant| variant.outcome == Some(Outcome::Interrupted)) {
            Exit::Interrupted
        } else if failure.is_some()
            || any(|variant| matches!(variant.outcome, None | Some(Outcome::Error { .. })))
            || self.setups.iter().any(|setup| setup.error.is_some())
        {
            Exit::Harness
        } else if any(|variant| matches!(variant.outcome, Some(Outcome::NotAsExpected { .. }))) {
            Exit::NotAsExpected
        } else if self.only_skips() {
            Exit::Harness
        } else if self.lacks_proof() {
            Exit::NotAsExpected
        } else {
            Exit::AsExpected
        }
    }
}
