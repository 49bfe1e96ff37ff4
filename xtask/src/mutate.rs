//! `cargo xtask mutate` checks that the recorded answers of the catalogue detect every fault that is inserted into the
//! judge. A test inserts the faults and judges the answers (`tests/it/mutate.rs`). This task runs that test, and can
//! also copy new answers from records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cargo;
use crate::parts::say;

/// The path of the recorded answers. They are the `step-ended` events of records, one on each line.
const FILE: &str = "tests/answers.jsonl";
/// Fields of a `step-ended` event that the judge does not use. They are removed from the file of answers.
const LEFT_OUT: [&str; 4] = ["question", "witness", "signature", "inside"];
/// Fields of the `course` of a `step-ended` event that the judge does not use. They are removed from the file of
/// answers.
const LEFT_OUT_OF_COURSE: [&str; 4] = ["captured", "told", "moments", "link"];

/// The command-line arguments of `cargo xtask mutate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mutate {
    /// Before the test, copy the answers of these runs into the file of recorded answers (`tests/answers.jsonl`). A run
    /// is given by its folder or by its record. The answers replace existing answers of the same variants.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    take: Vec<PathBuf>,
    /// Copy only the answers of variants whose ids begin with one of these texts.
    #[arg(long, value_name = "ID", num_args = 1.., requires = "take")]
    only: Vec<String>,
}

/// Copies the answers of new runs, and then runs the mutation test. Returns whether every fault was detected.
pub(crate) fn run(args: &Mutate) -> Result<bool> {
    if !args.take.is_empty() {
        take(&args.take, &args.only)?;
    }
    let mut test = cargo::cargo();
    test.args(["test", "--workspace", "--test", "it", "--", "mutate::", "--nocapture", "--test-threads=1"]);
    cargo::succeeds(&mut test)
}

fn take(runs: &[PathBuf], only: &[String]) -> Result<()> {
    let mut all = answers(Path::new(FILE)).unwrap_or_default();
    for run in runs {
        let path = if run.is_dir() { run.join("record.jsonl") } else { run.clone() };
        let mut taken = answers(&path)?;
        taken.retain(|id, _| only.is_empty() || only.iter().any(|it| id.starts_with(it.as_str())));
        say(&format!("{}: {} variants", path.display(), taken.len()));
        all.extend(taken);
    }
    let lines: Vec<String> = all.into_values().flatten().map(|it| it.to_string()).collect();
    std::fs::write(FILE, lines.join("\n") + "\n").with_context(|| format!("failed to write {FILE}"))
}

/// Returns the `step-ended` events of a file, grouped by variant. If the file is a record, only the variants that were
/// as declared are taken.
fn answers(path: &Path) -> Result<BTreeMap<String, Vec<Value>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let events = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>();
    let events = events.with_context(|| format!("{} is not a record", path.display()))?;
    Ok(of_events(&events))
}

fn of_events(events: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let variant = |event: &Value, kind: &str| event["event"][kind]["variant"].as_str().map(str::to_owned);
    let ended: BTreeSet<String> = events.iter().filter_map(|it| variant(it, "variant-ended")).collect();
    let as_declared = |it: &&Value| it["event"]["variant-ended"]["outcome"] == "as-expected";
    let good: BTreeSet<String> =
        events.iter().filter(as_declared).filter_map(|it| variant(it, "variant-ended")).collect();
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        let Some(id) = variant(event, "step-ended").filter(|id| good.contains(id) || ended.is_empty()) else {
            continue;
        };
        let mut step = event["event"]["step-ended"].clone();
        // A readiness condition, such as `store.ready`, is no step of a flow. The mutation test judges only steps, so
        // the condition is left out.
        if step["step"].as_str().is_some_and(|it| it.contains('.')) {
            continue;
        }
        without(&mut step, &LEFT_OUT);
        if let Some(course) = step.get_mut("course") {
            without(course, &LEFT_OUT_OF_COURSE);
        }
        let steps = all.entry(id).or_default();
        // A step within a repeat ends once in each round. Only the last round is kept.
        steps.retain(|it| it["event"]["step-ended"]["step"] != step["step"]);
        steps.push(json!({ "at_ms": 0, "event": { "step-ended": step } }));
    }
    all
}

fn without(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(variant: &str, step: &str) -> Value {
        let ended = json!({ "variant": variant, "step": step, "question": 1, "course": { "told": [], "tally": 2 } });
        json!({ "at_ms": 7, "event": { "step-ended": ended } })
    }

    #[test]
    fn only_judged_fields_of_passed_variants_are_taken() {
        let ended = |variant: &str, outcome: Value| json!({ "at_ms": 9, "event": { "variant-ended": { "variant": variant, "outcome": outcome } } });
        let events = [
            step("a/b", "one"),
            step("a/b+c", "one"),
            step("a/b", "two"),
            step("a/b", "store.ready"),
            ended("a/b", json!("as-expected")),
            ended("a/b+c", json!({ "not-as-expected": {} })),
        ];
        let taken = of_events(&events);
        let ids: Vec<&str> = taken.keys().map(String::as_str).collect();
        assert_eq!(ids, ["a/b"]);
        let one = json!({ "variant": "a/b", "step": "one", "course": { "tally": 2 } });
        assert_eq!(taken["a/b"][0], json!({ "at_ms": 0, "event": { "step-ended": one } }));
        assert_eq!(taken["a/b"].len(), 2);
        // The file of answers has no `variant-ended` events, so all its variants are taken.
        assert_eq!(of_events(&taken["a/b"])["a/b"], taken["a/b"]);
    }
}
