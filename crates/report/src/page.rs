//! The page: one HTML file for people. It needs no network, no script and no other file.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use parallax_vocab::course::Finding;
use parallax_vocab::event::{Failure, Outcome, Problem, StepEnded, Verdict};
use serde::Serialize;

use super::figures::Measured;
use super::summary::{Scenario, SetUp, Summary, Variant};
use super::terminal::{Paint, in_short, rerun, short_cause, verdict, verdict_of};
use super::{ReportError, evidence, seconds, write_whole};

const TEMPLATE: &str = include_str!("page.html");
/// The name of the template in error messages.
const NAME: &str = "page.html";

/// Renders the page. `command` is the command with which the user runs the harness.
pub fn render(summary: &Summary, command: &str) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    Ok(environment.render_named_str(NAME, TEMPLATE, Value::from(Serde(Page::of(summary, command))))?)
}

/// Writes the page to `path`.
pub fn write(summary: &Summary, command: &str, path: &Path) -> Result<(), ReportError> {
    let text = render(summary, command)?;
    write_whole(path, &text)
}

#[derive(Serialize)]
struct Page<'a> {
    run: &'a str,
    tone: Paint,
    sentence: &'static str,
    counts: [(&'static str, Paint, usize); 3],
    facts: Vec<(&'static str, String)>,
    phases: Vec<Bar>,
    failures: Vec<Red<'a>>,
    findings: Vec<(String, &'a Finding)>,
    figures: Vec<FigureView<'a>>,
    unproven: &'a [String],
    proven_by_altered: &'a [String],
    scenarios: Vec<ScenarioView<'a>>,
    setups: Vec<SetUpView<'a>>,
    warnings: &'a [String],
    notes: &'a [String],
}

/// One bar of a chart: its length is `share`, in percent of the whole.
#[derive(Serialize)]
struct Bar {
    name: &'static str,
    took: String,
    share: u64,
}

/// One failure, with all that is known about it.
#[derive(Serialize)]
struct Red<'a> {
    word: &'static str,
    what: String,
    facts: Vec<(&'static str, String)>,
    problems: Vec<ProblemView<'a>>,
    evidence: &'a [String],
}

#[derive(Serialize)]
struct ProblemView<'a> {
    step: String,
    place: &'a str,
    sentence: &'a str,
    facts: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct FigureView<'a> {
    name: &'a str,
    variant: &'a str,
    numbers: String,
    /// The positions of least and median on a scale from zero to the worst, in percent.
    least: u64,
    median: u64,
    timeline: Vec<MomentView<'a>>,
}

#[derive(Serialize)]
struct MomentView<'a> {
    at: String,
    /// Its position on a scale from the first moment to the last, in percent.
    share: u64,
    what: &'a str,
}

#[derive(Serialize)]
struct ScenarioView<'a> {
    name: &'a str,
    summary: &'a str,
    tone: Paint,
    counts: String,
    variants: Vec<VariantView<'a>>,
}

#[derive(Serialize)]
struct VariantView<'a> {
    name: &'a str,
    id: &'a str,
    summary: &'a str,
    word: &'static str,
    tone: Paint,
    took: String,
    says: String,
    steps: Vec<StepView<'a>>,
}

#[derive(Serialize)]
struct StepView<'a> {
    id: &'a str,
    /// The round of the `repeat`, in words.
    round: String,
    kind: &'a str,
    from: &'a str,
    word: &'static str,
    took: String,
    says: String,
    place: &'a str,
}

#[derive(Serialize)]
struct SetUpView<'a> {
    id: &'a str,
    title: &'a str,
    took: String,
    detail: &'a str,
}

impl<'a> Page<'a> {
    fn of(summary: &'a Summary, command: &str) -> Self {
        let (tone, sentence) = verdict(summary);
        let totals = summary.totals();
        Self {
            run: summary.run.as_ref().map_or("", |run| run.run.as_str()),
            tone,
            sentence,
            counts: [
                ("passed", Paint::Good, totals.passed),
                ("failed", Paint::Bad, totals.failed),
                ("skipped", Paint::Odd, totals.skipped),
            ],
            facts: facts(summary),
            phases: phases(summary),
            failures: failures(summary, command),
            findings: summary.findings(),
            figures: summary.figures().iter().map(figure).collect(),
            unproven: summary.unproven(),
            proven_by_altered: summary.proven_by_altered(),
            scenarios: summary.scenarios.iter().map(|it| scenario(it, summary.interrupted())).collect(),
            setups: summary.setups.iter().map(set_up).collect(),
            warnings: &summary.warnings,
            notes: &summary.notes,
        }
    }
}

fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(run) = &summary.run {
        facts.push(("started", run.started.clone()));
        facts.push(("chosen", if run.filters.is_empty() { "everything".to_owned() } else { run.filters.join(" ") }));
        if run.demands.proof {
            facts.push(("demanded", "a proof of every matcher".to_owned()));
        }
        if let Some(seed) = run.seed {
            facts.push(("order", format!("shuffled, seed {seed}")));
        }
        facts.push(("parallax", run.parallax.clone()));
    }
    facts.push(("took", seconds(summary.phases.total_ms)));
    if summary.unconfirmed() > 0 {
        facts.push((
            "unconfirmed",
            format!("{} answers, of which no store's trace tells who asked", summary.unconfirmed()),
        ));
    }
    facts.push(("exit", summary.exit().code().to_string()));
    if let Some(clean_up) = &summary.clean_up {
        let left = if clean_up.remaining.is_empty() { "nothing".to_owned() } else { clean_up.remaining.join(", ") };
        facts.push(("left behind", left));
    }
    facts
}

fn phases(summary: &Summary) -> Vec<Bar> {
    let total = summary.phases.total_ms;
    let rows = summary.phases.rows();
    let bars = rows.iter().filter(|(_, ms)| *ms > 0);
    bars.map(|(name, ms)| Bar { name, took: seconds(*ms), share: percent(*ms, total) }).collect()
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0).min(100)
}

/// Each failure once, as on the terminal.
fn failures<'a>(summary: &'a Summary, command: &str) -> Vec<Red<'a>> {
    let mut shown: Vec<&Failure> = Vec::new();
    let mut reds = Vec::new();
    for it in &summary.setups {
        let Some(failure) = &it.error else { continue };
        let what = format!("{} ({}), after {}", it.id, it.title, seconds(it.took_ms));
        reds.extend(failed(&mut shown, what, failure));
    }
    for variant in summary.variants() {
        match &variant.outcome {
            Some(Outcome::NotAsExpected { problems }) => reds.push(not_as_expected(variant, problems, command)),
            Some(Outcome::Error { failure }) => reds.extend(failed(&mut shown, variant.id.to_string(), failure)),
            _ => {}
        }
    }
    if let Some(failure) = summary.ended.as_ref().and_then(|ended| ended.failure.as_ref()) {
        reds.extend(failed(&mut shown, "the run".to_owned(), failure));
    }
    reds
}

fn failed<'a>(shown: &mut Vec<&'a Failure>, what: String, failure: &'a Failure) -> Option<Red<'a>> {
    if shown.contains(&failure) {
        return None;
    }
    shown.push(failure);
    let mut facts = vec![("what", failure.what.clone())];
    facts.extend(failure.fix.clone().map(|fix| ("fix", fix)));
    Some(Red { word: "ERROR", what, facts, problems: Vec::new(), evidence: &failure.evidence })
}

fn not_as_expected<'a>(variant: &'a Variant, problems: &'a [Problem], command: &str) -> Red<'a> {
    let hosts = variant.started.iter().flat_map(|started| &started.hosts).filter(|(says, runs)| says != runs);
    let hosts = hosts.map(|(says, runs)| ("host", format!("{says} was {runs} in this run")));
    let facts = hosts.chain([("again", rerun(variant, command))]).collect();
    let problems = problems.iter().map(|it| problem(variant, it)).collect();
    Red { word: "FAILED", what: variant.id.to_string(), facts, problems, evidence: &[] }
}

fn problem<'a>(variant: &'a Variant, it: &'a Problem) -> ProblemView<'a> {
    let step = variant.step(it.step.as_str());
    let from = step.and_then(|step| step.from.as_ref()).map_or_else(String::new, |from| format!(" from {from}"));
    let mut facts = vec![("expected", it.expected.clone()), ("seen", it.seen.clone())];
    facts.extend(step.map(evidence::lines).unwrap_or_default());
    ProblemView { step: format!("{}{from}", it.step), place: &it.place, sentence: &it.sentence, facts }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 100")]
fn figure<'a>(it: &Measured<'a>) -> FigureView<'a> {
    let worst = it.figure.worst;
    let share = |value: f64| if worst > 0.0 { (value / worst * 100.0).clamp(0.0, 100.0) as u64 } else { 0 };
    let began = it.timeline.first().map_or(0, |moment| moment.unix_ms);
    let whole = it.timeline.last().map_or(0, |moment| moment.unix_ms - began);
    let timeline = it.timeline.iter().map(|moment| {
        let at = moment.unix_ms - began;
        let since = format!("{}.{:03} s", at / 1000, at % 1000);
        MomentView { at: since, share: percent(at, whole), what: &moment.what }
    });
    FigureView {
        name: &it.figure.name,
        variant: it.variant.id.as_str(),
        numbers: it.figure.to_string(),
        least: share(it.figure.least),
        median: share(it.figure.median),
        timeline: timeline.collect(),
    }
}

fn scenario(it: &Scenario, interrupted: bool) -> ScenarioView<'_> {
    let variants: Vec<_> = it.variants.iter().map(|variant| variant_view(variant, interrupted)).collect();
    let with = |tone: Paint| variants.iter().filter(|variant| variant.tone == tone).count();
    let tone = [Paint::Bad, Paint::Odd].into_iter().find(|tone| with(*tone) > 0).unwrap_or(Paint::Good);
    let counts = [("ok", Paint::Good), ("red", Paint::Bad), ("not run", Paint::Odd)];
    let counts = counts.iter().map(|(word, tone)| (word, with(*tone))).filter(|(_, number)| *number > 0);
    let counts = counts.map(|(word, number)| format!("{number} {word}")).collect::<Vec<_>>().join(", ");
    let started = it.variants.iter().find(|variant| variant.break_name().is_none());
    let summary = started.and_then(|variant| variant.started.as_ref()).map_or("", |started| started.summary.as_str());
    ScenarioView { name: &it.name, summary, tone, counts, variants }
}

fn variant_view(it: &Variant, interrupted: bool) -> VariantView<'_> {
    let (word, tone) = verdict_of(it, interrupted);
    VariantView {
        name: it.short_name(),
        id: it.id.as_str(),
        summary: it.started.as_ref().map_or("", |started| started.summary.as_str()),
        word,
        tone,
        took: if it.outcome.is_some() { seconds(it.took_ms) } else { String::new() },
        says: in_short(it),
        steps: it.steps.iter().map(step).collect(),
    }
}

fn step(it: &StepEnded) -> StepView<'_> {
    let (word, says) = match it.verdict {
        Verdict::Passed => ("passed", String::new()),
        Verdict::Failed => ("failed", it.cause.as_ref().map(short_cause).unwrap_or_default()),
        Verdict::Blocked => {
            let by: Vec<&str> = it.blocked_by.iter().map(parallax_vocab::StepId::as_str).collect();
            ("blocked", format!("needs {}", by.join(", ")))
        }
    };
    StepView {
        id: it.step.as_str(),
        round: it.course.round.as_ref().map_or_else(String::new, |round| format!("round {}", round.number)),
        kind: &it.kind,
        from: it.from.as_ref().map_or("", |from| from.as_str()),
        word,
        took: seconds(it.took_ms),
        says,
        place: &it.place,
    }
}

fn set_up(it: &SetUp) -> SetUpView<'_> {
    let detail = it.detail.as_deref().unwrap_or("never ended");
    SetUpView { id: &it.id, title: &it.title, took: seconds(it.took_ms), detail }
}
