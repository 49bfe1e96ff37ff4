//! One Kubernetes object, or its absence, against one `expect`.

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;
use serde_json::Value;

use super::expect::{Judgement, equal, quote};
use crate::scenario::model::Expect;

/// Judges a Kubernetes object, or that there is none, against what is expected of it.
pub fn judge_object(resource: &str, expect: Option<&Expect>, object: Option<&Value>) -> Judgement {
    if expect.is_some_and(|it| it.absent == Some(true)) {
        let seen = if object.is_some() { "an object" } else { "no such object" };
        let matched = equal("absent", "no such object".to_owned(), seen.to_owned());
        let cause = object.map(|_| Cause::Resource {
            resource: resource.to_owned(),
            detail: "it exists, and was to be absent".to_owned(),
        });
        return Judgement { matchers: vec![matched], cause };
    }
    let expect = expect.and_then(|it| it.object.as_ref());
    let Some(object) = object else {
        let cause = Cause::Resource { resource: resource.to_owned(), detail: "it does not exist".to_owned() };
        let matcher = expect.map(|expected| Matched {
            matcher: "object".to_owned(),
            held: false,
            expected: quote(&expected.to_string()),
            seen: "no such object".to_owned(),
        });
        return Judgement { matchers: matcher.into_iter().collect(), cause: Some(cause) };
    };
    let mut differences = Vec::new();
    if let Some(expect) = expect {
        differ("", expect, object, &mut differences);
    }
    let matchers: Vec<Matched> = expect
        .map(|_| Matched {
            matcher: "object".to_owned(),
            held: differences.is_empty(),
            expected: differences.iter().map(|it| format!("{}: {}", it.0, it.1)).collect::<Vec<_>>().join("; "),
            seen: differences.iter().map(|it| format!("{}: {}", it.0, it.2)).collect::<Vec<_>>().join("; "),
        })
        .into_iter()
        .collect();
    let cause = matchers.iter().find(|it| !it.held).map(|it| Cause::Resource {
        resource: resource.to_owned(),
        detail: format!("expected {}; saw {}", it.expected, it.seen),
    });
    Judgement { matchers, cause }
}

/// Fields of `expect` that are missing or different in `seen`. Entries of a list that have a `type` or `name` are found
/// by it, as Kubernetes itself tells them apart; other lists are compared whole.
fn differ(path: &str, expect: &Value, seen: &Value, differences: &mut Vec<(String, String, String)>) {
    match (expect, seen) {
        (Value::Object(fields), Value::Object(all)) => {
            for (name, expected) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match all.get(name) {
                    Some(value) => differ(&path, expected, value, differences),
                    None => differences.push((path, expected.to_string(), "absent".to_owned())),
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
                    None => differences.push((path, entry.to_string(), "absent".to_owned())),
                }
            }
        }
        (expected, seen) if expected == seen => {}
        (expected, seen) => differences.push((path.to_owned(), expected.to_string(), seen.to_string())),
    }
}

/// What tells an entry of a list from the others: its `type` (conditions) or its `name` (containers, ports).
fn key(entry: &Value) -> Option<(&'static str, &str)> {
    ["type", "name"].into_iter().find_map(|name| Some((name, entry.get(name)?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            Some(
                "resource: Deployment ns/x: expected spec.replicas: 2; status.ready: 1; saw spec.replicas: 1; status.ready: absent"
            )
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
                Some("expected conditions[type=B].status: \"True\"; saw conditions[type=B].status: \"False\""),
            ),
            (
                json!({"conditions": [{"type": "C"}]}),
                Some("expected conditions[type=C]: {\"type\":\"C\"}; saw conditions[type=C]: absent"),
            ),
            (json!({"l": [1]}), Some("expected l: [1]; saw l: [1,2]")),
            (json!({"l": []}), Some("expected l: []; saw l: [1,2]")),
        ] {
            let judged = judge_object("X", Some(&expect(json!({"object": expected}))), Some(&object));
            let detail = judged.cause.map(|cause| cause.to_string().replace("resource: X: ", ""));
            assert_eq!(detail.as_deref(), said, "{expected}");
        }
    }

    #[test]
    fn an_object_that_must_not_be_is_red_only_where_it_is() {
        let absent = expect(json!({"absent": true}));
        let gone = judge_object("X", Some(&absent), None);
        assert_eq!((gone.cause, gone.matchers[0].held), (None, true));
        let there = judge_object("X", Some(&absent), Some(&json!({})));
        assert_eq!(
            there.cause.map(|it| it.to_string()).as_deref(),
            Some("resource: X: it exists, and was to be absent")
        );
        assert_eq!((there.matchers[0].matcher.as_str(), there.matchers[0].held), ("absent", false));
    }
}
