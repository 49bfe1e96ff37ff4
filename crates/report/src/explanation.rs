//! Explains why steps of a run failed, from its record alone: each with one sentence and its evidence.

use std::fmt::Write as _;

use parallax_vocab::event::{Failure, Outcome, StepEnded, Verdict};

use super::evidence;
use super::summary::{Summary, Variant};

/// Explains every failed and blocked step. With `only`, explains those of the scenario, variant or step of that name.
/// Returns `None` if nothing has that name.
pub fn explanation(summary: &Summary, only: Option<&str>) -> Option<String> {
    let mut text = String::new();
    let mut named = only.is_none();
    for setup in summary.setups.iter().filter(|_| only.is_none()) {
        if let Some(failure) = &setup.error {
            heading(&mut text, &setup.id, "failed");
            failed(&mut text, failure);
        }
    }
    for scenario in &summary.scenarios {
        for variant in &scenario.variants {
            let whole = only.is_none_or(|it| it == scenario.name || it == variant.id.as_str());
            let meant = |step: &&StepEnded| whole || only == Some(step.step.as_str());
            let steps: Vec<&StepEnded> = variant.steps.iter().filter(meant).collect();
            named |= whole || !steps.is_empty();
            explain_variant(&mut text, variant, &steps, whole);
        }
    }
    if text.is_empty() {
        text.push_str("no step failed or was blocked\n");
    }
    named.then_some(text)
}

/// All names that are valid for `only`.
pub fn names(summary: &Summary) -> Vec<String> {
    let mut all: Vec<String> = summary.scenarios.iter().map(|it| it.name.clone()).collect();
    all.extend(summary.variants().map(|it| it.id.as_str().to_owned()));
    all.extend(summary.variants().flat_map(|it| &it.steps).map(|it| it.step.as_str().to_owned()));
    all.sort();
    all.dedup();
    all
}

fn explain_variant(text: &mut String, variant: &Variant, steps: &[&StepEnded], whole: bool) {
    let explained: Vec<&&StepEnded> = steps.iter().filter(|step| step.verdict != Verdict::Passed).collect();
    let failure = match &variant.outcome {
        Some(Outcome::Error { failure }) if whole => Some(failure),
        _ => None,
    };
    if explained.is_empty() && failure.is_none() {
        return;
    }
    let ended = match &variant.outcome {
        Some(Outcome::AsExpected) => "as declared",
        Some(Outcome::NotAsExpected { .. }) => "NOT as declared",
        Some(Outcome::Error { .. }) => "the harness failed: nothing is said about the system under test",
        Some(Outcome::Skipped { .. }) => "skipped",
        Some(Outcome::Interrupted) => "interrupted",
        None => "did not end",
    };
    heading(text, variant.id.as_str(), ended);
    for step in explained {
        line(text, 2, &parallax_explain::of_step(step));
        labelled(text, "place", &step.place);
        for (label, what) in evidence::lines(step) {
            labelled(text, label, &what);
        }
    }
    if let Some(failure) = failure {
        failed(text, failure);
    }
    text.push('\n');
}

fn failed(text: &mut String, failure: &Failure) {
    line(text, 2, &failure.what);
    if let Some(fix) = &failure.fix {
        labelled(text, "fix", fix);
    }
    for evidence in &failure.evidence {
        line(text, 4, &format!("| {evidence}"));
    }
}

fn heading(text: &mut String, what: &str, ended: &str) {
    line(text, 0, &format!("{what}  ({ended})"));
}

fn labelled(text: &mut String, label: &str, what: &str) {
    line(text, 4, &format!("{label:<10} {what}"));
}

fn line(text: &mut String, indent: usize, what: &str) {
    let what = what.trim_end();
    let _ = writeln!(text, "{:indent$}{what}", "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn every_step_that_did_not_pass_is_explained_from_the_record() {
        let mut text = String::new();
        for (name, events) in [
            ("all good", samples::all_good()),
            ("expectation failed", samples::expectation_failed()),
            ("harness failed", samples::harness_failed()),
            ("killed", samples::killed()),
        ] {
            let summary = Summary::from_events(&events);
            let _ = writeln!(text, "== {name}\n{}", explanation(&summary, None).expect("all are meant"));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn one_variant_or_one_step_can_be_asked_for() {
        let summary = Summary::from_events(&samples::all_good());
        let one = explanation(&summary, Some("presign/presigned-url+no-rewrite")).expect("is there");
        assert!(one.contains("`inside`") && one.contains("`outside`"), "{one}");
        let one = explanation(&summary, Some("inside")).expect("is there");
        assert!(one.contains("`inside`") && !one.contains("`outside`"), "{one}");
        assert_eq!(explanation(&summary, Some("presign/presigned-url+")), None);
        let passed = Summary::from_events(&samples::break_did_not_break());
        assert_eq!(explanation(&passed, None).as_deref(), Some("no step failed or was blocked\n"));
        assert!(names(&summary).contains(&"inside".to_owned()));
    }
}
