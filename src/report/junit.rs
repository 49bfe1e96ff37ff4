//! The JUnit report: scenarios are suites, steps of each variant are cases, and so are the parts of the environment.
//!
//! A step that failed as its break declares is a success. A *failure* is about the system under test, an *error* about
//! the harness, the engine or the machine.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use parallax_vocab::event::{Failure, Outcome, Problem, StepEnded, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::summary::{Scenario, Summary, Variant};
use super::{ReportError, evidence};

/// The document.
pub fn render(summary: &Summary) -> Result<String, ReportError> {
    let mut report = Report::new("parallax");
    report.set_time(Duration::from_millis(summary.phases.total_ms));
    report.add_test_suite(environment(summary));
    for scenario in &summary.scenarios {
        report.add_test_suite(suite(scenario, summary.interrupted()));
    }
    report.add_test_suites(proof(summary));
    Ok(report.to_string()?)
}

/// Where proof was demanded: each matcher without it is a failure.
fn proof(summary: &Summary) -> Option<TestSuite> {
    let mut suite = TestSuite::new("proof");
    for matcher in summary.unproven() {
        let message = "nothing in the run turned it red: it has not been shown to be able to fail";
        let mut case = TestCase::new(matcher.as_str(), problem_status(NonSuccessKind::Failure, "unproven", message));
        case.set_classname("proof");
        suite.add_test_case(case);
    }
    if summary.has_proof() {
        let mut case = TestCase::new("every matcher is proven", TestCaseStatus::success());
        case.set_classname("proof");
        suite.add_test_case(case);
    }
    (summary.lacks_proof() || summary.has_proof()).then_some(suite)
}

/// Writes the document to `path`.
pub fn write(summary: &Summary, path: &Path) -> Result<(), ReportError> {
    let text = render(summary)?;
    std::fs::write(path, text).map_err(|source| ReportError::Write { path: path.display().to_string(), source })
}

fn environment(summary: &Summary) -> TestSuite {
    let mut suite = TestSuite::new("environment");
    for setup in &summary.setups {
        let status = match (&setup.error, &setup.detail) {
            (Some(failure), _) => error(failure),
            (None, Some(_)) => TestCaseStatus::success(),
            (None, None) => {
                problem_status(NonSuccessKind::Error, "unfinished", &format!("{} never ended", setup.title))
            }
        };
        let mut case = TestCase::new(setup.id.as_str(), status);
        case.set_classname("environment").set_time(Duration::from_millis(setup.took_ms));
        let detail = setup.detail.as_deref().unwrap_or("unfinished");
        case.set_system_out(format!("{}: {detail}", setup.title));
        suite.add_test_case(case);
    }
    if let Some(clean_up) = &summary.clean_up {
        let status = if clean_up.remaining.is_empty() {
            TestCaseStatus::success()
        } else {
            problem_status(
                NonSuccessKind::Error,
                "left-behind",
                &format!("still there: {}", clean_up.remaining.join("; ")),
            )
        };
        let mut case = TestCase::new("clean-up", status);
        case.set_classname("environment").set_time(Duration::from_millis(clean_up.took_ms));
        suite.add_test_case(case);
    }
    if let Some(failure) = summary.ended.as_ref().and_then(|ended| ended.failure.as_ref()) {
        let mut case = TestCase::new("run", error(failure));
        case.set_classname("environment");
        suite.add_test_case(case);
    } else if summary.ended.is_none() {
        let mut case =
            TestCase::new("run", problem_status(NonSuccessKind::Error, "killed", "the run did not end in order"));
        case.set_classname("environment");
        suite.add_test_case(case);
    }
    suite
}

fn suite(scenario: &Scenario, interrupted: bool) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name.as_str());
    suite.set_time(Duration::from_millis(scenario.variants.iter().map(|variant| variant.took_ms).sum()));
    for variant in &scenario.variants {
        suite.add_test_cases(variant.steps.iter().map(|step| of_step(variant, step)));
        let unseen = variant.problems().iter().filter(|problem| variant.step(problem.step.as_str()).is_none());
        suite.add_test_cases(unseen.map(|problem| {
            let mut case = TestCase::new(format!("{}: {}", variant.short_name(), problem.step), failure(&[problem]));
            case.set_classname(variant.id.as_str());
            case
        }));
        suite.add_test_cases(of_whole(variant, interrupted));
    }
    suite
}

/// The case that stands for a whole variant, where its steps do not say how it ended.
fn of_whole(variant: &Variant, interrupted: bool) -> Option<TestCase> {
    let status = match &variant.outcome {
        Some(Outcome::Error { failure }) => error(failure),
        Some(Outcome::Skipped { reason }) => skipped(reason),
        Some(Outcome::Interrupted) => skipped("interrupted"),
        None if interrupted => skipped("not reached: the run was interrupted"),
        None => problem_status(NonSuccessKind::Error, "not-run", "not reached: the run failed before"),
        // A variant without steps must still be seen.
        Some(Outcome::AsExpected) if variant.steps.is_empty() => TestCaseStatus::success(),
        Some(Outcome::AsExpected | Outcome::NotAsExpected { .. }) => return None,
    };
    let mut case = TestCase::new(variant.short_name(), status);
    case.set_classname(variant.id.as_str()).set_time(Duration::from_millis(variant.took_ms));
    Some(case)
}

fn of_step(variant: &Variant, step: &StepEnded) -> TestCase {
    let problems: Vec<&Problem> = variant.problems().iter().filter(|problem| problem.step == step.step).collect();
    let status = if !problems.is_empty() {
        failure(&problems)
    } else if step.verdict == Verdict::Blocked {
        skipped("not tried: a step it depends on failed")
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new(format!("{}: {}", variant.short_name(), step.step), status);
    case.set_classname(variant.id.as_str()).set_time(Duration::from_millis(step.took_ms));
    let from = step.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let mut text = format!("{}{from}, {}\n", step.kind, step.place);
    if problems.is_empty() && step.verdict == Verdict::Failed {
        text.push_str("failed as the break declares\n");
    }
    if step.verdict == Verdict::Passed && step.attempts > 1 && step.course.held.is_none() {
        let _ = writeln!(text, "passed at try {}: the {} before it did not", step.attempts, step.attempts - 1);
    }
    for matched in &step.matchers {
        let word = if matched.held { "held" } else { "did not hold" };
        let _ = writeln!(text, "{} {word}: expected {}, saw {}", matched.matcher, matched.expected, matched.seen);
    }
    if let Some(finding) = &step.course.finding {
        let _ = writeln!(text, "finding: {}: {} Instead: {}", finding.advisory, finding.means, finding.instead);
    }
    if let Some(figure) = &step.course.figure {
        let _ = writeln!(text, "figure: {}: {figure}", figure.name);
    }
    for (label, line) in evidence::lines(step) {
        let _ = writeln!(text, "{label}: {line}");
    }
    case.set_system_out(text);
    case
}

fn failure(problems: &[&Problem]) -> TestCaseStatus {
    let all = problems
        .iter()
        .map(|p| format!("{}\nexpected: {}\nseen: {}\nat {}", p.sentence, p.expected, p.seen, p.place))
        .collect::<Vec<_>>()
        .join("\n\n");
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("expectation").set_message(problems[0].sentence.as_str()).set_description(all);
    status
}

fn error(failure: &Failure) -> TestCaseStatus {
    let mut text = failure.what.clone();
    if let Some(fix) = &failure.fix {
        let _ = write!(text, "\nfix: {fix}");
    }
    for line in &failure.evidence {
        let _ = write!(text, "\n{line}");
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("harness").set_message(failure.what.as_str()).set_description(text);
    status
}

fn problem_status(kind: NonSuccessKind, ty: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(message);
    status
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}
