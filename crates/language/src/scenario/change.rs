//! Applies a change to the scenario: the change of a break, or of an entry of `variants`. Also finds where the parts of
//! the changed scenario are written in the file.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::check::Places;
use super::diagnostic::{Diagnostic, Source, suggest};
use super::document::{Document, join};

/// The parts of a scenario that the change of a break, or of an entry of `variants`, touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The ids of the changed fixtures.
    pub fixtures: Vec<String>,
    /// The ids of the changed vantages.
    pub vantages: Vec<String>,
    /// The ids of the changed steps.
    pub flow: Vec<String>,
    /// Whether the cluster's traits change.
    pub cluster: bool,
}

impl Touched {
    /// Whether the change touches only steps. If so, the variant can run in the baseline's environment.
    pub fn flow_only(&self) -> bool {
        self.fixtures.is_empty() && self.vantages.is_empty() && !self.cluster
    }
}

/// If this word is the value of an entry in a change, the entry is removed from the scenario.
const REMOVE: &str = "remove";

/// The sections of a scenario that contain changes. A change cannot change these sections.
pub const SECTIONS: [&str; 2] = ["variants", "breaks"];

/// Merges the change at `at` (`/breaks/ID` or `/variants/ID`) into the scenario's value. The result has no `breaks` and
/// no `variants`.
pub fn merge(document: &Document, at: &str) -> Result<(Value, Touched), Vec<Diagnostic>> {
    let value = document.value.clone();
    let mut value = without_changes(value);
    show_nothing(&mut value);
    let id = at.rsplit('/').next().unwrap_or(at);
    let at = join(at, "change");
    let mut merger = Merger { document, errors: Vec::new(), touched: Touched::default() };
    if let Some(Value::Object(change)) = document.value.pointer(&at) {
        for (section, entries) in change {
            merger.section(&mut value, section, entries, &join(&at, section));
        }
    }
    let touched = merger.touched;
    if merger.errors.is_empty() && touched == Touched::default() {
        let error = document.key_error(&at, format!("`{id}` changes nothing"));
        merger.errors.push(error.fix("change a fixture, a vantage or a step by its id, or the cluster"));
    }
    if merger.errors.is_empty() { Ok((value, touched)) } else { Err(merger.errors) }
}

/// Returns the value of a scenario without `variants` and `breaks`. This is the baseline.
pub fn without_changes(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        for section in SECTIONS {
            map.shift_remove(section);
        }
    }
    value
}

/// Removes the key `shows` from the steps of the baseline. A step with this key is the evidence for one cell of a table
/// in the report. After a change, most steps with this key can fail. Therefore a step of a changed scenario is evidence
/// only if the change itself sets `shows`.
fn show_nothing(value: &mut Value) {
    let steps = value.get_mut("flow").and_then(Value::as_array_mut).into_iter().flatten();
    for step in steps {
        let inner = step.pointer_mut(INNER).and_then(Value::as_array_mut).into_iter().flatten();
        for map in inner.filter_map(Value::as_object_mut) {
            map.shift_remove("shows");
        }
        if let Some(map) = step.as_object_mut() {
            map.shift_remove("shows");
        }
    }
}

struct Merger<'a> {
    document: &'a Document,
    errors: Vec<Diagnostic>,
    touched: Touched,
}

impl Merger<'_> {
    fn section(&mut self, value: &mut Value, section: &str, entries: &Value, at: &str) {
        if section == "cluster" {
            let target = &mut value["cluster"];
            let before = if target.is_null() { Value::Object(Map::new()) } else { target.clone() };
            let mut after = before.clone();
            merge_patch(&mut after, entries);
            if after == before {
                self.nothing(at);
            }
            *target = after;
            self.touched.cluster = true;
            return;
        }
        let Value::Object(entries) = entries else { return };
        for (id, patch) in entries {
            let at = join(at, id);
            let changed = match (section, value.get_mut(section)) {
                ("flow", Some(Value::Array(steps))) => self.step(steps, id, patch, &at),
                (_, Some(Value::Object(map))) => self.entry(map, section, id, patch, &at),
                _ => {
                    self.unknown(section, id, &[], &at);
                    false
                }
            };
            if changed {
                let touched = match section {
                    "fixtures" => &mut self.touched.fixtures,
                    "vantages" => &mut self.touched.vantages,
                    _ => &mut self.touched.flow,
                };
                touched.push(id.clone());
            }
        }
    }

    fn entry(&mut self, map: &mut Map<String, Value>, section: &str, id: &str, patch: &Value, at: &str) -> bool {
        let Some(target) = map.get_mut(id) else {
            let known: Vec<&str> = map.keys().map(String::as_str).collect();
            self.unknown(section, id, &known, at);
            return false;
        };
        match self.patch(target, patch, at) {
            Outcome::Changed => true,
            Outcome::Wrong => false,
            Outcome::Removed => {
                map.shift_remove(id);
                true
            }
        }
    }

    fn step(&mut self, steps: &mut Vec<Value>, id: &str, patch: &Value, at: &str) -> bool {
        let Some((steps, index)) = find(steps, id) else {
            let known = ids(steps);
            self.unknown("flow", id, &known.iter().map(String::as_str).collect::<Vec<_>>(), at);
            return false;
        };
        match self.patch(&mut steps[index], patch, at) {
            Outcome::Changed => true,
            Outcome::Wrong => false,
            Outcome::Removed => {
                steps.remove(index);
                true
            }
        }
    }

    fn patch(&mut self, target: &mut Value, patch: &Value, at: &str) -> Outcome {
        match patch {
            Value::String(word) if word == REMOVE => Outcome::Removed,
            Value::Object(_) => {
                let before = target.clone();
                merge_patch(target, patch);
                if *target == before {
                    self.nothing(at);
                    return Outcome::Wrong;
                }
                Outcome::Changed
            }
            other => {
                let message = match other.as_str() {
                    Some(word) => format!("`{word}` is not a change"),
                    None => "a change must be a mapping of the fields to change, or the word `remove`".to_owned(),
                };
                let fix = other.as_str().and_then(|word| super::diagnostic::nearest(word, [REMOVE])).map_or_else(
                    || "write the fields to change, `{ field: value }`, or `remove`".to_owned(),
                    |word| format!("did you mean `{word}`?"),
                );
                self.errors.push(self.document.error(at, message).fix(fix));
                Outcome::Wrong
            }
        }
    }

    fn nothing(&mut self, at: &str) {
        let error = self.document.key_error(at, "this changes nothing: the scenario already has this value".to_owned());
        self.errors.push(error.fix("write a different value, or remove it"));
    }

    fn unknown(&mut self, section: &str, id: &str, known: &[&str], at: &str) {
        let what = match section {
            "fixtures" => "fixture",
            "vantages" => "vantage",
            _ => "step",
        };
        let fix = suggest(id, known.iter().copied(), &format!("{what}s"));
        self.errors.push(self.document.key_error(at, format!("there is no {what} `{id}` to change")).fix(fix));
    }
}

/// The JSON pointer, within a `repeat` step, of the list of its inner steps.
const INNER: &str = "/repeat/flow";

/// Finds a step by its id. Returns the list that contains the step, and the index of the step in this list. The list is
/// the flow of the scenario or the inner flow of a `repeat`.
fn find<'v>(steps: &'v mut Vec<Value>, id: &str) -> Option<(&'v mut Vec<Value>, usize)> {
    if let Some(index) = steps.iter().position(|step| step["id"] == id) {
        return Some((steps, index));
    }
    let inner = steps.iter_mut().filter_map(|step| step.pointer_mut(INNER)?.as_array_mut());
    inner.into_iter().find_map(|inner| {
        let index = inner.iter().position(|step| step["id"] == id)?;
        Some((inner, index))
    })
}

/// Returns the ids of all steps of a flow, including those inside a `repeat`.
fn ids(steps: &[Value]) -> Vec<String> {
    let all = steps.iter().flat_map(|step| std::iter::once(step).chain(inner(step)));
    all.filter_map(|step| step["id"].as_str().map(str::to_owned)).collect()
}

fn inner(step: &Value) -> impl Iterator<Item = &Value> {
    step.pointer(INNER).and_then(Value::as_array).into_iter().flatten()
}

enum Outcome {
    Changed,
    Removed,
    Wrong,
}

/// Applies a JSON merge patch (RFC 7396) and keeps the order of the remaining keys. `json_patch::merge` does not keep
/// the order: it moves the last key to the position of a removed key.
fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, value) in fields {
        if value.is_null() {
            map.shift_remove(key);
        } else {
            merge_patch(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Finds where the parts of a merged value are written in the file. The merged value is a scenario after a change. If
/// the change contains a part, the place of this part is inside the change. Otherwise the place is the change itself.
#[derive(Debug)]
pub struct ChangedPlaces<'a> {
    document: &'a Document,
    change: String,
    /// The id of each step of the merged value, by the step's JSON pointer.
    steps: BTreeMap<String, String>,
}

impl<'a> ChangedPlaces<'a> {
    /// Returns an object that finds the places of the parts of `value`. `value` is the scenario into which the change
    /// at `at` (`/breaks/ID` or `/variants/ID`) was merged.
    pub fn new(document: &'a Document, at: &str, value: &Value) -> Self {
        let mut steps = BTreeMap::new();
        let mut note =
            |place: String, step: &Value| steps.insert(place, step["id"].as_str().unwrap_or_default().to_owned());
        for (index, step) in value["flow"].as_array().into_iter().flatten().enumerate() {
            note(format!("/flow/{index}"), step);
            for (number, inner) in inner(step).enumerate() {
                note(format!("/flow/{index}{INNER}/{number}"), inner);
            }
        }
        Self { document, change: join(at, "change"), steps }
    }

    /// Returns the id of the innermost step that contains the pointer, and the rest of the pointer below the step.
    /// `None` if the pointer is outside the flow.
    fn step<'p>(&self, pointer: &'p str) -> Option<(&str, &'p str)> {
        let ends = pointer.match_indices('/').map(|(end, _)| end).chain([pointer.len()]).rev();
        ends.into_iter().find_map(|end| Some((self.steps.get(&pointer[..end])?.as_str(), &pointer[end..])))
    }

    /// Converts a JSON pointer into the merged value to a pointer into the document of the file.
    fn locate(&self, pointer: &str) -> String {
        let whole = match self.step(pointer) {
            Some((id, rest)) => format!("{}{rest}", join(&join(&self.change, "flow"), id)),
            None => format!("{}{pointer}", self.change),
        };
        let section = pointer.split('/').nth(1).unwrap_or_default();
        // Look for the nearest enclosing part that the change contains. If there is none, the mistake is a consequence
        // of the change, and the change itself is marked.
        let mut nearest = whole.as_str();
        while nearest.len() > self.change.len() && !self.document.has(nearest) {
            nearest = &nearest[..nearest.rfind('/').unwrap_or(0)];
        }
        if nearest == join(&self.change, section) { self.change.clone() } else { nearest.to_owned() }
    }
}

impl ChangedPlaces<'_> {
    /// Returns the message of a mistake. If the change does not contain the wrong part itself, the message says that
    /// the mistake is a consequence of the change.
    fn as_consequence(&self, pointer: &str, message: String) -> String {
        if self.locate(pointer) == self.change { format!("with this change, {message}") } else { message }
    }
}

impl Places for ChangedPlaces<'_> {
    fn source(&self) -> &Source {
        &self.document.source
    }

    fn mark(&self, pointer: &str) -> Range<usize> {
        let located = self.locate(pointer);
        self.document.mark(&located)
    }

    fn mark_key(&self, pointer: &str) -> Range<usize> {
        self.document.mark_key(&self.locate(pointer))
    }

    fn error(&self, pointer: &str, message: String) -> Diagnostic {
        self.source().error(&self.mark(pointer), self.as_consequence(pointer, message))
    }

    fn key_error(&self, pointer: &str, message: String) -> Diagnostic {
        self.source().error(&self.mark_key(pointer), self.as_consequence(pointer, message))
    }
}

/// Replaces host names in every string of a value. `names` maps old names to new names. A name is replaced only where
/// it is a whole host name, and not where it is a part of a longer name.
pub fn rename_hosts(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(rename_in_text(text, names)),
        Value::Array(items) => Value::Array(items.iter().map(|item| rename_hosts(item, names)).collect()),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), rename_hosts(value, names)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

fn rename_in_text(text: &str, names: &BTreeMap<String, String>) -> String {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    'text: while at < text.len() {
        // A host name can begin here only if the character before does not belong to the same name.
        let free = at == 0 || !(in_name(bytes[at - 1]) || bytes[at - 1] == b'.');
        if free {
            for (from, to) in names {
                let end = at + from.len();
                let whole = text[at..].starts_with(from.as_str())
                    && !bytes.get(end).is_some_and(|next| in_name(*next))
                    && !(bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|next| in_name(*next)));
                if whole {
                    out.push_str(to);
                    at = end;
                    continue 'text;
                }
            }
        }
        let next = text[at..].chars().next().map_or(1, char::len_utf8);
        out.push_str(&text[at..at + next]);
        at += next;
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_whole_host_names_are_renamed() {
        let names = BTreeMap::from([("minio.example.com".to_owned(), "minio.v1.run.test".to_owned())]);
        for (before, after) in [
            ("minio.example.com", "minio.v1.run.test"),
            ("https://minio.example.com:443/a?b", "https://minio.v1.run.test:443/a?b"),
            ("https://minio.example.com.", "https://minio.v1.run.test."),
            ("bucket.minio.example.com", "bucket.minio.example.com"),
            ("minio.example.com.evil.org", "minio.example.com.evil.org"),
            ("my-minio.example.com", "my-minio.example.com"),
            ("minio.example.community", "minio.example.community"),
            ("é minio.example.com, minio.example.com", "é minio.v1.run.test, minio.v1.run.test"),
        ] {
            assert_eq!(rename_hosts(&json!({ "a": [before] }), &names), json!({ "a": [after] }), "{before}");
        }
    }

    #[test]
    fn a_patch_merges_mappings_and_null_removes_a_field() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        merge_patch(&mut value, &json!({ "a": { "b": null, "e": { "f": 3 } }, "d": [2] }));
        assert_eq!(value, json!({ "a": { "c": 2, "e": { "f": 3 } }, "d": [2] }));
        let mut value = json!({ "a": 1, "b": 2, "c": 3, "d": 4 });
        merge_patch(&mut value, &json!({ "a": null }));
        assert_eq!(value.to_string(), r#"{"b":2,"c":3,"d":4}"#, "what stays keeps its order");
    }

    #[test]
    fn a_break_shows_only_what_it_says_itself() {
        let text = "flow:\n- { id: a, shows: { row: as-it-is } }\n- { id: b, shows: { row: as-it-is } }\n\
                    - { id: r, repeat: { flow: [{ id: c, shows: { row: as-it-is } }] } }\n\
                    breaks:\n  x:\n    change: { flow: { a: { from: y }, b: { shows: { row: broken } } } }\n";
        let (document, errors) = Document::parse_bytes("scenario.yaml", text.as_bytes());
        assert!(errors.is_empty(), "{errors:?}");
        let (value, _) = merge(&document.expect("a document"), "/breaks/x").expect("a variant");
        let shown = ["/flow/0/shows", "/flow/1/shows/row", "/flow/2/repeat/flow/0/shows"].map(|it| value.pointer(it));
        assert_eq!(shown, [None, Some(&json!("broken")), None]);
    }
}
