//! Makes the summary of a run from its events. All reports are made from the summary.

use std::collections::BTreeMap;

use parallax_vocab::course::Finding;
use parallax_vocab::event::{
    Demands, Exit, Failure, Outcome, Problem, Proof, RunEnded, RunStarted, StepEnded, VariantStarted,
};
use parallax_vocab::inert::inert_value;
use parallax_vocab::{Event, EventKind, VariantId};

use super::phases::Phases;
use parallax_vocab::event::AGAIN;

/// The summary of a run: everything that reports need. Lists are in the order of the events.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The first event of the run, which describes the run. `None` if the record does not contain this event.
    pub run: Option<RunStarted>,
    /// What the harness reported about its own actions, for people.
    pub notes: Vec<String>,
    /// Warnings of the harness about what will probably cause a problem.
    pub warnings: Vec<String>,
    /// The set-up steps of the run: engine, images, clusters and environments.
    pub setups: Vec<SetUp>,
    /// The scenarios with their variants.
    pub scenarios: Vec<Scenario>,
    /// The result of the clean-up; `None` if the run did not reach it.
    pub clean_up: Option<CleanUp>,
    /// The last event of the run; `None` if the run was killed or is still running.
    pub ended: Option<RunEnded>,
    /// The time that each phase of the run took.
    pub phases: Phases,
}

/// A set-up step of the run, for example an image or a cluster.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// The id of the set-up step, for example `image/minio`.
    pub id: String,
    /// The title of the set-up step, which says what it does.
    pub title: String,
    /// The time at which the set-up step started, in milliseconds since the start of the run.
    pub from_ms: u64,
    /// The duration of the set-up step, in milliseconds. If it never ended, this is the time until the last event of
    /// the run.
    pub took_ms: u64,
    /// How the set-up step ended, for example `built`; `None` if it never ended.
    pub detail: Option<String>,
    /// The reason why the set-up step failed; `None` if it did not fail.
    pub error: Option<Failure>,
}

/// A scenario of the run, with its variants.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The scenario's name: its path below `scenarios`, for example `presign/presigned-url`.
    pub name: String,
    /// The variants of the scenario that were part of the run, in the order of the run.
    pub variants: Vec<Variant>,
}

/// A variant of a scenario: the baseline, a declared change that must pass, or a break.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The id of the variant.
    pub id: VariantId,
    /// The event of the variant's start; `None` if the variant never started.
    pub started: Option<VariantStarted>,
    /// The time at which the variant started, in milliseconds since the start of the run. It is 0 if the variant never
    /// started, and the time of the last start if the variant was run again.
    pub from_ms: u64,
    /// The results of the variant's steps, in the order in which they ended.
    pub steps: Vec<StepEnded>,
    /// The time at which each step of `steps` ended, in milliseconds since the start of the run.
    pub ended_ms: Vec<u64>,
    /// The outcome of the variant; `None` if the variant never ended.
    pub outcome: Option<Outcome>,
    /// The duration of the variant, in milliseconds; 0 if the variant never ended.
    pub took_ms: u64,
    /// The failures of the harness, the engine or the machine after which the variant was run again
    /// (`--retry-machine`).
    pub retried: Vec<Failure>,
}

/// The result of the clean-up at the end of the run.
#[derive(Clone, Debug)]
pub struct CleanUp {
    /// The number of containers, networks and volumes that were removed. If `elsewhere` is true, the number of
    /// Kubernetes objects that were removed.
    pub removed: usize,
    /// Whether the removed objects are in a cluster that the harness does not own.
    pub elsewhere: bool,
    /// The objects that still exist, each with the command that removes it.
    pub remaining: Vec<String>,
    /// The duration of the clean-up, in milliseconds.
    pub took_ms: u64,
}

/// The number of variants with each result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of variants that ended as declared.
    pub passed: usize,
    /// The number of variants that ended not as declared or with an error. A variant that never ended counts too,
    /// unless the run was interrupted. If no variant failed but the run as a whole failed, the number is 1.
    pub failed: usize,
    /// The number of variants that were skipped, or that did not run because the run was interrupted or enough other
    /// variants had failed.
    pub skipped: usize,
}

/// The result with which a variant is counted in the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The variant ended as declared.
    Passed,
    /// The variant ended not as declared or with an error, or never ended although the run was not interrupted.
    Failed,
    /// The variant was skipped, or did not run because the run was interrupted or enough other variants had failed.
    Skipped,
}

impl Variant {
    /// Returns the result with which the variant is counted. `interrupted` says whether the run was interrupted.
    pub fn counts_as(&self, interrupted: bool) -> Counted {
        match &self.outcome {
            Some(Outcome::AsExpected) => Counted::Passed,
            Some(Outcome::NotAsExpected { .. } | Outcome::Error { .. }) => Counted::Failed,
            None if !interrupted => Counted::Failed,
            Some(Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. }) | None => Counted::Skipped,
        }
    }

    /// Adds the result of a step that ended at `at_ms`. In a variant that is kept (`parallax up`), a step may run
    /// again. The new result then replaces the earlier result.
    fn take(&mut self, step: &StepEnded, at_ms: u64) {
        // All results from the rounds of a `repeat` are kept, in the order in which they ran. So the results of a void
        // round come before the results of its repetition.
        let alone = step.course.round.is_none();
        if let Some(before) = self.steps.iter().position(|it| alone && it.step == step.step) {
            self.steps[before] = step.clone();
            self.ended_ms[before] = at_ms;
        } else {
            self.steps.push(step.clone());
            self.ended_ms.push(at_ms);
        }
    }

    /// Returns each step with its start and its end, in milliseconds since the start of the run.
    pub fn timed_steps(&self) -> impl Iterator<Item = (&StepEnded, u64, u64)> {
        let timed = self.steps.iter().zip(&self.ended_ms);
        timed.map(|(step, ended_ms)| (step, ended_ms.saturating_sub(step.took_ms), *ended_ms))
    }

    /// Returns the name of the break or of the declared change; `None` for the baseline.
    pub fn break_name(&self) -> Option<&str> {
        self.id.change()
    }

    /// Returns `baseline`, or the name of the break or of the declared change.
    pub fn short_name(&self) -> &str {
        self.break_name().unwrap_or("baseline")
    }

    /// Returns the problems of a variant that is not as declared. Each problem is one difference between what the
    /// scenario declares and what the system under test did.
    pub fn problems(&self) -> &[Problem] {
        match &self.outcome {
            Some(Outcome::NotAsExpected { problems }) => problems,
            _ => &[],
        }
    }

    /// Returns the last result of the step with this id; `None` if there is none.
    pub fn step(&self, id: &str) -> Option<&StepEnded> {
        self.steps.iter().rev().find(|step| step.step.as_str() == id)
    }
}

/// Returns the id of a set-up step without the suffix of a second attempt ([`AGAIN`]). If a cluster does not start, the
/// harness starts it again. The set-up step of the second attempt has the id of the first attempt with this suffix.
fn part_of(id: &str) -> &str {
    id.split_once(AGAIN).map_or(id, |(part, _)| part)
}

/// Escapes control characters in the texts of an event, because they could change the reader's terminal. A pod may have
/// written such a text, or somebody else may have made the record.
fn harmless(event: &Event) -> Event {
    let value = serde_json::to_value(event).map(inert_value);
    value.and_then(serde_json::from_value).unwrap_or_else(|_| Event {
        at_ms: event.at_ms,
        event: EventKind::Warning { text: "an event was left out: its words are no text for a report".to_owned() },
    })
}

impl Summary {
    /// Builds the summary from the events of a run. The events may end at any point, for example because the run was
    /// killed.
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

    /// Clears the failure of a set-up step whose second attempt succeeded. The step's `detail` then says that the first
    /// attempt failed.
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
                // A variant that is kept (`parallax up`) may run again from its beginning, so its earlier steps are
                // removed.
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
            EventKind::CleanedUp { removed, elsewhere, remaining, took_ms } => {
                self.clean_up = Some(CleanUp {
                    removed: *removed,
                    elsewhere: *elsewhere,
                    remaining: remaining.clone(),
                    took_ms: *took_ms,
                });
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

    /// Returns each finding once. The text before a finding is the scenario and the step that showed it, as `SCENARIO:
    /// STEP`. Only baselines count, because a break may change the attack into a request that is allowed.
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

    /// Returns every variant, in the order of the run.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.scenarios.iter().flat_map(|scenario| &scenario.variants)
    }

    /// Whether the user interrupted the run, for example with Ctrl-C.
    pub fn interrupted(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Interrupted)
            || self.variants().any(|variant| variant.outcome == Some(Outcome::Interrupted))
    }

    /// Counts the variants by result, for every report. A run that failed without a failed variant counts as one
    /// failure, so that no reader mistakes the run for a success.
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

    /// Returns the number of unconfirmed answers: a store gave the answer, but no trace of a store confirms who sent
    /// the request.
    pub fn unconfirmed(&self) -> usize {
        let steps = || self.variants().flat_map(|variant| &variant.steps);
        // Several steps may count the answers of the same prober. Each count begins with the prober's first answer, so
        // the largest count includes the smaller ones. Only the largest count is used.
        let mut probers: BTreeMap<(&VariantId, u64), u64> = BTreeMap::new();
        for (variant, tally) in steps().filter_map(|step| Some((&step.variant, step.course.tally.as_ref()?))) {
            let count = probers.entry((variant, tally.began_unix_ms)).or_default();
            *count = tally.of_a_store.max(*count);
        }
        let of_probers = probers.into_values().fold(0u64, u64::saturating_add);
        let of_steps = steps().filter(|step| step.is_unconfirmed()).count();
        of_steps.saturating_add(usize::try_from(of_probers).unwrap_or(usize::MAX))
    }

    /// Returns what the user demanded of the run in addition to its verdicts, for example that every matcher is proven.
    fn demands(&self) -> Demands {
        self.run.as_ref().map(|run| run.demands).unwrap_or_default()
    }

    /// Returns the matchers that failed on an altered answer, but in no break of the run.
    pub fn proven_by_altered(&self) -> &[String] {
        self.ended.as_ref().map_or(&[], |ended| &ended.proven_by_altered)
    }

    /// Returns the unproven matchers: those that failed neither in a break nor on an altered answer.
    pub fn unproven(&self) -> &[String] {
        self.ended.as_ref().map_or(&[], |ended| &ended.unproven)
    }

    /// Whether proof was demanded and a matcher is unproven.
    pub fn lacks_proof(&self) -> bool {
        self.demands().proof && !self.unproven().is_empty()
    }

    /// Whether every variant was skipped although the user did not allow this (`--allow-skips`). Such a run shows
    /// nothing, so it counts as a failure.
    pub fn only_skips(&self) -> bool {
        let mut variants = self.variants().peekable();
        variants.peek().is_some()
            && variants.all(|variant| matches!(variant.outcome, Some(Outcome::Skipped { .. })))
            && !self.demands().allow_skips
    }

    /// Returns the exit status of the process. A record without a last event counts as a failure of the harness,
    /// because it cannot show that the rest of the run is as declared.
    pub fn exit(&self) -> Exit {
        match &self.ended {
            Some(ended) => ended.exit,
            None if self.interrupted() => Exit::Interrupted,
            None => Exit::Harness,
        }
    }

    /// Returns the summary of a run. `why` is the reason why the record or a report could not be written; `None` if all
    /// were written. With a reason, a success becomes a failure of the harness, because no file proves the success. Any
    /// other exit status stays, so that the write error does not hide it.
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

    /// Makes the last event of a run. `failure` is the reason why the run as a whole failed, if it did. `interrupted`
    /// says whether the run was interrupted.
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

    /// Returns the exit status for the worst result of the run. The order, from the worst, is: an interruption, a
    /// failure of the harness, a verdict not as declared.
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
