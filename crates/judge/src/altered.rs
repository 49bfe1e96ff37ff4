//! Altered answers. A matcher that held is judged again on answers that differ in one place from the real answer. If
//! the matcher holds on all altered answers, nothing has shown that it compares a value. The proof by an altered answer
//! is weaker than the proof by a break, because it tests only the judge and not the system. Therefore the two proofs
//! are recorded separately.

use std::collections::BTreeSet;

use jsonptr::Token;
use parallax_vocab::answer::{DnsReply, Reply};
use parallax_vocab::tally::Tally;
use parallax_vocab::{Answer, Cause, DnsFault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value, json};

use super::expect::Judgement;
use super::figures;
use super::look::{Look, Looked};

/// An address that is reserved for documentation (RFC 5737), so no network of a run uses it.
const ELSEWHERE: [u8; 4] = [192, 0, 2, 1];
/// Replacements for a text: arbitrary texts, and texts that are valid values of typed fields (an address, an enum).
const TEXTS: [&str; 4] = ["another text", "192.0.2.1", "unknown-key", "forged"];
/// Replacements for a number. They lie on both sides of any bound that a scenario is likely to have.
const NUMBERS: [i64; 4] = [0, -1, 1, 4_000_000_000_000];

/// Marks each matcher that held on the real answer and that fails on at least one altered answer. `altered` returns the
/// judgements of the altered answers. A judgement with a cause is returned unchanged, because the step failed on its
/// real answer, which is a better proof.
pub(super) fn shown<I>(mut judgement: Judgement, altered: impl FnOnce() -> I) -> Judgement
where
    I: Iterator<Item = Judgement>,
{
    if judgement.cause.is_some() || judgement.matchers.is_empty() {
        return judgement;
    }
    let mut open: BTreeSet<String> = judgement.matchers.iter().map(|it| it.matcher.clone()).collect();
    for other in altered() {
        for red in other.matchers.into_iter().filter(|it| !it.held && !it.unseen) {
            if open.remove(&red.matcher) {
                let same = judgement.matchers.iter_mut().filter(|it| it.matcher == red.matcher);
                same.for_each(|it| it.altered = true);
            }
        }
        if open.is_empty() {
            break;
        }
    }
    judgement
}

/// An altered copy of what a step's matchers read: the answer, a prober's counts, or something else such as an object.
#[derive(Debug)]
pub(super) enum Altered {
    Answer(Box<Answer>),
    Tally(Tally),
    Other(Looked),
}

impl Altered {
    pub(super) fn look(&self) -> Look<'_> {
        match self {
            Self::Answer(it) => Look::Answer(it),
            Self::Tally(it) => Look::Tally(it),
            Self::Other(it) => Look::Other(it),
        }
    }
}

/// Returns all altered copies of what a step's matchers read. Each copy differs from the original in one place.
pub(super) fn looks(look: Look<'_>) -> Box<dyn Iterator<Item = Altered>> {
    match look {
        Look::Answer(answer) => Box::new(answers(answer).map(|it| Altered::Answer(Box::new(it)))),
        Look::Tally(tally) => Box::new(leaves(tally).map(Altered::Tally)),
        Look::Other(looked) => Box::new(others_of(looked).map(Altered::Other)),
    }
}

fn others_of(looked: &Looked) -> Box<dyn Iterator<Item = Looked>> {
    match looked {
        Looked::Object { resource, object } => {
            let there = object.is_none().then(|| Value::Object(serde_json::Map::new()));
            let (others, resource) = (object.as_ref().map(leaves), resource.clone());
            let others = others.into_iter().flatten().chain(there);
            Box::new(others.map(move |it| Looked::Object { resource: resource.clone(), object: Some(it) }))
        }
        Looked::Log { resource, log, .. } => {
            let of = |log| Looked::Log { resource: resource.clone(), log, missing: None };
            Box::new(log.others().into_iter().map(of).collect::<Vec<_>>().into_iter())
        }
        // Each altered event is the only one in its list. If the list also contained original events, one of them could
        // satisfy the matcher.
        Looked::Events { resource, events, .. } => {
            let of = |it| Looked::Events { resource: resource.clone(), events: vec![it], missing: None };
            Box::new(events.iter().flat_map(leaves).map(of).collect::<Vec<_>>().into_iter())
        }
        Looked::Database(seen) => Box::new(leaves(seen).map(Looked::Database)),
        Looked::Numbers(list) => {
            let others = leaves(&figures::items(list)).map(|it| Value::Array(it).to_string());
            // Two further lists contain a single number each: the first number is below every bound, and the second is
            // above every bound.
            let alone = [f64::MIN, f64::MAX].map(|it| it.to_string());
            Box::new(others.chain(alone).map(Looked::Numbers))
        }
        Looked::Number(value) => Box::new(leaves(value).map(Looked::Number)),
    }
}

/// Returns copies of the answer that differ from it in one place, and further answers with another outcome: a DNS
/// reply, a DNS failure and a client failure.
fn answers(answer: &Answer) -> impl Iterator<Item = Answer> + use<> {
    let elsewhere =
        Reply::Dns(DnsReply { addresses: vec![ELSEWHERE.into()], cnames: vec![], ttl_s: 1, searched: None });
    let replies = [Answer { outcome: Ok(elsewhere), ..answer.clone() }];
    let causes = [
        Cause::Dns { fault: DnsFault::ServerFailure, detail: String::new() },
        Cause::Client { detail: "another sentence".to_owned() },
    ];
    let causes = causes.map(|cause| Answer { outcome: Err(cause), ..answer.clone() });
    // An empty listing has no JSON value that could be altered, so a copy with one entry is added.
    let listed = answer.reply().and_then(|it| it.with_entry("another key"));
    let listed = listed.map(|reply| Answer { outcome: Ok(reply), ..answer.clone() });
    leaves(answer).chain(replies).chain(causes).chain(listed)
}

/// Returns copies of `value` that each differ in one place of its JSON. Copies that the type `T` cannot represent are
/// left out.
fn leaves<T: Serialize + DeserializeOwned>(value: &T) -> impl Iterator<Item = T> + use<T> {
    let whole = serde_json::to_value(value).unwrap_or_default();
    let mut places = Vec::new();
    places_of(&whole, &mut String::new(), &mut places);
    places.into_iter().flat_map(move |place| {
        let others = whole.pointer(&place).map(others).unwrap_or_default();
        let whole = whole.clone();
        others.into_iter().filter_map(move |other| {
            let mut altered = whole.clone();
            *altered.pointer_mut(&place)? = other;
            serde_json::from_value(altered).ok()
        })
    })
}

/// Collects the JSON pointers to all values in `value`. Lists and maps are included too, because they can be replaced
/// by empty ones.
fn places_of(value: &Value, at: &mut String, places: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value, at: &mut String| {
        let length = at.len();
        at.push('/');
        at.push_str(Token::new(key).encoded());
        places_of(value, at, places);
        at.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value, at)),
        Value::Array(items) => items.iter().enumerate().for_each(|(key, value)| below(&key.to_string(), value, at)),
        _ => {}
    }
    places.push(at.clone());
}

/// Returns replacements for a value, each of which differs from it.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![json!("another text")],
        Value::Bool(it) => vec![json!(!it)],
        Value::Number(it) => {
            let mut all: Vec<Value> = NUMBERS.iter().map(|it| json!(it)).collect();
            all.extend(it.as_i64().and_then(|it| it.checked_add(1)).map(|it| Value::Number(Number::from(it))));
            all.retain(|other| other != value);
            all
        }
        Value::String(it) => TEXTS.iter().filter(|other| *other != it).map(|other| json!(other)).collect(),
        // The replacements are an empty list, and a list that contains every entry twice. The second one still contains
        // the expected entries, so only a matcher that compares the length fails on it.
        Value::Array(items) if !items.is_empty() => {
            vec![json!([]), Value::Array([items.clone(), items.clone()].concat())]
        }
        Value::Array(_) => vec![json!(["another text"])],
        Value::Object(_) => vec![json!({})],
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::event::Matched;

    use super::*;

    #[test]
    fn each_leaf_is_altered_and_what_the_type_does_not_take_is_left_out() {
        let altered: Vec<(u8, bool)> = leaves(&(7_u8, true)).collect();
        assert_eq!(altered, [(0, true), (1, true), (8, true), (7, false)]);
        let altered: Vec<Value> = leaves(&json!({ "a/b": [1] })).collect();
        assert!(
            [json!([2]), json!([]), json!([1, 1])].iter().all(|it| altered.contains(&json!({ "a/b": it }))),
            "{altered:?}"
        );
    }

    #[test]
    fn an_empty_list_that_is_not_recorded_gets_an_entry() {
        let reply = json!({ "s3": { "status": 200 } });
        let answer =
            Answer { outcome: Ok(serde_json::from_value(reply).expect("valid")), evidence: Evidence::default() };
        let with_keys = |it: &Answer| it.reply().and_then(|it| it.facts().keys).is_some_and(|it| !it.is_empty());
        assert!(!with_keys(&answer));
        assert!(answers(&answer).any(|it| with_keys(&it)));
    }

    #[test]
    fn only_a_matcher_that_an_altered_answer_turns_red_is_shown() {
        let judged = |body: bool, status: bool| Judgement {
            matchers: vec![Matched::new("body", body, "", ""), Matched::new("status", status, "", "")],
            cause: None,
        };
        let shown_by = |others: Vec<Judgement>| {
            let judgement = shown(judged(true, true), || others.into_iter());
            judgement.matchers.iter().map(|it| it.altered).collect::<Vec<_>>()
        };
        assert_eq!(shown_by(vec![]), [false, false]);
        assert_eq!(shown_by(vec![judged(true, true), judged(false, true)]), [true, false]);
        let unseen = Judgement { matchers: vec![Matched::unseen("status", "", "")], cause: None };
        assert_eq!(shown_by(vec![unseen]), [false, false]);
    }
}
