//! Judges a whole variant: compares what the scenario declares with what was seen.

use std::collections::BTreeMap;

use parallax_vocab::event::{BLOCKED, FAILURE, Matched, Problem, Verdict};
use parallax_vocab::{Cause, StepId};

use super::cause::{describe, matches};
use parallax_language::scenario::model::{CauseSpec, Step, placed};

/// The result of one step, for the comparison with what the scenario declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepResult {
    /// The id of the step.
    pub step: String,
    /// The verdict on the step: passed, failed or blocked.
    pub verdict: Verdict,
    /// The cause of the step's failure. It is `None` if the step did not fail.
    pub cause: Option<Cause>,
    /// The matcher that compared a value and did not hold. `None` if all matchers held, or if there was no answer to
    /// compare.
    pub missed: Option<Matched>,
    /// The place of the step in the scenario file, as `file:line`.
    pub place: String,
    /// The explanation of the cause for people: one sentence, which also says how to repair the problem.
    pub sentence: String,
}

/// Returns all differences between what is declared and what was observed, in the order of the flow. `fails` maps the
/// steps that must fail to their causes, and `blocks` lists the steps that must be blocked. For a baseline, both are
/// empty.
pub fn problems<'a>(
    flow: &[Step],
    fails: impl IntoIterator<Item = (&'a String, &'a CauseSpec)>,
    blocks: &[String],
    results: &[StepResult],
) -> Vec<Problem> {
    let fails: BTreeMap<&String, &CauseSpec> = fails.into_iter().collect();
    let results: BTreeMap<&str, &StepResult> = results.iter().map(|it| (it.step.as_str(), it)).collect();
    let mut problems = Vec::new();
    // A `repeat` step has no verdict of its own. The steps inside it have verdicts, which come from the last round. So
    // only the `repeat` step itself is left out.
    for step in placed(flow).into_iter().map(|it| it.step).filter(|it| it.repeat().is_none()) {
        let declared = fails.get(&step.id);
        let Some(result) = results.get(step.id.as_str()) else {
            problems.push(without_result(&step.id, declared.copied()));
            continue;
        };
        let is_break = !fails.is_empty();
        let expected = match declared {
            Some(spec) => format!("{FAILURE} {}", describe(spec)),
            None if blocks.contains(&step.id) => BLOCKED.to_owned(),
            None => result.missed.as_ref().map_or("passed".to_owned(), |it| format!("{} {}", it.matcher, it.expected)),
        };
        let missed = result.missed.as_ref().filter(|_| declared.is_none());
        let seen = match (&result.verdict, &result.cause, missed) {
            (Verdict::Failed, _, Some(missed)) => format!("{} {}", missed.matcher, missed.seen),
            (Verdict::Failed, Some(cause), None) => format!("{FAILURE} {cause}"),
            (Verdict::Failed, None, None) => "failure without a cause".to_owned(),
            (Verdict::Blocked, ..) => BLOCKED.to_owned(),
            (Verdict::Passed, ..) => "passed".to_owned(),
        };
        let id = &step.id;
        let sentence = match (declared, result.verdict) {
            (Some(spec), Verdict::Failed) if result.cause.as_ref().is_some_and(|cause| matches(spec, cause)) => {
                continue;
            }
            (Some(_), Verdict::Failed) => {
                format!("`{id}` failed, but with another cause than the break declares: {}", result.sentence)
            }
            (Some(_), Verdict::Passed) => {
                format!(
                    "`{id}` was declared to fail, but it passed: the change does not break it, or the expectation cannot see that it does"
                )
            }
            (Some(_), Verdict::Blocked) => {
                format!("`{id}` was declared to fail, but it was not reached: a step that it needs failed first")
            }
            (None, Verdict::Blocked) if blocks.contains(id) => continue,
            (None, _) if blocks.contains(id) => format!("`{id}` was declared to be blocked, but it ran"),
            (None, Verdict::Passed) => continue,
            (None, Verdict::Failed) if is_break => {
                format!("`{id}` failed too, and the break does not declare it: {}", result.sentence)
            }
            (None, Verdict::Failed) => result.sentence.clone(),
            (None, Verdict::Blocked) => format!("`{id}` was not reached: a step that it needs failed"),
        };
        problems.push(Problem { step: StepId::new(id.clone()), place: result.place.clone(), sentence, expected, seen });
    }
    problems
}

/// Returns the problem for a step that neither ran nor was blocked. Such a step is a problem, because nobody knows
/// whether it behaves as the scenario declares.
fn without_result(id: &str, declared: Option<&CauseSpec>) -> Problem {
    let expected = declared.map_or("a verdict".to_owned(), |spec| format!("{FAILURE} {}", describe(spec)));
    let sentence = format!("`{id}` has no result: the flow ended before it, so nothing is known of it");
    Problem { step: StepId::new(id), place: String::new(), sentence, expected, seen: "no result".to_owned() }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::DnsFault;

    use super::*;

    fn flow(ids: &[&str]) -> Vec<Step> {
        let step =
            |id: &&str| serde_json::from_value(serde_json::json!({"id": id, "dns": {"name": "x"}})).expect("step");
        ids.iter().map(step).collect()
    }

    fn result(step: &str, verdict: Verdict, cause: Option<Cause>) -> StepResult {
        let (step, place, sentence) = (step.to_owned(), "f:1".to_owned(), "why".to_owned());
        StepResult { step, verdict, cause, missed: None, place, sentence }
    }

    #[test]
    fn every_way_in_which_a_break_can_go_wrong_is_told_apart() {
        let cause = Cause::Dns { fault: DnsFault::NoSuchName, detail: String::new() };
        let other = Cause::Dns { fault: DnsFault::ServerFailure, detail: String::new() };
        let spec: CauseSpec = serde_json::from_str(r#"{"dns":"no-such-name"}"#).expect("spec");
        let declared = [("a".to_owned(), spec)];
        let flow = flow(&["a", "b"]);
        let blocks = ["b".to_owned()];
        let cases = [
            (Verdict::Failed, Some(cause.clone()), Verdict::Blocked, vec![]),
            (Verdict::Failed, Some(other), Verdict::Blocked, vec!["another cause"]),
            (Verdict::Passed, None, Verdict::Blocked, vec!["was declared to fail, but it passed"]),
            (Verdict::Blocked, None, Verdict::Blocked, vec!["was declared to fail, but it was not reached"]),
            (Verdict::Failed, Some(cause.clone()), Verdict::Passed, vec!["was declared to be blocked, but it ran"]),
            (Verdict::Failed, Some(cause.clone()), Verdict::Failed, vec!["was declared to be blocked, but it ran"]),
        ];
        for (a, a_cause, b, expected) in cases {
            let results = [result("a", a, a_cause), result("b", b, None)];
            let found = problems(&flow, declared.iter().map(|(id, spec)| (id, spec)), &blocks, &results);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (problem, words) in found.iter().zip(expected) {
                assert!(problem.sentence.contains(words), "{problem:?}");
            }
        }
        let results = [result("a", Verdict::Failed, Some(cause.clone())), result("b", Verdict::Failed, Some(cause))];
        let found = problems(&flow, declared.iter().map(|(id, spec)| (id, spec)), &[], &results);
        assert!(found[0].sentence.contains("failed too"), "{found:?}");
        assert_eq!(problems(&flow, [], &[], &results).len(), 2);
    }

    #[test]
    fn a_step_without_a_result_is_a_problem_whatever_was_declared() {
        let spec: CauseSpec = serde_json::from_str(r#"{"dns":"no-such-name"}"#).expect("spec");
        let declared = "a".to_owned();
        for fails in [vec![], vec![(&declared, &spec)]] {
            let found = problems(&flow(&["a"]), fails, &[], &[]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].sentence.contains("no result"), "{found:?}");
        }
    }

    #[test]
    fn a_repeat_needs_no_result_and_its_steps_do() {
        let repeat = r#"{ "id": "rounds", "repeat": { "times": 2, "flow": [{ "id": "a", "dns": { "name": "x" } }] } }"#;
        let flow: Vec<Step> = vec![serde_json::from_str(repeat).expect("step")];
        assert!(problems(&flow, [], &[], &[result("a", Verdict::Passed, None)]).is_empty());
        assert_eq!(problems(&flow, [], &[], &[]).len(), 1);
    }

    #[test]
    fn a_matcher_that_did_not_hold_says_what_was_declared_and_what_was_seen() {
        let cause = Cause::Status { status: 200, s3: None, detail: String::new() };
        let missed = Matched::new("status", false, "201", "200");
        let failed = StepResult { missed: Some(missed), ..result("a", Verdict::Failed, Some(cause.clone())) };
        let found = problems(&flow(&["a"]), [], &[], std::slice::from_ref(&failed));
        assert_eq!((found[0].expected.as_str(), found[0].seen.as_str()), ("status 201", "status 200"));
        // If a break declares that the step fails, the problem shows the observed cause and not the matcher.
        let spec: CauseSpec = serde_json::from_str(r#"{"dns":"no-such-name"}"#).expect("spec");
        let found = problems(&flow(&["a"]), [(&"a".to_owned(), &spec)], &[], &[failed]);
        assert_eq!(found[0].seen, format!("failure with {cause}"));
    }
}
