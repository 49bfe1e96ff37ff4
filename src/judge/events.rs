//! Events that Kubernetes recorded of an object, against one `expect`.

use std::fmt;

use indexmap::IndexSet;
use parallax_vocab::Cause;
use parallax_vocab::event::Matched;

use super::altered;
use super::expect::{Judgement, holds, quote};
use parallax_language::scenario::model::Expect;

/// An event in short.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ObjectEvent {
    /// Name of the object.
    pub object: String,
    /// One word: `FailedMount`.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

impl fmt::Display for ObjectEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.reason, self.message)
    }
}

/// Judges the events of an object: where both a reason and a message are expected, one event must have both.
pub fn judge_events(expect: Option<&Expect>, events: &[ObjectEvent]) -> Judgement {
    // One event that is another: with the others beside it, any of them could be the one that is looked for.
    let others = || events.iter().flat_map(altered::leaves).map(|it| judge_once(expect, &[it]));
    altered::shown(judge_once(expect, events), others)
}

fn judge_once(expect: Option<&Expect>, events: &[ObjectEvent]) -> Judgement {
    let (reason, message) = wanted(expect);
    let of_reason = |it: &&ObjectEvent| reason.is_none_or(|reason| it.reason == *reason);
    let mut matchers = Vec::new();
    if let Some(reason) = reason {
        let held = events.iter().any(|it| of_reason(&it));
        let reasons: IndexSet<&str> = events.iter().map(|it| it.reason.as_str()).collect();
        let seen = match (held, reasons.is_empty()) {
            (true, _) => reason.clone(),
            (false, true) => "no event".to_owned(),
            (false, false) => reasons.into_iter().collect::<Vec<_>>().join(", "),
        };
        let unseen = events.is_empty();
        matchers.push(Matched { unseen, ..Matched::new("reason", held, reason, seen) });
    }
    if let Some(message) = message {
        let found = events.iter().filter(of_reason).find(|it| holds(&it.message, message));
        let last = events.iter().rfind(of_reason);
        let seen = match (found, last) {
            (Some(event), _) => quote(&event.message),
            (None, Some(last)) => format!("{} events, the last of them {}", events.len(), quote(&last.message)),
            (None, None) => "no event".to_owned(),
        };
        let expected = format!("an event with {}", quote(message));
        let unseen = last.is_none();
        matchers.push(Matched { unseen, ..Matched::new("message", found.is_some(), expected, seen) });
    }
    Judgement::of(matchers)
}

/// Judges where neither the object nor any event of it is there.
pub fn judge_no_object(resource: &str, expect: Option<&Expect>, why: &str) -> Judgement {
    let (reason, message) = wanted(expect);
    let matchers = [("reason", reason), ("message", message)].into_iter().filter_map(|(matcher, text)| {
        let expected = quote(text?);
        Some(Matched::unseen(matcher, expected, "no object"))
    });
    let cause = Cause::Resource { resource: resource.to_owned(), detail: why.to_owned() };
    Judgement { matchers: matchers.collect(), cause: Some(cause) }
}

fn wanted(expect: Option<&Expect>) -> (Option<&String>, Option<&String>) {
    (expect.and_then(|it| it.reason.as_ref()), expect.and_then(|it| it.message.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_event_must_be_all_that_is_expected() {
        let event = |reason: &str, message: &str| ObjectEvent {
            object: "p".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let events = [event("Pulled", "image is there"), event("FailedMount", "secret \"x\" not found")];
        for (expect, events, cause) in [
            (json!({"reason": "FailedMount", "message": "not found"}), &events[..], None),
            (json!({"message": "image"}), &events[..], None),
            (
                json!({"reason": "Pulled", "message": "not found"}),
                &events[..],
                Some(r#"message: expected an event with "not found", saw 2 events, the last of them "image is there""#),
            ),
            (json!({"reason": "Killing"}), &events[..], Some("reason: expected Killing, saw Pulled, FailedMount")),
            (json!({"reason": "Killing"}), &[][..], Some("reason: expected Killing, saw no event")),
        ] {
            let read: Expect = serde_json::from_value(expect.clone()).expect("valid");
            let judged = judge_events(Some(&read), events);
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect}");
        }
        let read: Expect = serde_json::from_value(json!({"reason": "a", "message": "b"})).expect("valid");
        let judged = judge_no_object("Pod x", Some(&read), "it does not exist");
        assert!(judged.cause.is_some() && judged.matchers.iter().all(|it| !it.held) && judged.matchers.len() == 2);
    }
}
