//! The JUnit report. Each scenario is a suite and each variant is a case, so that the report has the same counts as the
//! summary ([`Summary::totals`]). The output of a case shows what each step of the variant observed.
//!
//! A break that failed as declared is a success. The type of a failure shows who is responsible: `expectation` is the
//! system under test, `harness` is the harness, the engine or the machine. If the run itself failed and no variant
//! failed, the suite `environment` has one case for the failure of the run.
//!
//! CI services use the report in different ways:
//! - GitLab (`lib/gitlab/ci/parsers/test/junit.rb`) groups cases by `classname`. It treats cases with the same
//!   `classname` and `name` as one case. It shows `file` as a link, and shows `system-out` of failed cases. The first
//!   `[[ATTACHMENT|path]]` in `system-out` becomes a link too.
//! - Jenkins (plugin junit) takes the part of `classname` before the last dot as the package, so each area becomes a
//!   package.
//! - On GitHub, actions that read JUnit annotate `file` and `line`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use parallax_vocab::event::{Failure, Outcome, Problem, StepEnded, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::page::steps::{Named, anchor};
use super::summary::{Counted, Scenario, Summary, Variant};
use super::{ReportError, evidence, write_whole};

/// Renders the JUnit document.
pub fn render(summary: &Summary) -> Result<String, ReportError> {
    let mut report = Report::new("parallax");
    report.set_time(Duration::from_millis(summary.phases.total_ms));
    report.add_test_suite(environment(summary));
    for scenario in &summary.scenarios {
        report.add_test_suite(suite(summary, scenario));
    }
    Ok(report.to_string()?)
}

/// Writes the JUnit document to `path`.
pub fn write(summary: &Summary, path: &Path) -> Result<(), ReportError> {
    let text = render(summary)?;
    write_whole(path, &text)
}

/// Returns the suite for the environment. The output of the suite shows how each set-up step ended. If the run failed
/// and no variant failed, the suite contains one case for this failure, because the totals count it too. Otherwise the
/// suite contains no case.
fn environment(summary: &Summary) -> TestSuite {
    let mut suite = TestSuite::new("environment");
    let mut text = String::new();
    for setup in &summary.setups {
        let detail = match (&setup.error, &setup.detail) {
            (Some(failure), _) => in_full(failure),
            (None, Some(detail)) => detail.clone(),
            (None, None) => "it never ended".to_owned(),
        };
        let _ = writeln!(text, "{} ({}), {}: {detail}", setup.id, setup.title, super::seconds(setup.took_ms));
    }
    if let Some(clean_up) = summary.clean_up.as_ref().filter(|it| !it.remaining.is_empty()) {
        let _ = writeln!(text, "still there: {}", clean_up.remaining.join("; "));
    }
    suite.set_system_out(text);
    suite.add_property(("answers that no store confirms", summary.unconfirmed().to_string().as_str()));
    let versions = summary.run.iter().flat_map(|run| &run.versions).map(ToString::to_string).collect::<Vec<_>>();
    if !versions.is_empty() {
        suite.add_property(("versions", versions.join("; ").as_str()));
    }
    if summary.fails_as_a_whole() {
        let failure = summary.ended.as_ref().and_then(|ended| ended.failure.as_ref());
        let failure = failure.or_else(|| summary.setups.iter().find_map(|setup| setup.error.as_ref()));
        let status = match (failure, &summary.ended) {
            (Some(failure), _) => broken(failure),
            (None, None) => problem_status("killed", "the run did not end in order"),
            (None, Some(_)) if summary.only_skips() => {
                problem_status("skipped", "everything was skipped, so nothing is said about the system under test")
            }
            (None, Some(_)) => problem_status("unproven", &unproven(summary)),
        };
        let mut case = TestCase::new("run", status);
        case.set_classname("environment");
        suite.add_test_case(case);
    }
    suite
}

fn unproven(summary: &Summary) -> String {
    let matchers = summary.unproven().join(", ");
    format!("nothing in the run turned these matchers red: they have not been shown to be able to fail: {matchers}")
}

fn suite(summary: &Summary, scenario: &Scenario) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name.as_str());
    suite.set_time(Duration::from_millis(scenario.variants.iter().map(|variant| variant.took_ms).sum()));
    suite.add_test_cases(scenario.variants.iter().map(|variant| of_variant(summary, scenario, variant)));
    suite
}

/// Returns the scenario's name in the form of a class in a package, for example `presign.presigned-url`. A dot in the
/// name itself is replaced, because a dot separates the package from the class.
fn class(scenario: &str) -> String {
    scenario.replace('.', "_").replace('/', ".")
}

/// Returns the path of the run's HTML page if the page is below the project's folder. Otherwise returns `None`, because
/// a CI service publishes only files of the project.
fn page(summary: &Summary) -> Option<String> {
    let directory = summary.run.as_ref().map(|run| run.directory.trim_end_matches('/'))?;
    let is_below = !directory.starts_with('/') && !directory.split('/').any(|part| part == "..");
    (is_below && !directory.is_empty()).then(|| format!("{directory}/report.html"))
}

/// Returns the JUnit case of a variant. The output of the case shows what each step observed. For a failed case, links
/// to the HTML page come first.
fn of_variant(summary: &Summary, scenario: &Scenario, variant: &Variant) -> TestCase {
    let counted = variant.counts_as(summary.interrupted());
    let mut status = match (counted, &variant.outcome) {
        (Counted::Passed, _) => TestCaseStatus::success(),
        (_, Some(Outcome::NotAsExpected { problems })) => failure(problems),
        (_, Some(Outcome::Error { failure })) => broken(failure),
        (Counted::Failed, _) => problem_status("not-run", "not reached: the run failed before"),
        (Counted::Skipped, Some(Outcome::Skipped { reason } | Outcome::NotBegun { reason })) => skipped(reason),
        (Counted::Skipped, _) => skipped("not reached: the run was interrupted"),
    };
    for failure in &variant.retried {
        let mut before = TestRerun::new(NonSuccessKind::Error);
        before.set_type("harness").set_message(failure.what.as_str()).set_description(in_full(failure));
        status.add_rerun(before);
    }
    let mut case = TestCase::new(variant.short_name(), status);
    case.set_classname(class(&scenario.name)).set_time(Duration::from_millis(variant.took_ms));
    case.add_property(("variant", variant.id.as_str()));
    if let Some(started) = &variant.started {
        case.add_property(("cluster", started.cluster.as_str()));
        case.add_property(("namespace", started.namespace.as_str()));
    }
    if let Some((file, line)) = place(variant) {
        case.extra.insert("file".into(), file.into());
        case.extra.extend(line.map(|line| ("line".into(), line.into())));
    }
    let mut text = String::new();
    if counted == Counted::Failed {
        where_it_is(&mut text, summary, variant);
    }
    for step in &variant.steps {
        of_step(&mut text, variant, step);
    }
    case.set_system_out(text);
    case
}

/// Returns the file and the line to which a variant's case refers. These are the file and the line of the variant's
/// first problem. Without a problem, the result is the scenario's file without a line. `None` if the variant never
/// started.
fn place(variant: &Variant) -> Option<(&str, Option<&str>)> {
    if let Some(problem) = variant.problems().first() {
        let (file, line) = problem.place.rsplit_once(':').unwrap_or((&problem.place, "1"));
        return Some((file, Some(line)));
    }
    variant.started.as_ref().map(|started| (started.file.as_str(), None))
}

/// Adds two things to the output of a case: the path of the HTML page in GitLab's notation, and the permalinks of the
/// steps that are not as declared.
fn where_it_is(text: &mut String, summary: &Summary, variant: &Variant) {
    let Some(page) = page(summary) else { return };
    let _ = writeln!(text, "[[ATTACHMENT|{page}]]");
    let wrong = |named: &Named<'_>| variant.problems().iter().any(|problem| problem.step == named.step.step);
    let links: Vec<String> = Named::of(variant).filter(wrong).map(|named| anchor(variant, &named)).collect();
    for link in if links.is_empty() { vec![variant.id.to_string()] } else { links } {
        let _ = writeln!(text, "{page}#{link}");
    }
}

fn of_step(text: &mut String, variant: &Variant, step: &StepEnded) {
    let declared = variant.problems().iter().all(|problem| problem.step != step.step);
    let how = match step.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed if declared => "failed, as the break declares",
        Verdict::Failed => "failed",
        Verdict::Blocked => "not tried: a step it depends on failed",
    };
    let from = step.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let took = super::seconds(step.took_ms);
    let _ = writeln!(text, "{}: {how} ({}{from}, {}, {took})", step.step, step.kind, step.place);
    if step.tries_before() > 0 {
        let before = step.tries_before();
        let _ = writeln!(text, "  passed at try {}: the {before} before it did not", before + 1);
    }
    for matched in &step.matchers {
        let word = if matched.held { "held" } else { "did not hold" };
        let _ = writeln!(text, "  {} {word}: expected {}, saw {}", matched.matcher, matched.expected, matched.seen);
    }
    if let Some(finding) = &step.course.finding {
        let _ = writeln!(text, "  finding: {}: {} Instead: {}", finding.advisory, finding.means, finding.instead);
    }
    if let Some(figure) = &step.course.figure {
        let _ = writeln!(text, "  figure: {}: {figure}", figure.name);
    }
    for (label, line) in evidence::lines(step) {
        let _ = writeln!(text, "  {label}: {line}");
    }
}

fn failure(problems: &[Problem]) -> TestCaseStatus {
    let all = problems
        .iter()
        .map(|p| format!("{}\nexpected: {}\nseen: {}\nat {}", p.sentence, p.expected, p.seen, p.place))
        .collect::<Vec<_>>()
        .join("\n\n");
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type("expectation")
        .set_message(problems.first().map_or("", |it| it.sentence.as_str()))
        .set_description(all);
    status
}

/// Returns the status for a failure of the harness, the engine or the machine. The status is a JUnit failure and not a
/// JUnit error, because JUnit counts errors separately. With errors, the number of failures would differ from the
/// summary.
fn broken(failure: &Failure) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("harness").set_message(failure.what.as_str()).set_description(in_full(failure));
    status
}

fn in_full(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    if let Some(fix) = &failure.fix {
        let _ = write!(text, "\nfix: {fix}");
    }
    for line in &failure.evidence {
        let _ = write!(text, "\n{line}");
    }
    text
}

fn problem_status(ty: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(ty).set_message(message);
    status
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}
