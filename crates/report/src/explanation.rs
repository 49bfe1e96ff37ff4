//! Explains why the steps of a run failed, from the record only. Each failed step gets one sentence and its evidence.

use std::fmt::Write as _;

use parallax_vocab::StepId;
use parallax_vocab::event::{BLOCKED, FAILURE, Failure, Outcome, Problem, StepEnded, Verdict};

use super::summary::{Summary, Variant};
use super::{evidence, seconds};

/// Explains the failed and blocked steps of each variant that did not behave as its scenario declares. With `all`, the
/// function explains these steps of every variant. With `only`, it explains only the scenario, the variant or the step
/// with this name. Returns `None` if nothing has this name.
pub fn explanation(summary: &Summary, only: Option<&str>, all: bool) -> Option<String> {
    let mut text = String::new();
    let mut named = only.is_none();
    for fault in summary.faults().iter().filter(|_| only.is_none()) {
        let setups: Vec<&str> = fault.setups.iter().map(|it| it.id.as_str()).collect();
        let what = if setups.is_empty() { fault.title() } else { setups.join(", ") };
        heading(&mut text, &what, "failed: nothing is said about the system under test");
        failed(&mut text, fault.failure);
        if let Some(without) = fault.without_verdict() {
            labelled(&mut text, "no verdict", &without);
        }
    }
    for scenario in &summary.scenarios {
        for variant in &scenario.variants {
            let whole = only.is_none_or(|it| it == scenario.name || it == variant.id.as_str());
            let meant = |step: &&StepEnded| whole || only == Some(step.step.as_str());
            let steps: Vec<&StepEnded> = variant.steps.iter().filter(meant).collect();
            named |= whole || !steps.is_empty();
            // A reader who gives no name (`only`) wants to know what is not as declared. The steps that fail in a
            // break, as the break declares, would only distract this reader.
            if only.is_none() && !all && matches!(variant.outcome, Some(Outcome::AsExpected)) {
                continue;
            }
            explain_variant(&mut text, variant, &steps, (whole, only.is_none()));
        }
    }
    if text.is_empty() {
        text.push_str(if only.is_none() && !all {
            "every variant that ended is as declared; --all explains the steps that failed as declared, too\n"
        } else {
            "no step failed or was blocked\n"
        });
    }
    named.then_some(text)
}

/// Returns all names that the parameter `only` of `explanation` accepts.
pub fn names(summary: &Summary) -> Vec<String> {
    let mut all: Vec<String> = summary.scenarios.iter().map(|it| it.name.clone()).collect();
    all.extend(summary.variants().map(|it| it.id.as_str().to_owned()));
    all.extend(summary.variants().flat_map(|it| &it.steps).map(|it| it.step.as_str().to_owned()));
    all.sort();
    all.dedup();
    all
}

/// Explains the steps of a variant. `whole` says whether the reader asks for the whole variant, and not only for a
/// step. `told` says whether an earlier part of the text has explained the failure of the variant.
fn explain_variant(text: &mut String, variant: &Variant, steps: &[&StepEnded], (whole, told): (bool, bool)) {
    let explained: Vec<&&StepEnded> = steps.iter().filter(|step| step.verdict != Verdict::Passed).collect();
    let failure = match &variant.outcome {
        Some(Outcome::Error { failure }) if whole && !told => Some(failure),
        _ => None,
    };
    // A step that passed although the break declares that it fails is a problem too. Such a step has no cause to
    // explain, so the problem itself is shown.
    let passed = |step: &StepId| explained.iter().all(|it| it.step != *step);
    let problems: Vec<&Problem> = match &variant.outcome {
        Some(Outcome::NotAsExpected { problems }) if whole => problems.iter().filter(|it| passed(&it.step)).collect(),
        _ => Vec::new(),
    };
    if explained.is_empty() && failure.is_none() && problems.is_empty() {
        return;
    }
    let ended = match &variant.outcome {
        Some(Outcome::AsExpected) => "as declared",
        Some(Outcome::NotAsExpected { .. }) => "NOT as declared",
        Some(Outcome::Error { .. }) => "the harness failed: nothing is said about the system under test",
        Some(Outcome::Skipped { .. }) => "skipped",
        Some(Outcome::Interrupted) => "interrupted",
        Some(Outcome::NotBegun { .. }) => "not begun",
        None => "did not end",
    };
    heading(text, variant.id.as_str(), ended);
    for step in explained {
        text.push_str(&explained_step(step));
        if let Some(words) = declared(variant, step) {
            labelled(text, "declared", &words);
        }
    }
    for problem in problems {
        line(text, 2, &problem.sentence);
        labelled(text, "place", &problem.place);
    }
    if let Some(failure) = failure {
        failed(text, failure);
    }
    text.push('\n');
}

/// Compares a step that failed or was blocked with what its break declares. `None` if the variant is no break, or if
/// the variant has no verdict.
fn declared(variant: &Variant, step: &StepEnded) -> Option<String> {
    variant.break_name()?;
    let problems = match &variant.outcome {
        Some(Outcome::AsExpected) => &[],
        Some(Outcome::NotAsExpected { problems }) => problems.as_slice(),
        _ => return None,
    };
    let Some(problem) = problems.iter().find(|it| it.step == step.step) else {
        return Some("the break declares this".to_owned());
    };
    let declared = &problem.expected;
    let differs = match step.verdict {
        Verdict::Failed if declared.starts_with(FAILURE) => "NOT this: another cause than declared",
        Verdict::Blocked if declared.starts_with(FAILURE) => "NOT this: the step was not reached",
        _ if declared == BLOCKED => "NOT this: the step ran",
        _ => return Some("NOT this: no failure of the step is declared".to_owned()),
    };
    Some(format!("{declared}; {differs}"))
}

/// Explains a step that failed or was blocked, with its sentence, its place and its evidence.
pub fn explained_step(step: &StepEnded) -> String {
    let mut text = String::new();
    line(&mut text, 2, &parallax_explain::of_step(step));
    labelled(&mut text, "place", &step.place);
    for (label, what) in evidence::lines(step) {
        labelled(&mut text, label, &what);
    }
    text
}

/// Describes in one line how a step ended.
pub fn step_in_a_line(step: &StepEnded) -> String {
    let verdict = match step.verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "failed",
        Verdict::Blocked => "blocked",
    };
    let from = step.from.as_ref().map(|from| format!("  from {from}")).unwrap_or_default();
    format!("{verdict:<7}  {}  {}{from}", step.step, seconds(step.took_ms))
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
            let _ = writeln!(text, "== {name}\n{}", explanation(&summary, None, true).expect("all are meant"));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn one_variant_or_one_step_can_be_asked_for() {
        let summary = Summary::from_events(&samples::all_good());
        let one = explanation(&summary, Some("presign/presigned-url+no-rewrite"), false).expect("is there");
        assert!(one.contains("`inside`") && one.contains("`outside`"), "{one}");
        let one = explanation(&summary, Some("inside"), false).expect("is there");
        assert!(one.contains("`inside`") && !one.contains("`outside`"), "{one}");
        assert_eq!(explanation(&summary, Some("presign/presigned-url+"), false), None);
        assert!(names(&summary).contains(&"inside".to_owned()));
    }

    #[test]
    fn each_failure_of_a_break_says_whether_it_was_declared() {
        let summary = Summary::from_events(&samples::all_good());
        let id = "presign/presigned-url+no-rewrite";
        let told = |summary: &Summary| {
            let text = explanation(summary, Some(id), false).expect("is there");
            text.lines().filter_map(|it| it.trim().strip_prefix("declared")).map(|it| it.trim().to_owned()).collect()
        };
        let all: Vec<String> = told(&summary);
        assert!(!all.is_empty() && all.iter().all(|it| it == "the break declares this"), "{all:?}");
        let failed = |it: &&StepEnded| it.verdict == Verdict::Failed;
        let variant = summary.variants().find(|it| it.id.as_str() == id).expect("is there");
        let step = variant.steps.iter().find(failed).expect("a break has one").step.clone();
        let problem = |expected: &str| Problem {
            step: step.clone(),
            place: String::new(),
            sentence: String::new(),
            expected: expected.to_owned(),
            seen: String::new(),
        };
        for (expected, words) in [
            ("failure with dns: no-address", "failure with dns: no-address; NOT this: another cause than declared"),
            ("blocked", "blocked; NOT this: the step ran"),
            ("passed", "NOT this: no failure of the step is declared"),
        ] {
            let outcome = Some(Outcome::NotAsExpected { problems: vec![problem(expected)] });
            let mut changed = summary.clone();
            for it in changed.scenarios.iter_mut().flat_map(|it| &mut it.variants).filter(|it| it.id.as_str() == id) {
                it.outcome.clone_from(&outcome);
            }
            let all: Vec<String> = told(&changed);
            assert!(all.iter().any(|it| it == words), "{all:?}");
        }
    }

    #[test]
    fn without_a_name_only_what_is_not_as_declared_is_explained() {
        let well = Summary::from_events(&samples::all_good());
        let text = explanation(&well, None, false).expect("all are meant");
        assert!(text.contains("--all") && !text.contains("no-rewrite"), "{text}");
        // In this run, a step passed although the break declares that it fails. Such a step has no cause, but the
        // explanation must contain the step.
        let wrong = Summary::from_events(&samples::break_did_not_break());
        let text = explanation(&wrong, None, false).expect("all are meant");
        assert!(text.contains("NOT as declared") && text.contains("`inside`"), "{text}");
    }
}
