//! The fold: from the events of a run to what can be said about it.

use parallax_vocab::course::Finding;
use parallax_vocab::event::{
    Demands, Exit, Failure, Outcome, Problem, Proof, RunEnded, RunStarted, StepEnded, VariantStarted,
};
use parallax_vocab::inert::inert_value;
use parallax_vocab::{Event, EventKind, VariantId};

use super::phases::Phases;

/// Everything that reports need, in the order in which it happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The run and its surroundings.
    pub run: Option<RunStarted>,
    /// What the harness did that people should know.
    pub notes: Vec<String>,
    /// What will probably hurt.
    pub warnings: Vec<String>,
    /// Parts of the environment.
    pub setups: Vec<SetUp>,
    /// Scenarios with their variants.
    pub scenarios: Vec<Scenario>,
    /// What was removed.
    pub clean_up: Option<CleanUp>,
    /// The run's end; absent when it was killed or is still running.
    pub ended: Option<RunEnded>,
    /// Where the time went.
    pub phases: Phases,
}

/// A part of the environment.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// Its id, for example `image/minio`.
    pub id: String,
    /// What was being done.
    pub title: String,
    /// Duration in milliseconds; up to the last event where it never ended.
    pub took_ms: u64,
    /// How it ended; `None` where it did not.
    pub detail: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// A scenario with the variants that the run held of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `presign/presigned-url`
    pub name: String,
    /// Baseline and breaks, in the run's order.
    pub variants: Vec<Variant>,
}

/// A baseline or a break.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its id.
    pub id: VariantId,
    /// Where it ran; absent if it was never reached.
    pub started: Option<VariantStarted>,
    /// Its steps, in order.
    pub steps: Vec<StepEnded>,
    /// How it ended; `None` where it never did.
    pub outcome: Option<Outcome>,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

/// What was removed at the end.
#[derive(Clone, Debug)]
pub struct CleanUp {
    /// Containers, networks and volumes.
    pub removed: usize,
    /// What is still there, with the command that removes it.
    pub remaining: Vec<String>,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

/// Variants counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// As expected.
    pub passed: usize,
    /// Not as expected, with an error, or never finished though nobody interrupted the run.
    pub failed: usize,
    /// Skipped, or not reached because the run was interrupted.
    pub skipped: usize,
}

/// What a variant counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// As expected.
    Passed,
    /// Not as expected, with an error, or never finished though nobody interrupted the run.
    Failed,
    /// Skipped, or not reached because the run was interrupted.
    Skipped,
}

impl Variant {
    /// What it counts as in a run that was `interrupted`, or was not.
    pub fn counts_as(&self, interrupted: bool) -> Counted {
        match &self.outcome {
            Some(Outcome::AsExpected) => Counted::Passed,
            Some(Outcome::NotAsExpected { .. } | Outcome::Error { .. }) => Counted::Failed,
            None if !interrupted => Counted::Failed,
            Some(Outcome::Skipped { .. } | Outcome::Interrupted) | None => Counted::Skipped,
        }
    }

    /// The break's name; `None` for the baseline.
    pub fn break_name(&self) -> Option<&str> {
        self.id.as_str().split_once('+').map(|(_, name)| name)
    }

    /// `baseline` or the break's name.
    pub fn short_name(&self) -> &str {
        self.break_name().unwrap_or("baseline")
    }

    /// What is wrong with the system under test.
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

/// An event of whose texts nothing acts on who reads a report, whatever a pod or a stranger's record wrote.
fn harmless(event: &Event) -> Event {
    let value = serde_json::to_value(event).map(inert_value);
    value.and_then(serde_json::from_value).unwrap_or_else(|_| Event {
        at_ms: event.at_ms,
        event: EventKind::Warning { text: "an event was left out: its words are no text for a report".to_owned() },
    })
}

impl Summary {
    /// Folds the events of a run, whole or cut off anywhere.
    pub fn from_events(events: &[Event]) -> Self {
        let mut summary = Self { phases: Phases::from_events(events), ..Self::default() };
        for event in events {
            summary.take(&harmless(event));
        }
        let last_ms = events.last().map_or(0, |event| event.at_ms);
        for setup in summary.setups.iter_mut().filter(|setup| setup.detail.is_none()) {
            // Until here it holds the instant of its start.
            setup.took_ms = last_ms.saturating_sub(setup.took_ms);
        }
        summary
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
                took_ms: event.at_ms,
                detail: None,
                error: None,
            }),
            EventKind::SetupEnded { id, took_ms, detail, error } => {
                let open = self.setups.iter_mut().rev().find(|setup| setup.id == *id && setup.detail.is_none());
                let ended = SetUp {
                    id: id.clone(),
                    title: open.as_ref().map_or_else(|| id.clone(), |setup| setup.title.clone()),
                    took_ms: *took_ms,
                    detail: Some(detail.clone()),
                    error: error.clone(),
                };
                match open {
                    Some(setup) => *setup = ended,
                    None => self.setups.push(ended),
                }
            }
            EventKind::VariantStarted(started) => self.variant(&started.variant).started = Some(started.clone()),
            EventKind::StepEnded(step) => self.variant(&step.variant).steps.push((**step).clone()),
            EventKind::VariantEnded(ended) => {
                let variant = self.variant(&ended.variant);
                variant.outcome = Some(ended.outcome.clone());
                variant.took_ms = ended.took_ms;
            }
            EventKind::CleanedUp { removed, remaining, took_ms } => {
                self.clean_up = Some(CleanUp { removed: *removed, remaining: remaining.clone(), took_ms: *took_ms });
            }
            EventKind::RunEnded(ended) => self.ended = Some(ended.clone()),
            EventKind::SetupProgress { .. } | EventKind::Waiting { .. } | EventKind::StepStarted { .. } => {}
        }
    }

    fn variant(&mut self, id: &VariantId) -> &mut Variant {
        let name = id.as_str().split_once('+').map_or(id.as_str(), |(name, _)| name);
        let known = self.scenarios.iter().position(|scenario| scenario.name == name);
        let index = known.unwrap_or_else(|| {
            self.scenarios.push(Scenario { name: name.to_owned(), variants: Vec::new() });
            self.scenarios.len() - 1
        });
        let variants = &mut self.scenarios[index].variants;
        let known = variants.iter().position(|variant| variant.id == *id);
        let index = known.unwrap_or_else(|| {
            variants.push(Variant { id: id.clone(), started: None, steps: Vec::new(), outcome: None, took_ms: 0 });
            variants.len() - 1
        });
        &mut variants[index]
    }

    /// Known holes that were seen open, each once: the scenario and step that showed it, and what it means. Of
    /// baselines alone: what a break changes may let through what is no attack any more.
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

    /// Whether somebody stopped the run.
    pub fn interrupted(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Interrupted)
            || self.variants().any(|variant| variant.outcome == Some(Outcome::Interrupted))
    }

    /// Counts the variants, for every report. A run that failed without a failed variant counts as one failure: no
    /// reader may take it for a success.
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

    /// Whether the run failed, and no variant says so.
    pub fn fails_as_a_whole(&self) -> bool {
        let interrupted = self.interrupted();
        let failed = self.ended.as_ref().is_none_or(|ended| ended.failure.is_some())
            || self.lacks_proof()
            || self.setups.iter().any(|setup| setup.error.is_some());
        failed && !interrupted && self.variants().all(|it| it.counts_as(interrupted) != Counted::Failed)
    }

    /// How many answers of stores no store's trace confirms.
    pub fn unconfirmed(&self) -> usize {
        self.variants().flat_map(|variant| &variant.steps).filter(|step| step.is_unconfirmed()).count()
    }

    /// What the run demanded beyond verdicts.
    fn demands(&self) -> Demands {
        self.run.as_ref().map(|run| run.demands).unwrap_or_default()
    }

    /// Matchers that no break of the run turned red, and an altered answer did.
    pub fn proven_by_altered(&self) -> &[String] {
        self.ended.as_ref().map_or(&[], |ended| &ended.proven_by_altered)
    }

    /// Matchers that nothing has shown to be able to fail.
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

    /// Whether everything was skipped, which says nothing, and nobody accepted that.
    pub fn only_skips(&self) -> bool {
        let mut variants = self.variants().peekable();
        variants.peek().is_some()
            && variants.all(|variant| matches!(variant.outcome, Some(Outcome::Skipped { .. })))
            && !self.demands().allow_skips
    }

    /// How the process ended. A record without an end is a failure of the harness: whatever it had proven, it cannot
    /// say that the rest holds.
    pub fn exit(&self) -> Exit {
        match &self.ended {
            Some(ended) => ended.exit,
            None if self.interrupted() => Exit::Interrupted,
            None => Exit::Harness,
        }
    }

    /// The closing event of a run: `failure` is why the run itself failed, `interrupted` whether it was stopped.
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

    /// From the worst that happened: an interruption, then an error of the harness, then an expectation that failed.
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
