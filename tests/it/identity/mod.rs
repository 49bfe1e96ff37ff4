//! Tests of the breaks of `identity/irsa` with the steps that a real run recorded. The causes of a break must differ
//! from the causes of every other break, and each break must be explained. A further test checks that
//! `docs/identity.md`, the page about setting up web identity by hand, refers to existing breaks and steps.
//!
//! `steps.jsonl` contains the failed and blocked steps of one run, without details that differ between runs. The
//! following command creates the file again from a run's folder: `PARALLAX_RECORD=target/e2e/RUN cargo test --test it
//! identity`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use parallax_judge::StepResult;

use parallax_language::fixture::Library;
use parallax_language::scenario::{self, Loaded, Variant};
use parallax_vocab::event::{EventKind, StepEnded, Verdict};
use serde_json::Value;

const SCENARIO: &str = "identity/irsa";
const STEPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/identity/steps.jsonl");
/// The length of a key id, which is a SHA-256 hash in base64url without padding. Key ids differ between runs.
const KEY_ID_LENGTH: usize = 43;

/// The recorded steps that did not pass, by the name of the break.
type Recorded = BTreeMap<String, Vec<StepEnded>>;

fn loaded() -> Loaded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("scenarios").join(SCENARIO);
    let (mut all, errors) = scenario::load(&Library::shipped(), root, &[path]);
    assert!(errors.is_empty() && all.len() == 1, "{errors:?}");
    all.remove(0)
}

fn recorded() -> Recorded {
    // The recorded steps are read from the file only once for all tests of this module.
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        if let Ok(run) = std::env::var("PARALLAX_RECORD") {
            write_steps(Path::new(&run));
        }
        std::fs::read_to_string(STEPS).unwrap()
    });
    let mut recorded = Recorded::new();
    for line in TEXT.lines() {
        let step: StepEnded = serde_json::from_str(line).unwrap();
        let (_, name) = step.variant.as_str().split_once('+').unwrap();
        recorded.entry(name.to_owned()).or_default().push(step);
    }
    recorded
}

/// Reads a run, and writes the steps that did not pass to `steps.jsonl`, in the order of the scenario's breaks.
fn write_steps(run: &Path) {
    let breaks = breaks(&loaded()).into_iter().map(|(name, _)| format!("{SCENARIO}+{name}")).collect::<Vec<_>>();
    let mut lines: Vec<(usize, String)> = Vec::new();
    for event in parallax_record::read(run).unwrap() {
        let EventKind::StepEnded(step) = event.event else { continue };
        let Some(number) = breaks.iter().position(|it| *it == step.variant.as_str()) else { continue };
        if step.verdict != Verdict::Passed {
            lines.push((number, without_details(*step)));
        }
    }
    lines.sort_by_key(|(number, _)| *number);
    let text = lines.into_iter().fold(String::new(), |text, (_, line)| text + &line + "\n");
    std::fs::write(STEPS, text).unwrap();
}

/// Returns a step as one line, without certificates, times, ids and addresses.
fn without_details(mut step: StepEnded) -> String {
    (step.took_ms, step.deadline_ms, step.attempts, step.witness) = (0, 0, 1, None);
    step.matchers.clear();
    step.course.notes.clear();
    step.course.held = None;
    step.place.clear();
    if let Some(question) = &mut step.question {
        question.view = parallax_vocab::question::View::default();
        question.deadline_ms = 0;
    }
    if let Some(answer) = &mut step.answer {
        answer.evidence = parallax_vocab::Evidence::default();
        if let Ok(parallax_vocab::Reply::Http(http)) = &mut answer.outcome {
            http.headers.clear();
        }
    }
    let mut value = serde_json::to_value(step).unwrap();
    without_ids(&mut value);
    value.to_string()
}

/// Replaces values that differ between runs, and removes fields that contain such values.
fn without_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["request_id", "exp", "iat", "nbf", "kubernetes.io"].contains(&name.as_str()));
            fields.values_mut().for_each(without_ids);
        }
        Value::Array(items) => items.iter_mut().for_each(without_ids),
        Value::String(text) => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let ids = text.split(|c| !is_part(c)).filter(|it| it.len() == KEY_ID_LENGTH).map(str::to_owned);
            for id in ids.collect::<Vec<_>>() {
                *text = text.replace(&id, "KEY-ID");
            }
        }
        _ => {}
    }
}

fn breaks(loaded: &Loaded) -> Vec<(&str, &Variant)> {
    loaded
        .variants
        .iter()
        .filter_map(|it| Some((it.break_id.as_deref()?, it)))
        .filter(|(_, it)| !it.fails.is_empty())
        .collect()
}

/// Returns the results of a break's steps in a run, in the form that the judge of variants needs. A step that was not
/// recorded has passed.
fn results(variant: &Variant, seen: &[StepEnded]) -> Vec<StepResult> {
    let steps = variant.scenario.steps();
    let results = steps.iter().map(|it| {
        let ended = seen.iter().find(|ended| ended.step.as_str() == it.step.id);
        StepResult {
            step: it.step.id.clone(),
            verdict: ended.map_or(Verdict::Passed, |ended| ended.verdict),
            cause: ended.and_then(|ended| ended.cause.clone()),
            missed: None,
            place: String::new(),
            sentence: String::new(),
        }
    });
    results.collect()
}

#[test]
fn no_break_passes_as_another() {
    let (loaded, recorded) = (loaded(), recorded());
    let breaks = breaks(&loaded);
    let names = |of: Vec<&str>| of.into_iter().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let known = names(recorded.keys().map(String::as_str).collect());
    let written = names(breaks.iter().map(|(name, _)| *name).collect());
    assert_eq!(known, written, "the record has other breaks; create it again as described in this file");
    let mut swapped = 0;
    for (name, seen_in) in &breaks {
        let results = results(seen_in, &recorded[*name]);
        for (other, declared) in &breaks {
            let problems =
                parallax_judge::problems(&seen_in.scenario.flow, &declared.fails, &declared.blocks, &results);
            if name == other {
                assert!(problems.is_empty(), "{name} is not as it declares: {problems:#?}");
            } else {
                assert!(!problems.is_empty(), "the results of {name} would pass as {other}");
                swapped += 1;
            }
        }
    }
    assert_eq!(swapped, breaks.len() * (breaks.len() - 1));
}

#[test]
fn each_break_is_explained() {
    let (loaded, recorded) = (loaded(), recorded());
    let mut explanations = String::new();
    for (name, variant) in breaks(&loaded) {
        writeln!(explanations, "{name}: {}", variant.summary).unwrap();
        for step in recorded[name].iter().filter(|it| it.cause.is_some()) {
            writeln!(explanations, "  {}", parallax_explain::of_step(step)).unwrap();
        }
    }
    insta::assert_snapshot!(explanations);
}

/// Every break and every step that `docs/identity.md` names exists. The page names them in the forms `scenario+break`
/// and `scenario: step`.
#[test]
fn the_page_refers_to_existing_breaks_and_steps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (all, errors) = scenario::load(&Library::shipped(), root, &[root.join("scenarios")]);
    assert!(errors.is_empty(), "{errors:?}");
    let of = |name: &str| all.iter().find(|it| it.path == name || it.path == format!("identity/{name}"));
    let page = std::fs::read_to_string(root.join("docs/identity.md")).unwrap();
    let mut proofs = 0;
    // Only words in single backticks outside code blocks are checked.
    let prose = page.split("```").step_by(2);
    for word in prose.flat_map(|it| it.split('`').skip(1).step_by(2)) {
        let (name, known) = if let Some((name, id)) = word.split_once('+') {
            (name, of(name).map(|it| it.scenario.breaks.contains_key(id)))
        } else if let Some((name, id)) = word.split_once(": ") {
            (name, of(name).map(|it| it.scenario.step(id).is_some()))
        } else {
            continue;
        };
        if name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains(char::is_whitespace) {
            // The page also writes parameters as `name: value`. Such a word is no reference to a scenario.
            let is_parameter = word.contains(": ") && known.is_none();
            assert!(is_parameter || known == Some(true), "docs/identity.md: there is no `{word}`");
            proofs += usize::from(!is_parameter);
        }
    }
    assert!(proofs >= 15, "the page refers to only {proofs} breaks and steps");
}
