//! Judges the events that Kubernetes recorded for an object against the `expect` of a step.

use std::fmt;

use indexmap::IndexSet;
use parallax_vocab::event::Matched;

use super::expect::{holds, quote};
use super::look::Looked;

/// The text that messages show as the observed value if Kubernetes recorded no event.
const NO_EVENT: &str = "no event";
/// The text that messages show as the observed value if the object does not exist.
const NO_OBJECT: &str = "no object";

/// The fields of a Kubernetes event that matchers read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ObjectEvent {
    /// The name of the object that the event is about.
    pub object: String,
    /// The reason of the event, one word such as `FailedMount`.
    pub reason: String,
    /// The message of the event, which is a sentence.
    pub message: String,
}

impl fmt::Display for ObjectEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.reason, self.message)
    }
}

/// Checks that at least one event has the reason `reason`.
pub(super) fn reason(reason: &str, looked: &Looked) -> Option<Matched> {
    let Looked::Events { events, missing, .. } = looked else { return None };
    if missing.is_some() {
        return Some(Matched::unseen("reason", quote(reason), NO_OBJECT));
    }
    let held = events.iter().any(|it| it.reason == reason);
    let reasons: IndexSet<&str> = events.iter().map(|it| it.reason.as_str()).collect();
    let seen = match (held, reasons.is_empty()) {
        (true, _) => reason.to_owned(),
        (false, true) => NO_EVENT.to_owned(),
        (false, false) => reasons.into_iter().collect::<Vec<_>>().join(", "),
    };
    Some(Matched { unseen: events.is_empty(), ..Matched::new("reason", held, reason, seen) })
}

/// Checks that the message of at least one event contains `words`. If a reason is expected too, the same event must
/// have this reason.
pub(super) fn message(words: &str, reason: Option<&str>, looked: &Looked) -> Option<Matched> {
    let Looked::Events { events, missing, .. } = looked else { return None };
    if missing.is_some() {
        return Some(Matched::unseen("message", quote(words), NO_OBJECT));
    }
    let of_reason = |it: &&ObjectEvent| reason.is_none_or(|reason| it.reason == *reason);
    let found = events.iter().filter(of_reason).find(|it| holds(&it.message, words));
    let last = events.iter().rfind(of_reason);
    let seen = match (found, last) {
        (Some(event), _) => quote(&event.message),
        (None, Some(last)) => format!("{} events, the last of them {}", events.len(), quote(&last.message)),
        (None, None) => NO_EVENT.to_owned(),
    };
    let expected = format!("an event with {}", quote(words));
    Some(Matched { unseen: last.is_none(), ..Matched::new("message", found.is_some(), expected, seen) })
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::model::Expect;
    use serde_json::json;

    use super::*;
    use crate::{Judgement, judge_look};

    fn judged(expect: &Expect, events: &[ObjectEvent], missing: Option<&str>) -> Judgement {
        let (resource, missing) = ("Pod x".to_owned(), missing.map(str::to_owned));
        judge_look(Some(expect), &Looked::Events { resource, events: events.to_vec(), missing })
    }

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
            let judged = judged(&read, events, None);
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect}");
        }
        let read: Expect = serde_json::from_value(json!({"reason": "a", "message": "b"})).expect("valid");
        let judged = judged(&read, &[], Some("it does not exist"));
        assert!(judged.cause.is_some() && judged.matchers.iter().all(|it| !it.held) && judged.matchers.len() == 2);
    }
}
