//! Judges a Kubernetes object, or its absence, against the `expect` of a step.

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;
use serde_json::Value;

use super::expect::{equal, quote};
use super::look::Looked;
use parallax_language::scenario::model::Expect;

/// The text that messages show as the observed value if the object does not exist.
pub(super) const NONE: &str = "no such object";

/// Checks that the object has every expected field with the expected value.
pub(super) fn part(part: &Value, looked: &Looked) -> Option<Matched> {
    let Looked::Object { object, .. } = looked else { return None };
    Some(match object {
        Some(object) => {
            let (held, expected, seen) = compare(part, object);
            Matched::new("object", held, expected, seen)
        }
        None => Matched::unseen("object", quote(&part.to_string()), NONE),
    })
}

/// Checks that the object does not exist.
pub(super) fn absent(looked: &Looked) -> Option<Matched> {
    let Looked::Object { object, .. } = looked else { return None };
    let seen = if object.is_some() { "an object" } else { NONE };
    Some(equal("absent", NONE.to_owned(), seen.to_owned()))
}

/// Returns the cause for an object that exists but is not as expected.
pub(super) fn cause(resource: &str, expect: &Expect, object: &Value) -> Cause {
    let detail = match &expect.object {
        Some(part) => differences(part, object).iter().map(Difference::in_a_line).collect::<Vec<_>>().join("; "),
        None => "it exists, but is declared to be absent".to_owned(),
    };
    Cause::Resource { resource: resource.to_owned(), detail }
}

/// Returns the differences between the expected fields and an object, for people. A difference is one line, such as
/// `spec.ports[name=https].port: expected 443, saw 80`. For a field whose text has several lines, the result is a
/// line-by-line diff instead.
pub fn object_differences(expect: Option<&Expect>, object: Option<&Value>) -> Vec<String> {
    let expect = expect.and_then(|it| it.object.as_ref());
    let Some((expect, object)) = expect.zip(object) else { return Vec::new() };
    differences(expect, object).iter().flat_map(Difference::lines).collect()
}

/// One field in which an object differs from what is expected.
struct Difference {
    /// The path of the field, such as `spec.ports[name=https].port`.
    path: String,
    /// The expected value of the field, as [`quoted`] writes it.
    expected: String,
    /// The observed value of the field, as [`quoted`] writes it, or a note that the field is absent.
    seen: String,
    /// The expected and the observed text, if the two values are texts and one of them has several lines. Otherwise
    /// `None`.
    texts: Option<(String, String)>,
}

impl Difference {
    fn in_a_line(&self) -> String {
        format!("{}: expected {}, saw {}", self.path, self.expected, self.seen)
    }

    fn lines(&self) -> Vec<String> {
        let Some((expected, seen)) = &self.texts else { return vec![self.in_a_line()] };
        let diff = similar::TextDiff::from_lines(expected.as_str(), seen.as_str());
        let mut lines = vec![format!("{}: - expected, + seen", self.path)];
        for change in diff.iter_all_changes() {
            let sign = match change.tag() {
                similar::ChangeTag::Delete => '-',
                similar::ChangeTag::Insert => '+',
                similar::ChangeTag::Equal => continue,
            };
            if lines.len() == DIFF_LINES {
                lines.push("  and more".to_owned());
                break;
            }
            lines.push(format!("  {sign} {}", change.value().trim_end()));
        }
        lines
    }
}

/// The largest number of lines of a diff that a message shows.
const DIFF_LINES: usize = 40;

/// Compares an object with the expected fields. Returns whether `seen` contains all fields of `expect`. Also returns
/// two texts that list the fields that differ: the first with the expected values, the second with the observed values.
pub(super) fn compare(expect: &Value, seen: &Value) -> (bool, String, String) {
    let differences = differences(expect, seen);
    let all = |part: fn(&Difference) -> String| differences.iter().map(part).collect::<Vec<_>>().join("; ");
    let expected = all(|it| format!("{}: {}", it.path, it.expected));
    (differences.is_empty(), expected, all(|it| format!("{}: {}", it.path, it.seen)))
}

fn differences(expect: &Value, object: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ("", expect, object, &mut found);
    found
}

/// Collects the fields of `expect` that are missing or different in `seen`. Entries of a list are paired by their
/// `type` or their `name`, because Kubernetes too identifies list entries by these fields. A list whose entries have
/// neither field is compared as a whole.
fn differ(path: &str, expect: &Value, seen: &Value, differences: &mut Vec<Difference>) {
    let absent = |path: String, expected: &Value| Difference {
        path,
        expected: expected.to_string(),
        seen: "absent".to_owned(),
        texts: None,
    };
    match (expect, seen) {
        (Value::Object(fields), Value::Object(all)) => {
            for (name, expected) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match all.get(name) {
                    Some(value) => differ(&path, expected, value, differences),
                    None => differences.push(absent(path, expected)),
                }
            }
        }
        (Value::Array(entries), Value::Array(all))
            if !entries.is_empty() && entries.iter().all(|entry| key(entry).is_some()) =>
        {
            for (entry, (name, value)) in entries.iter().filter_map(|entry| Some((entry, key(entry)?))) {
                let path = format!("{path}[{name}={value}]");
                match all.iter().find(|seen| seen.get(name).and_then(Value::as_str) == Some(value)) {
                    Some(seen) => differ(&path, entry, seen, differences),
                    None => differences.push(absent(path, entry)),
                }
            }
        }
        (expected, seen) if expected == seen => {}
        (expected, seen) => {
            let texts = expected.as_str().zip(seen.as_str());
            let texts = texts.filter(|(expected, seen)| expected.contains('\n') || seen.contains('\n'));
            differences.push(Difference {
                path: path.to_owned(),
                expected: quoted(expected),
                seen: quoted(seen),
                texts: texts.map(|(expected, seen)| (expected.to_owned(), seen.to_owned())),
            });
        }
    }
}

/// Formats a value for a message: a text in quotes, cut if it is long; any other value as JSON, not cut.
fn quoted(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quote)
}

/// Returns the field that identifies an entry of a list: its `type` (conditions) or its `name` (containers, ports).
fn key(entry: &Value) -> Option<(&'static str, &str)> {
    ["type", "name"].into_iter().find_map(|name| Some((name, entry.get(name)?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Judgement, judge_look};

    fn judge_object(resource: &str, expect: Option<&Expect>, object: Option<&Value>) -> Judgement {
        judge_look(expect, &Looked::Object { resource: resource.to_owned(), object: object.cloned() })
    }

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).expect("valid expect")
    }

    #[test]
    fn a_partial_object_names_each_field_that_differs() {
        let object = json!({"spec": {"replicas": 1, "paused": false}, "status": {}});
        let good = expect(json!({"object": {"spec": {"replicas": 1}}}));
        assert_eq!(judge_object("Deployment ns/x", Some(&good), Some(&object)).cause, None);
        let bad = expect(json!({"object": {"spec": {"replicas": 2}, "status": {"ready": 1}}}));
        let judged = judge_object("Deployment ns/x", Some(&bad), Some(&object));
        assert_eq!(
            judged.cause.map(|it| it.to_string()).as_deref(),
            Some("resource: Deployment ns/x: spec.replicas: expected 2, saw 1; status.ready: expected 1, saw absent")
        );
        assert!(judge_object("Deployment ns/x", Some(&good), None).cause.is_some());
    }

    #[test]
    fn entries_of_a_list_are_found_by_their_name_or_type() {
        let object =
            json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}], "l": [1, 2]});
        for (expected, said) in [
            (json!({"conditions": [{"type": "B", "status": "False"}]}), None),
            (
                json!({"conditions": [{"type": "B", "status": "True"}]}),
                Some("conditions[type=B].status: expected \"True\", saw \"False\""),
            ),
            (json!({"conditions": [{"type": "C"}]}), Some("conditions[type=C]: expected {\"type\":\"C\"}, saw absent")),
            (json!({"l": [1]}), Some("l: expected [1], saw [1,2]")),
            (json!({"l": []}), Some("l: expected [], saw [1,2]")),
        ] {
            let judged = judge_object("X", Some(&expect(json!({"object": expected}))), Some(&object));
            let detail = judged.cause.map(|cause| cause.to_string().replace("resource: X: ", ""));
            assert_eq!(detail.as_deref(), said, "{expected}");
        }
    }

    #[test]
    fn a_text_of_several_lines_is_compared_line_by_line() {
        let expected = expect(json!({"object": {"data": {"Corefile": "a\nb\nc\n"}, "x": 1}}));
        let seen = json!({"data": {"Corefile": "a\nB\nc\n"}, "x": 2});
        let lines = object_differences(Some(&expected), Some(&seen));
        assert_eq!(lines, ["data.Corefile: - expected, + seen", "  - b", "  + B", "x: expected 1, saw 2"]);
    }

    #[test]
    fn an_object_that_must_not_be_is_red_only_where_it_is() {
        let absent = expect(json!({"absent": true}));
        let gone = judge_object("X", Some(&absent), None);
        assert_eq!((gone.cause, gone.matchers[0].held), (None, true));
        let there = judge_object("X", Some(&absent), Some(&json!({})));
        assert_eq!(
            there.cause.map(|it| it.to_string()).as_deref(),
            Some("resource: X: it exists, but is declared to be absent")
        );
        assert_eq!((there.matchers[0].matcher.as_str(), there.matchers[0].held), ("absent", false));
    }
}
