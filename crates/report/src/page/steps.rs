//! The areas, scenarios, variants and steps of the page. An area is a folder of `scenarios`. Each step has a permalink.

use parallax_vocab::event::{Outcome, StepEnded, Verdict};
use serde::Serialize;

use super::percent;
use super::vantages::word;
use crate::summary::{Scenario, Summary, Variant};
use crate::terminal::{Paint, in_short, short_cause, verdict_of};
use crate::{evidence, seconds};

/// A step of a variant, with its position, the time of its end, and the number that makes its permalink unique within
/// the variant.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) step: &'a StepEnded,
    /// The step's position among the steps of the variant, counted from 0.
    pub(super) index: usize,
    /// The number of earlier steps of the variant with the same id. In a `repeat`, each round has steps with the same
    /// ids.
    earlier: usize,
    /// The time at which the step ended, in milliseconds since the start of the run.
    pub(super) ended_ms: u64,
}

impl<'a> Named<'a> {
    /// Returns the steps of a variant, in the order in which they ended.
    pub(crate) fn of(variant: &'a Variant) -> impl Iterator<Item = Self> {
        let mut seen: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        variant.timed_steps().enumerate().map(move |(index, (step, _, ended_ms))| {
            let count = seen.entry(step.step.as_str()).or_default();
            *count += 1;
            Self { step, index, earlier: *count - 1, ended_ms }
        })
    }
}

/// The id of a step's element on the page, which is also the step's permalink, for example
/// `presign/presigned-url+no-rewrite:inside`. The second step with the same id gets the suffix `~2`.
pub(crate) fn anchor(variant: &Variant, named: &Named<'_>) -> String {
    let id = format!("{}:{}", variant.id, named.step.step);
    if named.earlier == 0 { id } else { format!("{id}~{}", named.earlier + 1) }
}

#[derive(Serialize)]
pub(super) struct AreaView<'a> {
    name: &'a str,
    tone: Paint,
    counts: Vec<(Paint, String)>,
    /// The segments of the bar that shows how many variants passed, failed or did not run. Each segment has a colour, a
    /// start in percent, and a length in percent.
    shares: Vec<(Paint, String, String)>,
    took: String,
    scenarios: Vec<ScenarioView<'a>>,
}

#[derive(Serialize)]
struct ScenarioView<'a> {
    name: &'a str,
    summary: &'a str,
    tone: Paint,
    counts: Vec<(Paint, String)>,
    file: &'a str,
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
    facts: Vec<(&'static str, String)>,
    /// The time at which the variant started, in milliseconds since the start of the run. `to_ms` is the time at which
    /// the variant ended.
    from_ms: u64,
    to_ms: u64,
    steps: Vec<StepView<'a>>,
}

#[derive(Serialize)]
struct StepView<'a> {
    id: &'a str,
    anchor: String,
    /// The round of a `repeat` in which the step ran, in words. Empty if the step is not inside a `repeat`.
    round: String,
    kind: &'a str,
    from: &'a str,
    word: &'static str,
    tone: &'static str,
    took: String,
    deadline: String,
    /// The part of its deadline that the step used, in percent.
    used: String,
    says: String,
    place: &'a str,
    matchers: Vec<(bool, String)>,
    facts: Vec<evidence::Line>,
}

/// Returns the areas of a run, in the order of the run. An area contains the scenarios of one folder of `scenarios`.
pub(super) fn areas(summary: &Summary) -> Vec<AreaView<'_>> {
    let interrupted = summary.interrupted();
    let mut grouped: Vec<(&str, Vec<&Scenario>)> = Vec::new();
    for it in &summary.scenarios {
        let name = area(&it.name);
        match grouped.iter_mut().find(|(known, _)| *known == name) {
            Some((_, scenarios)) => scenarios.push(it),
            None => grouped.push((name, vec![it])),
        }
    }
    let mut areas = Vec::new();
    for (name, scenarios) in grouped {
        let variants: Vec<&Variant> = scenarios.iter().flat_map(|it| &it.variants).collect();
        let tones: Vec<Paint> = variants.iter().map(|it| verdict_of(it, interrupted).1).collect();
        areas.push(AreaView {
            name,
            tone: worst(&tones),
            counts: counts(&tones),
            shares: shares(&tones),
            took: seconds(variants.iter().map(|it| it.took_ms).sum()),
            scenarios: scenarios.into_iter().map(|it| scenario(it, interrupted)).collect(),
        });
    }
    areas
}

/// Returns the area of a scenario: the first part of its name, before the slash.
pub(crate) fn area(scenario: &str) -> &str {
    scenario.split('/').next().unwrap_or(scenario)
}

/// The colours of variants and the word for each, the most important first.
const TONES: [(Paint, &str); 3] = [(Paint::Bad, "failed"), (Paint::Odd, "not run"), (Paint::Good, "passed")];

fn worst(tones: &[Paint]) -> Paint {
    TONES.iter().map(|(tone, _)| *tone).find(|tone| tones.contains(tone)).unwrap_or(Paint::Good)
}

fn with(tones: &[Paint], tone: Paint) -> usize {
    tones.iter().filter(|it| **it == tone).count()
}

fn counts(tones: &[Paint]) -> Vec<(Paint, String)> {
    let counted = TONES.iter().map(|(tone, word)| (*tone, with(tones, *tone), word));
    counted
        .filter(|(_, number, _)| *number > 0)
        .map(|(tone, number, word)| (tone, format!("{number} {word}")))
        .collect()
}

/// Returns the segments of a bar that shows how many variants have each colour. A segment consists of its colour, its
/// start in percent, and its length in percent.
pub(super) fn shares(tones: &[Paint]) -> Vec<(Paint, String, String)> {
    let whole = tones.len() as u64;
    let mut from = 0;
    let mut segments = Vec::new();
    for (tone, _) in TONES {
        let number = with(tones, tone) as u64;
        if number > 0 {
            segments.push((tone, percent(from, whole), percent(number, whole)));
        }
        from += number;
    }
    segments
}

fn scenario(it: &Scenario, interrupted: bool) -> ScenarioView<'_> {
    let tones: Vec<Paint> = it.variants.iter().map(|variant| verdict_of(variant, interrupted).1).collect();
    let baseline = it.variants.iter().find(|variant| variant.break_name().is_none());
    let started = baseline.or(it.variants.first()).and_then(|variant| variant.started.as_ref());
    ScenarioView {
        name: &it.name,
        summary: baseline.and_then(|it| it.started.as_ref()).map_or("", |started| started.summary.as_str()),
        tone: worst(&tones),
        counts: counts(&tones),
        file: started.map_or("", |started| started.file.as_str()),
        variants: it.variants.iter().map(|variant| variant_view(variant, interrupted)).collect(),
    }
}

fn variant_view(it: &Variant, interrupted: bool) -> VariantView<'_> {
    let (word, tone) = verdict_of(it, interrupted);
    let mut facts = Vec::new();
    if let Some(started) = &it.started {
        facts.push(("where", format!("cluster {}, namespace {}", started.cluster, started.namespace)));
        let hosts = started.hosts.iter().filter(|(says, runs)| says != runs);
        facts.extend(hosts.map(|(says, runs)| ("host", format!("{says} is {runs} in this run"))));
    }
    VariantView {
        name: it.short_name(),
        id: it.id.as_str(),
        summary: it.started.as_ref().map_or("", |started| started.summary.as_str()),
        word,
        tone,
        took: if it.outcome.is_some() { seconds(it.took_ms) } else { String::new() },
        says: in_short(it),
        facts,
        from_ms: it.from_ms,
        to_ms: end_of(it),
        steps: Named::of(it).map(|named| step(it, &named)).collect(),
    }
}

/// Returns the time at which a variant ended, in milliseconds since the start of the run. If the variant never ended,
/// this is the end of its last step.
pub(super) fn end_of(it: &Variant) -> u64 {
    let last = it.ended_ms.iter().copied().max().unwrap_or(it.from_ms);
    if it.outcome.is_some() { last.max(it.from_ms.saturating_add(it.took_ms)) } else { last }
}

/// Returns the colour of a step. If a variant is as declared, its failed steps are not red, because a break must make
/// steps fail.
pub(super) fn tone(variant: &Variant, step: &StepEnded) -> &'static str {
    let is_problem = variant.problems().iter().any(|it| it.step == step.step);
    match (step.verdict, &variant.outcome) {
        _ if is_problem => "bad",
        (Verdict::Passed, _) => "good",
        (Verdict::Failed, Some(Outcome::AsExpected)) => "declared",
        (Verdict::Failed, _) => "bad",
        (Verdict::Blocked, _) => "dim",
    }
}

fn step<'a>(variant: &Variant, named: &Named<'a>) -> StepView<'a> {
    let it = named.step;
    let tone = tone(variant, it);
    let says = match it.verdict {
        Verdict::Passed => String::new(),
        Verdict::Failed => it.cause.as_ref().map(short_cause).unwrap_or_default(),
        Verdict::Blocked => {
            let by: Vec<&str> = it.blocked_by.iter().map(parallax_vocab::StepId::as_str).collect();
            format!("needs {}", by.join(", "))
        }
    };
    let matched = |it: &parallax_vocab::event::Matched| {
        let seen = if it.held { String::new() } else { format!(", saw {}", it.seen) };
        (it.held, evidence::cut(&format!("{}: {}{seen}", it.matcher, it.expected)))
    };
    StepView {
        id: it.step.as_str(),
        anchor: anchor(variant, named),
        round: it.course.round.as_ref().map_or_else(String::new, |round| format!("round {}", round.number)),
        kind: &it.kind,
        from: it.from.as_ref().map_or("", |from| from.as_str()),
        word: if tone == "declared" { "as declared" } else { word(it.verdict) },
        tone,
        took: if it.verdict == Verdict::Blocked { String::new() } else { seconds(it.took_ms) },
        deadline: seconds(it.deadline_ms),
        used: percent(it.took_ms, it.deadline_ms),
        says,
        place: &it.place,
        matchers: it.matchers.iter().map(matched).collect(),
        facts: evidence::lines(it).into_iter().filter(|(label, _)| *label != "matcher").collect(),
    }
}
