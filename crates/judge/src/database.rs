//! Judges the state of a database and of its replica against the `expect` of a step.

use parallax_vocab::Cause;
use parallax_vocab::answer::{Reply, Survey};
use parallax_vocab::event::Matched;

use super::bound::Bound;
use super::expect::equal;
use super::look::Looked;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{NumberBound, SpanBound};

/// Checks the result of SQLite's `PRAGMA integrity_check`.
pub(super) fn integrity(wanted: &str, looked: &Looked) -> Option<Matched> {
    let Looked::Database(seen) = looked else { return None };
    Some(match seen["integrity"].as_str() {
        Some(said) => equal("integrity", wanted.to_owned(), said.to_owned()),
        None => Matched::unseen("integrity", wanted, "nothing"),
    })
}

/// Judges the number of rows in a database against `bound`.
pub(super) fn rows(bound: NumberBound, looked: &Looked) -> Option<Matched> {
    let Looked::Database(seen) = looked else { return None };
    Some(bounded("rows", bound, seen["rows"].as_f64(), "no number"))
}

/// Judges a measured number against `bound`.
pub(super) fn value(bound: NumberBound, looked: &Looked) -> Option<Matched> {
    let Looked::Number(value) = looked else { return None };
    Some(bounded("value", bound, Some(*value), "no number"))
}

/// Judges the number of objects in a replica against `bound`.
pub(super) fn objects(bound: NumberBound, survey: Option<&Survey>) -> Matched {
    #[expect(clippy::cast_precision_loss, reason = "a store with 2^53 objects is not read to its end")]
    let objects = survey.map(|it| it.objects as f64);
    bounded("objects", bound, objects, "no listing")
}

/// Judges the age of the newest object in a replica against `bound`.
pub(super) fn newest(bound: SpanBound, survey: Option<&Survey>) -> Matched {
    let age = survey.and_then(|it| it.newest_age_ms).map(Span::milliseconds);
    let words = age.map_or("no object".to_owned(), |age| format!("{age} ago"));
    Bound::from(bound).judge("newest", age.as_ref(), words)
}

/// Returns the cause if the store did not list a replica's objects. In this case, nothing is known about the replica.
pub(super) fn no_survey(reply: &Reply) -> Option<Cause> {
    let facts = reply.facts();
    let (status, error) = (facts.status?, facts.s3_error);
    let detail = error.map_or_else(|| "it answers no listing".to_owned(), |it| it.message.clone());
    let s3_code = error.map(|it| it.code.clone());
    facts.survey.is_none().then_some(Cause::Status { status, s3: s3_code, detail })
}

fn bounded(matcher: &str, bound: NumberBound, seen: Option<f64>, nothing: &str) -> Matched {
    let words = seen.map_or(nothing.to_owned(), |it| it.to_string());
    Bound::from(bound).judge(matcher, seen.as_ref(), words)
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::model::Expect;
    use parallax_vocab::answer::{S3Error, S3Reply};
    use parallax_vocab::{Answer, Evidence};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Expected, Seen, judge, judge_look};

    fn expect(value: &Value) -> Expect {
        serde_json::from_value(value.clone()).expect("valid")
    }

    #[test]
    fn a_database_is_sound_and_then_full_enough() {
        let good = json!({"rows": 100, "highest": 100, "integrity": "ok"});
        let empty = json!({"rows": 0, "highest": 0, "integrity": "ok"});
        let damaged = json!({"rows": 0, "highest": 0, "integrity": "file is not a database"});
        for (expected, seen, cause) in [
            (json!({"rows": {"at-least": 100}, "integrity": "ok"}), &good, None),
            (
                json!({"rows": {"at-least": 1, "below": 100}}),
                &good,
                Some("rows: expected 1 or more and below 100, saw 100"),
            ),
            (json!({"rows": {"at-least": 1}, "integrity": "ok"}), &empty, Some("rows: expected 1 or more, saw 0")),
            (
                json!({"rows": {"at-least": 1}, "integrity": "ok"}),
                &damaged,
                Some("integrity: expected ok, saw file is not a database"),
            ),
            (json!({"rows": {"at-least": 1}}), &Value::Null, Some("rows: expected 1 or more, saw no number")),
        ] {
            let said =
                judge_look(Some(&expect(&expected)), &Looked::Database(seen.clone())).cause.map(|it| it.to_string());
            assert_eq!(said.as_deref(), cause, "{expected} {seen}");
        }
    }

    #[test]
    fn a_replica_is_counted_and_its_newest_object_has_an_age() {
        let answer = |survey: Option<Survey>, error: Option<&str>| {
            let error = error.map(|code| S3Error { code: code.to_owned(), message: "words".to_owned() });
            let status = if error.is_some() { 404 } else { 200 };
            let reply = json!({"status": status, "survey": survey, "error": error});
            let reply: S3Reply = serde_json::from_value(reply).expect("a reply");
            Answer { outcome: Ok(Reply::S3(reply)), evidence: Evidence::default() }
        };
        let some = Survey { objects: 7, bytes: 9, newest_age_ms: Some(1_500), ..Survey::default() };
        let both = json!({"objects": {"at-least": 1}, "newest": {"below": "2s"}});
        for (expected, answer, cause) in [
            (&both, answer(Some(some.clone()), None), None),
            (
                &json!({"newest": {"below": "1s"}}),
                answer(Some(some), None),
                Some("newest: expected below 1s, saw 1500ms ago"),
            ),
            (&both, answer(Some(Survey::default()), None), Some("objects: expected 1 or more, saw 0")),
            (
                &json!({"newest": {"below": "1s"}}),
                answer(Some(Survey::default()), None),
                Some("newest: expected below 1s, saw no object"),
            ),
            (&both, answer(None, Some("NoSuchBucket")), Some("status: 404, s3: NoSuchBucket (words)")),
        ] {
            let judged = judge(&Expected::Declared(Box::new(expect(expected))), &answer, &Seen::default());
            assert_eq!(judged.cause.as_ref().map(ToString::to_string).as_deref(), cause, "{expected}");
            assert_eq!(judged.matchers.iter().all(|it| it.held), cause.is_none(), "{expected}");
        }
    }

    #[test]
    fn a_measure_is_bounded() {
        for (expected, value, cause) in [
            (json!({"value": {"at-least": 0}}), 0.0, None),
            (json!({"value": {"at-least": 0}}), -3.0, Some("value: expected 0 or more, saw -3")),
            (json!({"value": {"below": 5}}), 5.5, Some("value: expected below 5, saw 5.5")),
        ] {
            let said = judge_look(Some(&expect(&expected)), &Looked::Number(value)).cause.map(|it| it.to_string());
            assert_eq!(said.as_deref(), cause, "{expected} {value}");
        }
    }
}
