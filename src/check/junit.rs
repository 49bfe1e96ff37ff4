//! The results of a check as JUnit XML, so that a CI service can show them.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::ask::Checked;
use super::rows::{Cell, Row, State};
use super::show;

/// Returns the results as JUnit XML. Each row becomes two test cases: one for the answer outside the cluster and,
/// unless `outside_only`, one for the answer inside. A question that was not asked is a skipped case with its reason.
/// If the user requested questions inside the cluster but none was asked, one case fails, because the command then also
/// exits with 1.
pub fn junit(checked: &Checked, outside_only: bool) -> Result<String, String> {
    // Each text is redacted before it becomes XML. XML escapes some characters, so the redactor would not recognise a
    // secret afterwards.
    let redactor = show::redactor(checked);
    let clean = |text: &str| redactor.text(text);
    let mut suite = TestSuite::new("parallax check");
    for row in &checked.rows {
        let sides = [("inside", &row.inside), ("outside", &row.outside)];
        let wanted = sides.into_iter().filter(|(side, _)| !(outside_only && *side == "inside"));
        suite.add_test_cases(wanted.map(|(side, cell)| case(row, side, cell, &clean)));
    }
    if let Some(why) = checked.no_inside.as_ref().filter(|_| !outside_only) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("unreachable").set_message(clean(&format!("nothing was asked inside: {why}")));
        suite.add_test_case(named("inside", "pod", status));
    }
    for remains in &checked.remains {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("remains").set_message(clean(remains));
        suite.add_test_case(named("clean-up", "removed", status));
    }
    let mut report = Report::new("parallax check");
    report.add_test_suite(suite);
    report.to_string().map_err(|error| format!("failed to write JUnit XML: {error}"))
}

fn case(row: &Row, side: &str, cell: &Cell, clean: &impl Fn(&str) -> String) -> TestCase {
    let text = clean(&cell.text);
    let status = match cell.state {
        State::Good | State::Note => TestCaseStatus::success(),
        State::NotAsked => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&text);
            status
        }
        State::Bad => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let page = cell.section.map(|it| format!("\nSee {}#{it}", show::PAGE)).unwrap_or_default();
            let why = clean(cell.why.as_deref().unwrap_or(&cell.text));
            status.set_type("expectation").set_message(&text).set_description(format!("{why}{page}"));
            status
        }
    };
    let mut case = named(side, row.name, status);
    if cell.state == State::Note || cell.state == State::Good {
        case.set_system_out(&text);
    }
    case
}

/// Creates a test case. The side (`inside` or `outside`) is the class of the test case, because CI services group test
/// cases by class.
fn named(side: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("check.{side}"));
    case
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Secret;

    use super::*;

    #[test]
    fn each_side_is_a_case_and_what_was_not_asked_is_skipped() {
        let good = Cell::new(State::Good, "10.43.0.7");
        let bad = Cell {
            state: State::Bad,
            text: "dns: no-such-name".to_owned(),
            why: Some("the name is unknown, says hunter2-hunter2".to_owned()),
            section: Some("trust"),
        };
        let row = |name, inside: &Cell, outside: &Cell| Row {
            name,
            inside: inside.clone(),
            outside: outside.clone(),
            differs: false,
        };
        let checked = Checked {
            rows: vec![row("name", &bad, &good), row("cors", &Cell::not_asked("no bucket"), &good)],
            secrets: vec![Secret::new("hunter2-hunter2")],
            remains: vec!["pod parallax-check-1 in namespace foo".to_owned()],
            ..Checked::default()
        };
        insta::assert_snapshot!(junit(&checked, false).expect("XML"));
        let outside = Checked { no_inside: Some("no cluster".to_owned()), remains: vec![], ..checked };
        let count = |only, what: &str| junit(&outside, only).expect("XML").matches(what).count();
        assert_eq!((count(false, "<testcase"), count(false, "<failure")), (5, 2), "no pod is a failure");
        assert_eq!((count(true, "<testcase"), count(true, "<failure")), (2, 0), "unless nobody wanted one");
    }
}
