//! Judges what a step observed against the `expect` of the step.

use std::collections::BTreeMap;

use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate};

use super::altered;
use super::facts::Facts;
use super::look::{Look, Looked};
use super::mutant::{Faulty, Mutant};
use super::observe::Case;
use parallax_language::scenario::model::Expect;

/// The judgement of one step: the result of each matcher, and the cause if a matcher did not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The results of all matchers of `expect`, in the order in which the matchers are judged.
    pub matchers: Vec<Matched>,
    /// The cause of the step's failure, by the first layer that failed. `None` if everything held.
    pub cause: Option<Cause>,
}

impl Judgement {
    /// The first matcher that compared a value and did not hold. A matcher that had no value to compare is skipped.
    pub fn missed(&self) -> Option<&Matched> {
        self.matchers.iter().find(|it| !it.held && !it.unseen)
    }
}

/// The text that messages show as the observed value if no answer came.
pub(super) const NO_ANSWER: &str = "no answer";
/// The largest number of keys of a listing that a message shows.
const KEYS_SHOWN: usize = 20;

/// The observations of earlier steps. Some matchers compare the current answer with these observations.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The certificate chains that earlier steps saw, by the id of the step. The leaf is first in each chain.
    pub chains: BTreeMap<String, Vec<Certificate>>,
}

/// The largest number of characters of a text that a message quotes.
const QUOTE_LIMIT: usize = 200;
/// A message about a long text quotes only the part around the words that were searched for. This is the number of
/// characters that it shows before these words.
const BEFORE_FOUND: usize = 40;

/// The expectation of a step: its own `expect`, or the default of the step's kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// The `expect` that the step declares.
    Declared(Box<Expect>),
    /// Success. For an S3 operation this means any status 2xx; for a program, exit code 0.
    Success,
    /// Any answer, even a refusal by the server.
    Answer,
}

/// Judges what a step observed against its expectation. `seen` contains the observations of earlier steps.
pub fn judge<'a>(expected: &Expected, look: impl Into<Look<'a>>, seen: &Seen) -> Judgement {
    judge_with(expected, look.into(), seen, None)
}

/// Marks each matcher that held on the real answer and that fails on an altered answer. The function judges hundreds of
/// altered answers. Therefore call it only for the last try of a step, and on a thread that may block.
pub fn prove<'a>(judgement: Judgement, expected: &Expected, look: impl Into<Look<'a>>, seen: &Seen) -> Judgement {
    prove_with(judgement, expected, look.into(), seen, None)
}

/// Does the same as [`prove`] with a judge that may have a deliberate fault.
pub(super) fn prove_with(
    judgement: Judgement,
    expected: &Expected,
    look: Look<'_>,
    seen: &Seen,
    mutant: Option<Mutant>,
) -> Judgement {
    altered::shown(judgement, || altered::looks(look).map(|it| judge_with(expected, it.look(), seen, mutant)))
}

/// Does the same as [`judge`] with a judge that may have a deliberate fault.
pub(super) fn judge_with(expected: &Expected, look: Look<'_>, seen: &Seen, mutant: Option<Mutant>) -> Judgement {
    let nothing = Expect::default();
    let expect = if let Expected::Declared(expect) = expected { expect } else { &nothing };
    let facts = if let Look::Answer(answer) = look { Facts::of_answer(answer) } else { None };
    let asked = Case { expected, expect, look, facts, seen };
    let implied = asked.implied();
    let declared = expect.wanted().into_iter().map(|it| (Faulty::Matcher(it.matcher()), asked.observe(&it).matched));
    let mut matchers = Vec::new();
    for (of, mut observed) in implied.into_iter().chain(declared) {
        if let Some(mutant) = mutant {
            mutant.touch(of, &mut observed);
        }
        matchers.append(&mut observed);
    }
    let failed = matchers.iter().find(|it| !it.held);
    let cause = asked.failure().or_else(|| failed.map(|it| asked.cause(it)));
    Judgement { matchers, cause }
}

/// Judges a step that reads something itself (an object, a log, a number) instead of asking a vantage. If the step has
/// no `expect`, it passes as soon as there is something to read.
pub fn judge_look(expect: Option<&Expect>, looked: &Looked) -> Judgement {
    let expected = expect.map_or(Expected::Answer, |it| Expected::Declared(Box::new(it.clone())));
    judge(&expected, looked, &Seen::default())
}

pub(super) fn equal(matcher: &str, expected: String, seen: String) -> Matched {
    Matched::new(matcher, expected == seen, expected, seen)
}

/// Compares the observed value with the expected value. If there is no observed value, the matcher does not hold, and
/// messages show `nothing` instead.
pub(super) fn same(matcher: &str, expected: String, seen: Option<String>, nothing: &str) -> Matched {
    let held = seen.as_ref() == Some(&expected);
    Matched::new(matcher, held, expected, seen.unwrap_or_else(|| nothing.to_owned()))
}

/// Whether `text` contains `words`. The result is false if `words` is empty: every text contains the empty string, so
/// such a matcher would check nothing.
pub(super) fn holds(text: &str, words: &str) -> bool {
    !words.is_empty() && text.contains(words)
}

/// Formats the keys of a listing for a message. A key that contains a separator is quoted, so that a key with a comma
/// does not look like two keys.
pub(super) fn listed(keys: &[String]) -> String {
    let plain =
        |key: &String| !key.is_empty() && !key.contains([',', ' ', '"', '\\']) && !key.contains(char::is_control);
    let shown = keys.iter().take(KEYS_SHOWN).map(|key| if plain(key) { key.clone() } else { format!("{key:?}") });
    let mut words = shown.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = keys.len().checked_sub(KEYS_SHOWN) {
        words = format!("{words} and {more} more");
    }
    if keys.is_empty() { "none".to_owned() } else { words }
}

/// Puts a text in quotes, and cuts it after [`QUOTE_LIMIT`] characters.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LIMIT) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and {} bytes more", &text[..end], text.len() - end),
    }
}

/// Puts a text in quotes. A long text is cut in such a way that the words `found` in it stay visible, with some
/// characters before them.
pub(super) fn quote_around(text: &str, found: &str) -> String {
    let at = text.find(found).unwrap_or(0);
    match text[..at].char_indices().rev().nth(BEFORE_FOUND) {
        Some((begin, _)) if text.chars().nth(QUOTE_LIMIT).is_some() => format!("… {}", quote(&text[begin..])),
        _ => quote(text),
    }
}

#[cfg(test)]
mod tests;
