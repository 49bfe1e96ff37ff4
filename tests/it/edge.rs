//! Compares `docs/edge.md` with the scenarios and their recorded answers. In this test, an edge is any proxy or load
//! balancer in front of the store. The page has a table with the store's answer to a presigned URL through each edge.
//! This table must be equal to the table in the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use parallax_language::fixture::Library;
use parallax_language::scenario;
use parallax_report::Summary;
use parallax_vocab::event::Event;

const PAGE: &str = "docs/edge.md";
/// Words that `docs/edge.md` writes before a colon and a value. These words are names of parameters and causes, and not
/// names of scenarios.
const PARAMETERS: [&str; 6] = ["connect", "how", "key-file", "reload", "replace", "tls"];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Returns the words in single backticks in the prose of a page. Code blocks are left out.
fn words(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("```").step_by(2).flat_map(|it| it.split('`').skip(1).step_by(2))
}

/// The result of looking up a word of `docs/edge.md`. `None` means that the word is no reference. Otherwise the word
/// refers to a scenario, break or step that exists (`Known`) or not (`Unknown`).
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    None,
    Known,
    Unknown,
}

/// Looks up a word of the form `scenario+break`, `scenario: step` or `scenario+break: step`. `known` has the breaks and
/// the steps of each scenario. A word of such a form counts as a reference even if the name of its scenario is
/// misspelt. A word with a capital letter, or with a character that an id cannot have, is the name of a header or a
/// field and no reference.
fn reference(word: &str, known: &BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>) -> Reference {
    let (variant, step) = word.split_once(": ").map_or((word, None), |(variant, step)| (variant, Some(step)));
    let (name, id) = variant.split_once('+').map_or((variant, None), |(name, id)| (name, Some(id)));
    let name = name.strip_prefix("edge/").unwrap_or(name);
    let is_id = |it: &str| {
        it.starts_with(|c: char| c.is_ascii_lowercase()) && it.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
    };
    let Some((breaks, steps)) = known.get(name) else {
        let refers = (step.is_some() || id.is_some()) && [Some(name), id, step].into_iter().flatten().all(is_id);
        let is_parameter = id.is_none() && PARAMETERS.contains(&name);
        return if refers && !is_parameter { Reference::Unknown } else { Reference::None };
    };
    let holds = id.is_none_or(|id| breaks.contains(id)) && step.is_none_or(|step| steps.contains(step));
    if holds { Reference::Known } else { Reference::Unknown }
}

#[test]
fn the_page_refers_to_existing_breaks_and_steps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (all, errors) = scenario::load(&Library::shipped(), root, &[root.join("scenarios/edge")]);
    assert!(errors.is_empty(), "{errors:?}");
    let known: BTreeMap<String, _> = all
        .iter()
        .map(|it| {
            let steps = it.scenario.steps().iter().map(|it| it.step.id.clone()).collect();
            let breaks = it.scenario.breaks.keys().cloned().collect();
            (it.path.trim_start_matches("edge/").to_owned(), (breaks, steps))
        })
        .collect();
    let page = read(PAGE);
    let mut referred = BTreeSet::new();
    for word in words(&page) {
        match reference(word, &known) {
            Reference::Unknown => panic!("{PAGE}: there is no `{word}`"),
            Reference::Known => {
                referred.insert(word.trim_start_matches("edge/").split(['+', ':']).next().unwrap_or_default());
            }
            Reference::None => {}
        }
    }
    for name in known.keys() {
        assert!(referred.contains(name.as_str()), "the page proves nothing by `{name}`");
    }
}

#[test]
fn a_misspelt_reference_is_found() {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let known = BTreeMap::from([("renewal".to_owned(), (set(&["late"]), set(&["new-store"])))]);
    for (word, expected) in [
        ("renewal: new-store", Reference::Known),
        ("renewal+late", Reference::Known),
        ("edge/renewal", Reference::Known),
        ("renewal+later", Reference::Unknown),
        ("renewal: new-stores", Reference::Unknown),
        ("renewel: new-store", Reference::Unknown),
        ("renewel+late", Reference::Unknown),
        ("ipMode: VIP", Reference::None),
        ("reload: by-content", Reference::None),
        ("connect: reset", Reference::None),
        ("kubectl", Reference::None),
    ] {
        assert_eq!(reference(word, &known), expected, "{word}");
    }
}

#[test]
fn the_table_of_edges_is_that_of_the_recorded_answers() {
    let recorded = read("tests/answers.jsonl");
    let events: Vec<Event> = recorded
        .lines()
        .filter(|it| it.contains("\"variant\":\"edge/presigned"))
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let summary = Summary::from_events(&events);
    let tables = summary.tables();
    let [table] = &tables[..] else { panic!("{} tables", tables.len()) };
    // The table has a cell for each edge and each client, and no cell is empty.
    assert!(table.rows.len() == 6 && table.rows.iter().flat_map(|it| &it.cells).all(|it| !it.is_empty()), "{table:?}");
    let text = table.markdown();
    assert!(
        read(PAGE).contains(&text),
        "{PAGE} has another table than `parallax report --tables tests/answers.jsonl`:\n{text}"
    );
}
