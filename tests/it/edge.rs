//! Holds `docs/edge.md` to the scenarios and to their recorded answers: its table of edges says what a presigned URL was
//! answered through each of them.

use std::collections::BTreeMap;
use std::path::Path;

use parallax_language::fixture::Library;
use parallax_language::scenario;
use parallax_vocab::answer::Reply;
use parallax_vocab::event::{Event, EventKind};

const PAGE: &str = "docs/edge.md";

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The words in single backticks of a page's prose.
fn words(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("```").step_by(2).flat_map(|it| it.split('`').skip(1).step_by(2))
}

/// Checks `scenario+break`, `scenario: step` and `scenario+break: step` in the page.
#[test]
fn the_page_refers_to_existing_breaks_and_steps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (all, errors) = scenario::load(&Library::shipped(), root, &[root.join("scenarios/edge")]);
    assert!(errors.is_empty(), "{errors:?}");
    let page = read(PAGE);
    let mut proofs = 0;
    for word in words(&page) {
        let (variant, step) = word.split_once(": ").map_or((word, None), |(variant, step)| (variant, Some(step)));
        let (name, id) = variant.split_once('+').map_or((variant, None), |(name, id)| (name, Some(id)));
        let Some(known) = all.iter().find(|it| it.path == format!("edge/{name}")) else { continue };
        let steps = known.scenario.steps();
        assert!(id.is_none_or(|id| known.scenario.breaks.contains_key(id)), "{PAGE}: there is no `{word}`");
        assert!(step.is_none_or(|step| steps.iter().any(|it| it.step.id == step)), "{PAGE}: there is no `{word}`");
        proofs += 1;
    }
    assert!(proofs >= 45, "the page refers to only {proofs} breaks and steps");
}

/// What the steps of `edge/presigned` were answered: `200`, or the status and the error code as the page writes them.
fn answered() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in read("tests/answers.jsonl").lines().filter(|it| it.contains("edge/presigned")) {
        let event: Event = serde_json::from_str(line).unwrap();
        let EventKind::StepEnded(it) = event.event else { continue };
        let Some(Ok(Reply::Http(http))) = it.answer.as_ref().map(|it| &it.outcome) else { continue };
        let error = http.s3_error.as_ref().map_or_else(String::new, |error| format!(" `{}`", error.code));
        let name = it.variant.as_str().trim_start_matches("edge/").to_owned();
        all.insert(format!("{name}: {}", it.step), format!("{}{error}", http.status));
    }
    all
}

#[test]
fn the_table_of_edges_says_what_was_answered() {
    let answered = answered();
    let page = read(PAGE);
    let mut proved = Vec::new();
    for row in page.lines().filter(|it| it.starts_with('|') && it.contains("`presigned")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, outside, inside, proof] = cells[..] else { panic!("another number of cells: {row}") };
        let proofs: Vec<&str> = words(proof).collect();
        for (cell, proof) in [outside, inside].into_iter().zip(proofs) {
            assert_eq!(answered.get(proof).map(String::as_str), Some(cell), "{proof} in {row}");
            proved.push(proof.to_owned());
        }
    }
    // Each place was asked through each edge, so the table has no row fewer.
    assert_eq!(proved.len(), 12, "{proved:?}");
}
