//! Judges a variant whose environment did not become ready, or which declares that its environment does not become
//! ready.

use indexmap::IndexMap;
use parallax_vocab::StepId;
use parallax_vocab::event::{FAILURE, Problem};

use super::cause::{describe, matches};
use super::variant::StepResult;
use parallax_language::scenario::meaning::is_readiness;
use parallax_language::scenario::model::CauseSpec;

/// Returns the differences between the readiness checks that the variant declares to fail (`fails`) and the checks that
/// failed (`results`). The flow did not run, so its steps are not considered. `place` returns the place of a readiness
/// check in the scenario file.
pub fn unready(
    fails: &IndexMap<String, CauseSpec>,
    results: &[StepResult],
    place: impl Fn(&str) -> String,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for result in results {
        let (what, declared) = (&result.step, fails.get(&result.step));
        let as_declared = |spec: &&CauseSpec| result.cause.as_ref().is_some_and(|cause| matches(spec, cause));
        let sentence = match declared {
            Some(_) if declared.as_ref().is_some_and(as_declared) => continue,
            Some(_) => format!("`{what}` failed, but with another cause than the break declares: {}", result.sentence),
            None if fails.is_empty() => result.sentence.clone(),
            None => format!("`{what}` failed, and the break does not declare it: {}", result.sentence),
        };
        problems.push(Problem {
            step: StepId::new(what.clone()),
            place: result.place.clone(),
            sentence,
            expected: declared.map_or("ready".to_owned(), |spec| format!("{FAILURE} {}", describe(spec))),
            seen: result.cause.as_ref().map_or("not ready".to_owned(), |cause| format!("{FAILURE} {cause}")),
        });
    }
    if !problems.is_empty() {
        // A failure that is not declared may have stopped the run before the declared readiness check. Therefore the
        // declared check is not reported as a problem.
        return problems;
    }
    let came = fails.iter().filter(|(what, _)| is_readiness(what));
    for (what, spec) in came.filter(|(what, _)| results.iter().all(|result| result.step != **what)) {
        problems.push(Problem {
            step: StepId::new(what.clone()),
            place: place(what),
            sentence: format!("`{what}` was declared to fail, but became ready: the change does not break it"),
            expected: format!("{FAILURE} {}", describe(spec)),
            seen: "ready".to_owned(),
        });
    }
    problems
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Cause;
    use parallax_vocab::event::Verdict;

    use super::*;

    fn failed(what: &str, detail: &str) -> StepResult {
        let cause = Cause::Resource { resource: "Deployment store".to_owned(), detail: detail.to_owned() };
        let (place, sentence) = ("f:1".to_owned(), "why".to_owned());
        StepResult {
            step: what.to_owned(),
            verdict: Verdict::Failed,
            cause: Some(cause),
            missed: None,
            place,
            sentence,
        }
    }

    #[test]
    fn every_way_in_which_readiness_can_differ_is_told_apart() {
        let declared: IndexMap<String, CauseSpec> =
            serde_json::from_str(r#"{"store.deployment":{"resource":"no such key"}}"#).expect("fails");
        let as_declared = failed("store.deployment", "ended: no such key");
        let cases = [
            (&declared, vec![as_declared.clone()], vec![]),
            (&declared, vec![failed("store.deployment", "other words")], vec!["another cause"]),
            (&declared, vec![failed("store.ready", "x")], vec!["does not declare it"]),
            (&declared, vec![as_declared, failed("names.ready", "x")], vec!["does not declare it"]),
            (&declared, vec![], vec!["was declared to fail, but became ready"]),
            (&IndexMap::new(), vec![failed("store.ready", "x")], vec!["why"]),
            (&IndexMap::new(), vec![], vec![]),
        ];
        for (fails, results, expected) in cases {
            let found = unready(fails, &results, |_| "f:2".to_owned());
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (problem, words) in found.iter().zip(expected) {
                assert!(problem.sentence.contains(words), "{problem:?}");
            }
        }
    }
}
