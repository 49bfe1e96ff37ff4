//! Captures: values taken from an answer, for later steps.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::event::Matched;
use parallax_vocab::{Answer, Cause};
use serde_json::Value;

use super::Judgement;
use parallax_language::scenario::model::Capture;

/// Returns the whole answer of a probe as JSON, from which captures take values. The JSON has the same form as in the
/// record. If the body of an HTTP reply is JSON, the result also contains the parsed body.
pub fn answer_as_json(answer: &Answer) -> Value {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let Some(text) = answer.reply().and_then(|it| it.outputs().json)
        && let Ok(json) = serde_json::from_str::<Value>(text)
        // A reply is a JSON object with a single key, which is the kind of the reply.
        && let Some(reply) = value["reply"].as_object_mut().and_then(|it| it.values_mut().next())
    {
        reply["json"] = json;
    }
    value
}

/// Returns the values that a step captures from its answer. Returns none if the answer is not as expected. If the JSON
/// pointer of a capture finds no value in the answer, the step fails. The cause of the failure contains the first such
/// pointer.
pub fn capture(
    wanted: &IndexMap<String, Capture>,
    answer: &Value,
    judgement: &mut Judgement,
) -> BTreeMap<String, Value> {
    let mut captured = BTreeMap::new();
    if judgement.cause.is_some() {
        return captured;
    }
    for (name, Capture { path: pointer, .. }) in wanted {
        if let Some(value) = answer.pointer(pointer).filter(|value| !value.is_null()) {
            captured.insert(name.clone(), value.clone());
        } else {
            let matcher = format!("capture.{name}");
            let (expected, seen) = (format!("a value at {pointer}"), nearest(answer, pointer));
            judgement.matchers.push(Matched::new(&matcher, false, &expected, &seen));
            judgement.cause.get_or_insert(Cause::Mismatch { matcher, expected, seen });
        }
    }
    captured
}

/// Describes the longest prefix of `pointer` that exists in the answer, and the value at this prefix.
fn nearest(answer: &Value, pointer: &str) -> String {
    let mut at = pointer;
    while let Some(cut) = at.rfind('/') {
        at = &at[..cut];
        let place = if at.is_empty() { "the answer" } else { at };
        match answer.pointer(at) {
            Some(Value::Object(fields)) => {
                let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                return format!(
                    "nothing: {place} holds {}",
                    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
                );
            }
            Some(Value::Array(items)) => return format!("nothing: {place} is a list of {}", items.len()),
            Some(_) => return format!("nothing: {place} is a plain value"),
            None => {}
        }
    }
    "nothing".to_owned()
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::answer::{HttpReply, Reply};
    use serde_json::json;

    use super::*;

    fn one(pointer: &str) -> IndexMap<String, Capture> {
        IndexMap::from([("x".to_owned(), Capture { path: pointer.to_owned(), secret: false })])
    }

    #[test]
    fn pointers_find_values_or_say_how_far_they_came() {
        let answer =
            json!({"reply": {"http": {"status": 200}}, "evidence": {"chain": [{"serial": "0a"}], "peer": null}});
        for (pointer, found) in [
            ("/evidence/chain/0/serial", Ok(json!("0a"))),
            ("/reply/http", Ok(json!({"status": 200}))),
            ("/evidence/chain/1/serial", Err("nothing: /evidence/chain is a list of 1")),
            ("/reply/s3/status", Err("nothing: /reply holds http")),
            ("/replies", Err("nothing: the answer holds reply, evidence")),
            ("/reply/http/status/code", Err("nothing: /reply/http/status is a plain value")),
            ("/evidence/peer", Err("nothing: /evidence holds chain, peer")),
        ] {
            let mut judgement = Judgement::default();
            let captured = capture(&one(pointer), &answer, &mut judgement);
            match found {
                Ok(value) => assert_eq!((captured.get("x"), judgement.cause), (Some(&value), None), "{pointer}"),
                Err(seen) => {
                    let (matcher, expected) = ("capture.x".to_owned(), format!("a value at {pointer}"));
                    let cause = Cause::Mismatch { matcher, expected, seen: seen.to_owned() };
                    assert_eq!((captured.get("x"), judgement.cause), (None, Some(cause)), "{pointer}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_captured_from_an_answer_that_is_not_as_expected() {
        let cause = Cause::Client { detail: "x".to_owned() };
        let mut judgement = Judgement { matchers: vec![], cause: Some(cause.clone()) };
        assert!(capture(&one("/a"), &json!({"a": 1}), &mut judgement).is_empty());
        assert_eq!(judgement.cause, Some(cause));
    }

    #[test]
    fn a_json_body_lies_open_beside_its_text() {
        let http = |body: &str| HttpReply {
            status: 200,
            headers: BTreeMap::new(),
            body: body.to_owned(),
            body_bytes: 0,
            body_sha256: String::new(),
            s3_error: None,
        };
        let json = |body: &str| {
            let answer = Answer { outcome: Ok(Reply::Http(http(body))), evidence: Evidence::default() };
            answer_as_json(&answer).pointer("/reply/http/json/keys/0/kid").cloned()
        };
        assert_eq!(json(r#"{"keys":[{"kid":"one"}]}"#), Some(json!("one")));
        assert_eq!(json("<xml/>"), None);
    }
}
