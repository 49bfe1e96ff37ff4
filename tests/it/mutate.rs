//! Mutation tests of the judge. The recorded answers of the catalogue must detect each fault that a test inserts into
//! the judge on purpose.
//!
//! After a change of a scenario or of the record's format, `cargo xtask mutate --take RUN` copies the answers of a run
//! into `tests/answers.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;

use parallax_judge::{Mutant, Recorded};
use parallax_language::fixture::Library;
use parallax_language::scenario::{Loaded, Variant};
use parallax_vocab::event::{EventKind, StepEnded};

/// The path of the file of recorded answers.
const ANSWERS: &str = "tests/answers.jsonl";
const RECORD_AGAIN: &str = "run the scenario and record its answers again: `cargo xtask mutate --take target/e2e/RUN`";

fn scenarios() -> Vec<Loaded> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (library, errors) = Library::load(root);
    assert_eq!(errors, []);
    let (loaded, errors) = parallax_language::scenario::load(&library, root, &[]);
    assert_eq!(errors, []);
    loaded
}

fn recorded(scenarios: &[Loaded]) -> Vec<(&Variant, Recorded<'_>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(ANSWERS);
    let mut steps: BTreeMap<String, Vec<StepEnded>> = BTreeMap::new();
    for event in parallax_record::read(&path).unwrap_or_else(|error| panic!("{ANSWERS}: {error}; {RECORD_AGAIN}")) {
        if let EventKind::StepEnded(step) = event.event {
            steps.entry(step.variant.to_string()).or_default().push(*step);
        }
    }
    assert!(!steps.is_empty(), "{ANSWERS} has no answers; {RECORD_AGAIN}");
    let all: Vec<&Variant> = scenarios.iter().flat_map(|it| &it.variants).collect();
    let read = |(id, steps): (String, Vec<StepEnded>)| {
        let variant = all.iter().find(|it| it.id.as_str() == id);
        let variant = *variant.unwrap_or_else(|| panic!("{ANSWERS}: {id} no longer exists; {RECORD_AGAIN}"));
        let recorded = Recorded::new(variant, steps);
        (variant, recorded.unwrap_or_else(|why| panic!("{ANSWERS}: {why}; {RECORD_AGAIN}")))
    };
    steps.into_iter().map(read).collect()
}

/// Tests that the judge gives each recorded answer the same verdict as in the run. If this holds, a verdict can be
/// reproduced from the record.
#[test]
fn recorded_answers_are_judged_as_they_were() {
    let scenarios = scenarios();
    for (variant, recorded) in recorded(&scenarios) {
        assert_eq!(recorded.changed(None), Vec::<String>::new(), "{}", variant.id);
        assert_eq!(recorded.problems(None), [], "{}; {RECORD_AGAIN}", variant.id);
    }
}

#[test]
fn every_fault_in_the_judge_is_detected() {
    let scenarios = scenarios();
    let recorded = recorded(&scenarios);
    let mut survivors = Vec::new();
    for mutant in Mutant::all() {
        let detected = |(variant, recorded): &(&Variant, Recorded<'_>)| {
            (!recorded.problems(Some(mutant)).is_empty()).then(|| variant.id.to_string())
        };
        let by: Vec<String> = recorded.iter().filter_map(detected).collect();
        match by.first() {
            Some(_) => println!("{mutant}: detected by {}", by.join(", ")),
            None => match recorded.iter().find(|(_, recorded)| recorded.loses_proof(mutant)) {
                Some((variant, _)) => println!("{mutant}: detected by an altered answer of {}", variant.id),
                None => survivors.push(mutant.to_string()),
            },
        }
    }
    for it in &survivors {
        println!("SURVIVES: {it}");
    }
    assert_eq!(survivors, Vec::<String>::new(), "no recorded answer detects these faults in the judge");
}
