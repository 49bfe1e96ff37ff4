//! The failures of a run, as the page shows them. Each failure appears once, with the evidence of every vantage and
//! with other events that happened at about the same time.

use parallax_vocab::event::{Outcome, Problem, StepEnded};
use serde::Serialize;

use super::steps::{Named, anchor, tone};
use super::vantages::{IN_TABLE, Table, table};
use crate::faults::Fault;
use crate::summary::{Summary, Variant};
use crate::terminal::{rerun, short_cause};
use crate::{evidence, seconds};

/// An event from outside the failed variant is shown with a failure if it happened at nearly the same time: at most
/// this number of milliseconds before the failure, or at most [`AFTER_MS`] milliseconds after it.
const BEFORE_MS: u64 = 10_000;
const AFTER_MS: u64 = 5_000;
/// The largest number of events from outside the failed variant (steps of other variants, and set-up steps) that are
/// shown with a failure.
const OTHERS_SHOWN: usize = 8;
/// The page shows this number of steps of the same variant before a failure, and the same number after it.
const OWN_SHOWN: usize = 4;
/// The largest number of lines from logs and events that are shown for a step.
const LINES_SHOWN: usize = 30;

/// One failure of the run, with everything that the page shows about the failure.
#[derive(Serialize)]
pub(super) struct Red<'a> {
    word: &'static str,
    what: String,
    /// The permalink of the failed variant; empty if the failure belongs to no variant.
    href: String,
    summary: &'a str,
    facts: Vec<(&'static str, String)>,
    problems: Vec<ProblemView<'a>>,
    evidence: &'a [String],
}

#[derive(Serialize)]
struct ProblemView<'a> {
    step: String,
    from: String,
    href: String,
    place: &'a str,
    /// The sentence about the failure, divided into parts. The flag of a part is true if the part is code, which is
    /// between backticks in the sentence.
    sentence: Vec<(bool, &'a str)>,
    facts: Vec<(&'static str, String)>,
    vantages: Option<Table>,
    around: Vec<Around>,
    logs: Vec<Log>,
}

/// An event that happened at about the same time as a failure.
#[derive(Serialize)]
struct Around {
    /// The time of the event, relative to the end of the failed step, for example `+1.2 s`.
    at: String,
    what: String,
    says: String,
    tone: &'static str,
    href: String,
    is_it: bool,
}

/// The lines that a step read from logs, events and objects.
#[derive(Serialize)]
struct Log {
    step: String,
    at: String,
    lines: Vec<String>,
}

/// Returns the failures of set-up steps, of variants, and of the run as a whole. If one failure ended several set-up
/// steps or variants, it is returned once.
pub(super) fn failures<'a>(summary: &'a Summary, command: &str) -> Vec<Red<'a>> {
    let mut reds: Vec<Red<'a>> = summary.faults().iter().map(of_fault).collect();
    for variant in summary.variants() {
        if let Some(Outcome::NotAsExpected { problems }) = &variant.outcome {
            reds.push(not_as_expected(summary, variant, problems, command));
        }
    }
    reds
}

fn of_fault<'a>(fault: &Fault<'a>) -> Red<'a> {
    let failure = fault.failure;
    let href = fault.variants.first().filter(|_| fault.setups.is_empty()).map(|it| it.id.to_string());
    let mut facts = vec![("what", failure.what.clone())];
    facts.extend(failure.fix.clone().map(|fix| ("fix", fix)));
    facts.extend(fault.without_verdict().map(|it| ("no verdict", it)));
    let (what, href) = (fault.title(), href.unwrap_or_default());
    Red { word: "ERROR", what, href, summary: "", facts, problems: Vec::new(), evidence: &failure.evidence }
}

fn not_as_expected<'a>(summary: &'a Summary, variant: &'a Variant, problems: &'a [Problem], command: &str) -> Red<'a> {
    let hosts = variant.started.iter().flat_map(|started| &started.hosts).filter(|(says, runs)| says != runs);
    let hosts = hosts.map(|(says, runs)| ("host", format!("{says} was {runs} in this run")));
    let facts = hosts.chain([("again", rerun(summary, variant, command))]).collect();
    Red {
        word: "FAILED",
        what: variant.id.to_string(),
        href: variant.id.to_string(),
        summary: variant.started.as_ref().map_or("", |started| started.summary.as_str()),
        facts,
        problems: problems.iter().map(|it| problem(summary, variant, it)).collect(),
        evidence: &[],
    }
}

fn problem<'a>(summary: &'a Summary, variant: &'a Variant, it: &'a Problem) -> ProblemView<'a> {
    // Each round of a `repeat` has a step with the same id. The step of the last round is used, as in
    // `Variant::step`.
    let named = Named::of(variant).filter(|named| named.step.step == it.step).last();
    let vantages = named.and_then(|named| table(summary, variant, named.step));
    let mut facts = vec![("expected", it.expected.clone()), ("seen", it.seen.clone())];
    let lines = named.map(|named| evidence::lines(named.step)).unwrap_or_default();
    // The page shows logs in a section below the failure, and the network layers in the table of vantages. So the list
    // of facts does not contain the logs and the layers again.
    let elsewhere =
        |label: &str| matches!(label, "saw" | "moment") || (vantages.is_some() && IN_TABLE.contains(&label));
    facts.extend(lines.into_iter().filter(|(label, _)| !elsewhere(label)));
    ProblemView {
        step: it.step.to_string(),
        from: named.and_then(|named| named.step.from.as_ref()).map_or_else(String::new, ToString::to_string),
        href: named.map_or_else(|| variant.id.to_string(), |named| anchor(variant, &named)),
        place: &it.place,
        sentence: it.sentence.split('`').enumerate().map(|(index, part)| (index % 2 == 1, part)).collect(),
        facts,
        vantages,
        around: named.map(|named| around(summary, variant, &named)).unwrap_or_default(),
        logs: named.map(|named| logs(variant, &named)).unwrap_or_default(),
    }
}

/// Formats the time `ms` relative to the time `moment_ms`, with a sign.
fn since(ms: u64, moment_ms: u64) -> String {
    let sign = if ms < moment_ms { "\u{2212}" } else { "+" };
    format!("{sign}{}", seconds(ms.abs_diff(moment_ms)))
}

/// Returns what happened around a failure. These are the steps before and after it in the same variant. The steps of
/// other variants in the same cluster, and the set-up steps, are included if they ended at about the same time.
fn around(summary: &Summary, variant: &Variant, failed: &Named<'_>) -> Vec<Around> {
    let cluster = variant.started.as_ref().map(|it| it.cluster.as_str());
    let moment_ms = failed.ended_ms;
    let is_near = |ms: u64| ms.saturating_add(BEFORE_MS) >= moment_ms && ms <= moment_ms.saturating_add(AFTER_MS);
    let mut near: Vec<(u64, Around)> = Vec::new();
    for it in Named::of(variant).filter(|it| it.index.abs_diff(failed.index) <= OWN_SHOWN) {
        near.push((it.ended_ms, happened(variant, &it, moment_ms, it.index == failed.index)));
    }
    let mut others = Vec::new();
    for other in summary.variants().filter(|it| it.id != variant.id) {
        if other.started.as_ref().map(|it| it.cluster.as_str()) != cluster {
            continue;
        }
        let close = Named::of(other).filter(|it| is_near(it.ended_ms));
        others.extend(close.map(|it| (it.ended_ms, happened(other, &it, moment_ms, false))));
    }
    for setup in &summary.setups {
        let ended_ms = setup.from_ms.saturating_add(setup.took_ms);
        if is_near(ended_ms) {
            let says = setup.detail.clone().unwrap_or_else(|| "never ended".to_owned());
            let tone = if setup.error.is_some() { "bad" } else { "dim" };
            let at = since(ended_ms, moment_ms);
            others
                .push((ended_ms, Around { at, what: setup.id.clone(), says, tone, href: String::new(), is_it: false }));
        }
    }
    others.sort_by_key(|(ms, _)| ms.abs_diff(moment_ms));
    others.truncate(OTHERS_SHOWN);
    near.extend(others);
    near.sort_by_key(|(ms, _)| *ms);
    near.into_iter().map(|(_, it)| it).collect()
}

fn happened(variant: &Variant, it: &Named<'_>, moment_ms: u64, is_it: bool) -> Around {
    let from = it.step.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let cause = it.step.cause.as_ref().map(short_cause).unwrap_or_default();
    Around {
        at: since(it.ended_ms, moment_ms),
        what: format!("{}: {}{from}", variant.id, it.step.step),
        says: format!("{} {cause}", super::vantages::word(it.step.verdict)).trim_end().to_owned(),
        tone: tone(variant, it.step),
        href: anchor(variant, it),
        is_it,
    }
}

/// Returns the lines that the failed step and the steps close to it read from logs, events and objects.
fn logs(variant: &Variant, failed: &Named<'_>) -> Vec<Log> {
    let near = Named::of(variant).filter(|it| it.index.abs_diff(failed.index) <= OWN_SHOWN);
    let noted = near.filter(|it| !it.step.course.notes.is_empty() || !it.step.course.moments.is_empty());
    let log = |it: Named<'_>| {
        let mut lines = moments(it.step);
        lines.extend(it.step.course.notes.iter().cloned());
        Log {
            step: format!("{} ({})", it.step.step, it.step.kind),
            at: since(it.ended_ms, failed.ended_ms),
            // If there are too many lines, the last ones are kept, because they are the newest.
            lines: lines.split_off(lines.len().saturating_sub(LINES_SHOWN)),
        }
    };
    noted.map(log).collect()
}

/// Returns the moments (events in the system under test) that a step observed. The time of each moment is shown
/// relative to the last answer of the step, or relative to the last moment if there is no answer.
fn moments(step: &StepEnded) -> Vec<String> {
    let moments = &step.course.moments;
    let answered =
        step.answer.as_ref().map(|it| it.evidence.started_unix_ms.saturating_add(it.evidence.took_us / 1000));
    let last = answered.or(moments.iter().map(|it| it.unix_ms).max()).unwrap_or_default();
    moments.iter().map(|it| format!("{}  {}", since(it.unix_ms, last), it.what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn around_a_failure_are_the_steps_of_its_variant_with_their_distance_in_time() {
        let summary = Summary::from_events(&samples::expectation_failed());
        let variant = summary.variants().next().expect("a variant");
        let failed = Named::of(variant).next().expect("a step");
        let around: Vec<_> =
            around(&summary, variant, &failed).into_iter().map(|it| (it.at, it.what, it.is_it)).collect();
        let own =
            |at: &str, step: &str, is_it| (at.to_owned(), format!("presign/presigned-url: {step} from app"), is_it);
        assert!(
            around.contains(&own("+0.0 s", "inside", true)) && around.contains(&own("+0.4 s", "outside", false)),
            "{around:?}"
        );
    }

    #[test]
    fn a_failure_shows_what_its_step_and_its_neighbours_read() {
        let mut events = samples::expectation_failed();
        for event in &mut events {
            if let parallax_vocab::EventKind::StepEnded(step) = &mut event.event {
                step.course.notes = (1..=40).map(|it| format!("line {it}")).collect();
            }
        }
        let summary = Summary::from_events(&events);
        let reds = failures(&summary, "parallax e2e");
        let logs = &reds[0].problems[0].logs;
        assert_eq!(logs.iter().map(|it| it.step.as_str()).collect::<Vec<_>>(), ["inside (http)", "outside (http)"]);
        assert_eq!((logs[0].lines.len(), logs[0].lines[0].as_str()), (LINES_SHOWN, "line 11"));
    }
}
