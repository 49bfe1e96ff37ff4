//! The summary of a run as text for the terminal.

use std::fmt::Write as _;

use indexmap::IndexMap;
use parallax_vocab::VariantId;
use parallax_vocab::event::{Exit, Outcome, Problem, READINESS, StepEnded, Verdict};
use serde::Serialize;

use super::faults::Fault;
use super::summary::{Scenario, Summary, Variant};
use super::versions::verdict_at;
use super::{evidence, figures, seconds};

/// The largest number of unproven matchers that the summary names if proof was not demanded.
const UNPROVEN_SHOWN: usize = 5;
/// The largest number of causes that the summary names for a break that failed as declared.
const CAUSES_SHOWN: usize = 2;
/// The largest number of evidence lines that the summary contains for a failure of the harness, the engine or the
/// machine.
const LOG_LINES_SHOWN: usize = 20;

/// How the summary is rendered for the terminal.
#[derive(Clone, Debug)]
pub struct Style {
    /// Whether the text has colours (ANSI escape sequences).
    pub colour: bool,
    /// The command with which the user runs the harness: `cargo xtask e2e` in this repository, `parallax e2e`
    /// elsewhere.
    pub command: String,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, command: "parallax e2e".to_owned() }
    }
}

/// The meaning of a word in a report. The meaning decides the colour of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Paint {
    Good,
    Bad,
    Odd,
    Dim,
    Bold,
}

impl Style {
    fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Odd => "33",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Renders the summary. Failures come near the end: they are then on the last screen, and in the part of a long output
/// that a CI service shows. The last lines are a sentence for people and the line `N passed, N failed, N skipped`,
/// which tools read.
pub fn render(summary: &Summary, style: &Style) -> String {
    let mut out = Out { style, text: String::new() };
    for scenario in &summary.scenarios {
        out.scenario(scenario, summary);
    }
    out.by_version(summary);
    out.figures(summary);
    out.findings(summary);
    out.unconfirmed(summary);
    out.unproven(summary);
    out.warnings(summary);
    for fault in summary.faults() {
        out.fault(&fault);
    }
    for variant in summary.variants() {
        out.variant(summary, variant);
    }
    out.phases(summary);
    out.left_behind(summary);
    out.files(summary);
    out.closing(summary);
    out.text
}

/// The largest width, in characters, of the column with the names of variants. A line with a longer name is not
/// aligned. The limit is necessary because `format!` panics at a width above 65,535.
const NAME_WIDTH: usize = 60;

struct Out<'a> {
    style: &'a Style,
    text: String,
}

impl Out<'_> {
    /// Appends a line of the harness. If `text` has several lines, a part of it comes from outside the harness. Its
    /// later lines are indented, so that only lines of the harness begin at the margin.
    fn line(&mut self, text: &str) {
        self.text.push_str(&text.trim_end().replace('\n', "\n      "));
        self.text.push('\n');
    }

    fn scenario(&mut self, scenario: &Scenario, summary: &Summary) {
        let name = self.style.paint(Paint::Bold, &scenario.name);
        self.line(&name);
        let width = scenario.variants.iter().map(|variant| variant.short_name().len()).max().unwrap_or(0);
        let width = width.min(NAME_WIDTH);
        for variant in &scenario.variants {
            let (word, paint) = verdict_of(variant, summary.interrupted());
            let word = self.style.paint(paint, &format!("{word:<7}"));
            let took = if variant.outcome.is_some() { seconds(variant.took_ms) } else { String::new() };
            let says = self.style.paint(Paint::Dim, &in_short(variant));
            self.line(&format!("  {word}  {:<width$}  {took:>7}  {says}", variant.short_name()));
        }
        self.line("");
    }

    fn by_version(&mut self, summary: &Summary) {
        let Some(table) = summary.by_version() else { return };
        let columns: Vec<String> = table.columns.iter().map(ToString::to_string).collect();
        let name = |id: &VariantId| id.to_string().chars().count();
        let width = table.rows.iter().map(|(id, _)| name(id)).max().unwrap_or_default().min(NAME_WIDTH);
        self.line(&self.style.paint(Paint::Bold, "verdicts by version"));
        self.line(&format!("  {:<width$}  {}", "", columns.join("  ")));
        for (id, variants) in &table.rows {
            let cells = variants.iter().zip(&columns).map(|(variant, column)| {
                let (verdict, paint) = verdict_at(*variant, summary.interrupted());
                let width = column.chars().count().min(NAME_WIDTH);
                self.style.paint(paint, &format!("{verdict:<width$}"))
            });
            self.line(&format!("  {:<width$}  {}", id.as_str(), cells.collect::<Vec<_>>().join("  ")));
        }
        self.line("");
    }

    fn warnings(&mut self, summary: &Summary) {
        for text in &summary.warnings {
            let word = self.style.paint(Paint::Odd, "warning");
            self.line(&format!("{word}  {text}"));
        }
        if !summary.warnings.is_empty() {
            self.line("");
        }
    }

    fn heading(&mut self, word: &str, what: &str) {
        let word = self.style.paint(Paint::Bad, word);
        let what = self.style.paint(Paint::Bold, what);
        self.line(&format!("{word}  {what}"));
    }

    fn fault(&mut self, fault: &Fault<'_>) {
        let Fault { failure, setups, variants } = fault;
        let says = if setups.is_empty() && !variants.is_empty() {
            ": nothing is said about the system under test"
        } else {
            ""
        };
        self.heading("ERROR", &format!("{}{says}", fault.title()));
        self.line(&format!("  {}", failure.what));
        if let Some(fix) = &failure.fix {
            self.labelled("fix", fix);
        }
        // If exactly one variant has no verdict and no set-up step failed, the heading already names the variant. So
        // this line is left out.
        if let Some(without) = fault.without_verdict().filter(|_| !setups.is_empty() || variants.len() > 1) {
            self.labelled("no verdict", &without);
        }
        let left_out = failure.evidence.len().saturating_sub(LOG_LINES_SHOWN);
        if left_out > 0 {
            self.line(&format!("    | ({left_out} earlier lines are in the record)"));
        }
        for line in &failure.evidence[left_out..] {
            self.line(&format!("    | {line}"));
        }
        self.line("");
    }

    fn variant(&mut self, summary: &Summary, variant: &Variant) {
        let Some(Outcome::NotAsExpected { problems }) = &variant.outcome else { return };
        self.heading("FAILED", variant.id.as_str());
        if let Some(started) = &variant.started {
            for (says, runs) in started.hosts.iter().filter(|(says, runs)| says != runs) {
                self.labelled("host", &format!("{says} was {runs} in this run"));
            }
        }
        for problem in problems {
            self.problem(variant, problem);
        }
        self.again(summary, variant);
    }

    fn problem(&mut self, variant: &Variant, problem: &Problem) {
        let step = variant.step(problem.step.as_str());
        let from = step.and_then(|step| step.from.as_ref()).map_or_else(String::new, |from| format!(" from {from}"));
        let name = self.style.paint(Paint::Bold, &format!("step {}{from}", problem.step));
        let place = self.style.paint(Paint::Dim, &problem.place);
        self.line(&format!("  {name}  {place}"));
        self.line(&format!("    {}", problem.sentence));
        self.labelled("expected", &problem.expected);
        self.labelled("seen", &problem.seen);
        for (label, text) in step.map(evidence::lines).unwrap_or_default() {
            self.labelled(label, &text);
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        let label = self.style.paint(Paint::Dim, &format!("{label:<10}"));
        self.line(&format!("    {label} {text}"));
    }

    fn again(&mut self, summary: &Summary, variant: &Variant) {
        self.labelled("again", &rerun(summary, variant, &self.style.command));
        if let Some(command) = look_in(summary, variant) {
            self.labelled("look in", &command);
        }
        self.line("");
    }

    fn findings(&mut self, summary: &Summary) {
        for (shown_by, finding) in summary.findings() {
            let word = self.style.paint(Paint::Odd, "finding");
            self.line(&format!("{word}  {} ({shown_by})", finding.advisory));
            self.labelled("means", &finding.means);
            self.labelled("instead", &finding.instead);
            self.line("");
        }
    }

    fn figures(&mut self, summary: &Summary) {
        for it in summary.figures() {
            let word = self.style.paint(Paint::Bold, "figure");
            self.line(&format!("{word}   {} ({})", it.figure.name, it.variant.id));
            self.labelled("measured", &it.figure.to_string());
            for line in figures::in_lines(&it.timeline) {
                self.labelled("worst", &line);
            }
            self.line("");
        }
    }

    fn unproven(&mut self, summary: &Summary) {
        let altered = summary.proven_by_altered().len();
        if altered > 0 {
            let (are, them) = if altered == 1 { ("is", "it") } else { ("are", "them") };
            let altered = count(altered, "matcher");
            self.line(&format!(
                "{altered} {are} proven by an altered answer alone: no break of this run turned {them} red"
            ));
            self.line("");
        }
        let unproven = summary.unproven();
        if unproven.is_empty() {
            return;
        }
        // If proof was not demanded, the list of unproven matchers is only a hint and stays short. If the run fails
        // because proof was demanded, the list names all unproven matchers.
        let demanded = summary.lacks_proof();
        let shown = if demanded { unproven.len() } else { UNPROVEN_SHOWN };
        if demanded {
            self.heading("FAILED", "proof was demanded (--require-proof)");
        }
        self.line(&format!(
            "{} unproven: nothing in this run turned {} red",
            count(unproven.len(), "matcher"),
            if unproven.len() == 1 { "it" } else { "them" }
        ));
        for matcher in unproven.iter().take(shown) {
            self.line(&format!("  {matcher}"));
        }
        if unproven.len() > shown {
            self.line(&format!("  and {} more, in the record", unproven.len() - shown));
        }
        self.line("");
    }

    fn unconfirmed(&mut self, summary: &Summary) {
        let unconfirmed = summary.unconfirmed();
        if unconfirmed > 0 {
            self.line(&format!("{}: no store's trace tells who asked", count(unconfirmed, "unconfirmed answer")));
            self.line("");
        }
    }

    fn phases(&mut self, summary: &Summary) {
        let phases = &summary.phases;
        let rows: Vec<String> = phases
            .rows()
            .iter()
            .filter(|(_, ms)| *ms > 0)
            .map(|(name, ms)| format!("{name} {}", seconds(*ms)))
            .collect();
        if rows.is_empty() {
            return;
        }
        self.line(&format!("time     {} in all: {}", seconds(phases.total_ms), rows.join(", ")));
        self.line(&format!(
            "         the harness itself {} (neither cluster start nor probes)",
            seconds(phases.harness_ms)
        ));
    }

    fn left_behind(&mut self, summary: &Summary) {
        let Some(clean_up) = &summary.clean_up else { return };
        if clean_up.remaining.is_empty() {
            self.line(&format!(
                "removed  {}, nothing is left",
                count(
                    clean_up.removed,
                    if clean_up.elsewhere { "namespace or object" } else { "container, network or volume" }
                )
            ));
            return;
        }
        let word = self.style.paint(Paint::Bad, "still there");
        self.line(&format!("{word}  {}:", count(clean_up.remaining.len(), "thing")));
        for line in &clean_up.remaining {
            self.line(&format!("  {line}"));
        }
    }

    fn files(&mut self, summary: &Summary) {
        if let Some(run) = &summary.run {
            if !run.versions.is_empty() {
                let versions: Vec<String> = run.versions.iter().map(ToString::to_string).collect();
                self.line(&format!("versions {}", versions.join("; ")));
            }
            let at = run.directory.trim_end_matches('/');
            self.line(&format!("reports  {at}/report.html, junit.xml and record.jsonl (run {})", run.run));
        }
    }

    fn closing(&mut self, summary: &Summary) {
        let (paint, sentence) = verdict(summary);
        let took = seconds(summary.phases.total_ms);
        let sentence = self.style.paint(paint, &format!("{sentence} (exit {}, {took})", summary.exit().code()));
        self.line("");
        self.line(&sentence);
        let totals = summary.totals();
        // This line has no colours, because tools search the output for it.
        let _ = writeln!(self.text, "{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    }
}

/// Returns the verdict of the whole run, in one sentence.
pub(super) fn verdict(summary: &Summary) -> (Paint, &'static str) {
    if summary.ended.is_none() {
        return (Paint::Bad, "the run did not end in order: it was killed, or is still running");
    }
    match summary.exit() {
        Exit::AsExpected => (Paint::Good, "everything is as declared"),
        Exit::NotAsExpected if !summary.variants().any(|variant| !variant.problems().is_empty()) => {
            (Paint::Bad, "everything that ran is as declared, but not every matcher is proven")
        }
        Exit::NotAsExpected => (Paint::Bad, "the system under test is not as declared"),
        Exit::Usage => (Paint::Bad, "a scenario or the command line is wrong; nothing was started"),
        Exit::Harness if summary.only_skips() => (
            Paint::Bad,
            "everything was skipped, so nothing is said about the system under test; --allow-skips accepts that",
        ),
        Exit::Harness => (Paint::Bad, "the harness, the engine or the machine failed"),
        Exit::Interrupted => (Paint::Odd, "interrupted"),
    }
}

/// Returns one word for the outcome of a variant, and its colour.
pub(super) fn verdict_of(variant: &Variant, interrupted: bool) -> (&'static str, Paint) {
    match &variant.outcome {
        Some(Outcome::AsExpected) => ("ok", Paint::Good),
        Some(Outcome::NotAsExpected { .. }) => ("FAILED", Paint::Bad),
        Some(Outcome::Error { .. }) => ("ERROR", Paint::Bad),
        Some(Outcome::Skipped { .. }) => ("skipped", Paint::Odd),
        Some(Outcome::Interrupted) => ("stopped", Paint::Odd),
        Some(Outcome::NotBegun { .. }) => ("not run", Paint::Odd),
        None if interrupted => ("not run", Paint::Odd),
        None => ("NOT RUN", Paint::Bad),
    }
}

/// Returns the command with which the user can run this variant again. The command contains the options of this run
/// that change the behaviour of a variant.
pub(crate) fn rerun(summary: &Summary, variant: &Variant, command: &str) -> String {
    let plain = variant.id.without_versions();
    let which = match plain.parts() {
        (scenario, Some(name)) => format!("{scenario} --break {name}"),
        (scenario, None) => scenario.to_owned(),
    };
    let versions = variant.id.versions().unwrap_or_default().arguments();
    let options = summary.run.iter().flat_map(|run| &run.again).chain(&versions);
    options.fold(format!("{command} {which}"), |line, option| format!("{line} {option}"))
}

/// Returns the command `parallax up` for a failed variant. The command runs the variant up to the first step that is
/// not as declared, and keeps the environment. `None` if the run was in a cluster that the harness does not own,
/// because `up` starts a cluster of its own.
pub(crate) fn look_in(summary: &Summary, variant: &Variant) -> Option<String> {
    if summary.clean_up.as_ref().is_some_and(|it| it.elsewhere) {
        return None;
    }
    let first = variant.problems().first();
    let step = first.and_then(|problem| variant.step(problem.step.as_str())).filter(|step| step.kind != READINESS);
    // `--before` must name an entry of the flow, and a step inside a `repeat` is not an entry of the flow. So for such
    // a step, the command names the `repeat` that contains the step.
    let id = step.map(|step| step.course.round.as_ref().map_or(step.step.as_str(), |round| round.of.as_str()));
    let before = id.map(|id| format!(" --before {id}")).unwrap_or_default();
    let run = summary.run.as_ref().and_then(|run| run.versions.first());
    let versions = variant.id.versions().or_else(|| run.cloned()).unwrap_or_default().arguments();
    let versions = versions.iter().fold(String::new(), |line, word| format!("{line} {word}"));
    Some(format!("parallax up {}{before}{versions}", variant.id.without_versions()))
}

/// Returns the text that follows the verdict in the line of a variant.
pub(super) fn in_short(variant: &Variant) -> String {
    let short = outcome_in_short(variant);
    match variant.retried.last() {
        Some(failure) => {
            format!("{short}{}run again after: {}", if short.is_empty() { "" } else { "; " }, failure.what)
        }
        None => short,
    }
}

fn outcome_in_short(variant: &Variant) -> String {
    match &variant.outcome {
        Some(Outcome::Skipped { reason } | Outcome::NotBegun { reason }) => reason.clone(),
        Some(Outcome::NotAsExpected { problems }) => {
            let steps: Vec<&str> = problems.iter().map(|problem| problem.step.as_str()).collect();
            format!("at {}", steps.join(", "))
        }
        Some(Outcome::Error { failure }) => failure.what.clone(),
        Some(Outcome::AsExpected) if variant.steps.iter().any(|step| step.verdict == Verdict::Failed) => {
            failed_in_short(variant)
        }
        Some(Outcome::AsExpected) => format!("{}{}", count(variant.steps.len(), "step"), tried_again(variant)),
        Some(Outcome::Interrupted) | None => String::new(),
    }
}

/// Returns a text about the step that needed the most tries until it passed. The text is empty if each step passed at
/// its first try.
fn tried_again(variant: &Variant) -> String {
    let again = |step: &&StepEnded| step.tries_before() > 0;
    let most = variant.steps.iter().filter(again).max_by_key(|step| step.tries_before());
    most.map_or(String::new(), |step| format!(", {} at try {}", step.step, step.tries_before() + 1))
}

/// Returns a short text about the failed steps of a break that failed as declared. Steps that failed with the same
/// cause are counted together. The text names at most [`CAUSES_SHOWN`] causes.
fn failed_in_short(variant: &Variant) -> String {
    let mut causes: IndexMap<String, Vec<&str>> = IndexMap::new();
    for step in variant.steps.iter().filter(|step| step.verdict == Verdict::Failed) {
        let cause = step.cause.as_ref().map(short_cause).unwrap_or_default();
        causes.entry(cause).or_default().push(step.step.as_str());
    }
    let mut parts: Vec<String> = Vec::new();
    for (cause, steps) in causes.iter().take(CAUSES_SHOWN) {
        let by = if cause.is_empty() { String::new() } else { format!(" by {cause}") };
        parts.push(match steps.as_slice() {
            [step] => format!("{step} failed{by}"),
            steps => format!("{} failed{by}", count(steps.len(), "step")),
        });
    }
    if causes.len() > CAUSES_SHOWN {
        parts
            .push(format!("{} by other causes", count(causes.values().skip(CAUSES_SHOWN).map(Vec::len).sum(), "step")));
    }
    if parts.is_empty() { String::new() } else { format!("{}, as declared", parts.join("; ")) }
}

/// Returns a cause as text, without the details in parentheses, because these details differ from run to run.
pub(crate) fn short_cause(cause: &parallax_vocab::Cause) -> String {
    let long = cause.to_string();
    long.split(" (").next().unwrap_or(&long).to_owned()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 {
        return format!("1 {what}");
    }
    let plural = match what {
        "container, network or volume" => "containers, networks and volumes",
        "namespace or object" => "namespaces and objects",
        "matcher" => "matchers",
        "unconfirmed answer" => "unconfirmed answers",
        "step" => "steps",
        _ => "things",
    };
    format!("{number} {plural}")
}
