//! A database and its replica, against one `expect`.

use parallax_vocab::Cause;
use parallax_vocab::answer::{Answer, Reply, Survey};
use parallax_vocab::event::Matched;
use serde_json::Value;

use super::altered;
use super::bound::Bound;
use super::expect::{Judgement, equal};
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{Expect, NumberBound};

/// Judges what `parallax-writer look` says of a database, as JSON.
pub fn judge_sqlite(expect: &Expect, seen: &Value) -> Judgement {
    let others = || altered::leaves(seen).map(|it| judge_sqlite_once(expect, &it));
    altered::shown(judge_sqlite_once(expect, seen), others)
}

fn judge_sqlite_once(expect: &Expect, seen: &Value) -> Judgement {
    let mut matchers = Vec::new();
    // What SQLite says of the file comes first: of a damaged one, the rest says nothing.
    if let Some(wanted) = &expect.integrity {
        matchers.push(match seen["integrity"].as_str() {
            Some(said) => equal("integrity", wanted.clone(), said.to_owned()),
            None => Matched::unseen("integrity", wanted, "nothing"),
        });
    }
    if let Some(bound) = expect.rows {
        matchers.push(bounded("rows", bound, seen["rows"].as_f64(), "no number"));
    }
    Judgement::of(matchers)
}

/// Judges what there is of a replica.
pub fn judge_replica(expect: &Expect, answer: &Answer) -> Judgement {
    let others = || altered::answers(answer).map(|it| judge_replica_once(expect, &it));
    altered::shown(judge_replica_once(expect, answer), others)
}

fn judge_replica_once(expect: &Expect, answer: &Answer) -> Judgement {
    let survey = match &answer.reply {
        Some(Reply::S3(s3)) => s3.survey.as_ref().ok_or_else(|| {
            let error = s3.error.as_ref();
            let detail = error.map_or_else(|| "it answers no listing".to_owned(), |it| it.message.clone());
            Cause::Status { status: s3.status, s3: error.map(|it| it.code.clone()), detail }
        }),
        _ => Err(answer.cause.clone().unwrap_or(Cause::Client { detail: "the probe gave no answer".to_owned() })),
    };
    let none = Survey::default();
    let (survey, cause) = match survey {
        Ok(survey) => (survey, None),
        Err(cause) => (&none, Some(cause)),
    };
    let mut matchers = Vec::new();
    if let Some(bound) = expect.objects {
        #[expect(clippy::cast_precision_loss, reason = "a store with 2^53 objects is not read to its end")]
        let objects = cause.is_none().then_some(survey.objects as f64);
        matchers.push(bounded("objects", bound, objects, "no listing"));
    }
    if let Some(bound) = expect.newest {
        let age = survey.newest_age_ms.map(Span::milliseconds);
        let words = age.map_or("no object".to_owned(), |age| format!("{age} ago"));
        matchers.push(Bound::from(bound).judge("newest", age.as_ref(), words));
    }
    let judged = Judgement::of(matchers);
    Judgement { cause: cause.or(judged.cause), ..judged }
}

/// Judges a measured number.
pub fn judge_measure(expect: &Expect, value: f64) -> Judgement {
    let others = || altered::leaves(&value).map(|it| judge_measure_once(expect, it));
    altered::shown(judge_measure_once(expect, value), others)
}

fn judge_measure_once(expect: &Expect, value: f64) -> Judgement {
    let bound = expect.value.into_iter();
    Judgement::of(bound.map(|bound| bounded("value", bound, Some(value), "no number")).collect())
}

fn bounded(matcher: &str, bound: NumberBound, seen: Option<f64>, nothing: &str) -> Matched {
    let words = seen.map_or(nothing.to_owned(), |it| it.to_string());
    Bound::from(bound).judge(matcher, seen.as_ref(), words)
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::answer::{S3Error, S3Reply};
    use serde_json::json;

    use super::*;

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
            let said = judge_sqlite(&expect(&expected), seen).cause.map(|it| it.to_string());
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
            Answer { reply: Some(Reply::S3(reply)), cause: None, evidence: Evidence::default() }
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
            let judged = judge_replica(&expect(expected), &answer);
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
            let said = judge_measure(&expect(&expected), value).cause.map(|it| it.to_string());
            assert_eq!(said.as_deref(), cause, "{expected} {value}");
        }
    }
}
