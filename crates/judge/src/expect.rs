//! What one step looked at, against one `expect`.

use std::collections::BTreeMap;

use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate};

use super::altered;
use super::facts::Facts;
use super::look::{Look, Looked};
use super::mutant::{Faulty, Mutant};
use super::observe::Case;
use parallax_language::scenario::model::Expect;

/// What was seen of one step: each matcher, and the cause where one did not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Each matcher of `expect`, in the order in which they are judged.
    pub matchers: Vec<Matched>,
    /// The first layer that failed; none where everything held.
    pub cause: Option<Cause>,
}

impl Judgement {
    /// The first matcher that did not hold although something came back for it.
    pub fn missed(&self) -> Option<&Matched> {
        self.matchers.iter().find(|it| !it.held && !it.unseen)
    }
}

/// What a matcher saw where nothing came back.
pub(super) const NO_ANSWER: &str = "no answer";
/// How many keys of a listing a message shows.
const KEYS_SHOWN: usize = 20;

/// What earlier steps saw, for matchers that compare.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Certificate chains by step id, leaf first.
    pub chains: BTreeMap<String, Vec<Certificate>>,
}

/// How much of a text a message quotes.
const QUOTE_LIMIT: usize = 200;
/// So many characters stand before what was found in a text that is cut.
const BEFORE_FOUND: usize = 40;

/// What a step expects: what it says, or of a step that says nothing that it comes through.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// The step's own `expect`.
    Declared(Box<Expect>),
    /// An S3 operation succeeds: any 2xx. A program succeeds: exit code 0.
    Success,
    /// An answer comes, whatever it is.
    Answer,
}

/// Judges what a step looked at, and shows of each matcher that holds whether it would say no of something else.
pub fn judge<'a>(expected: &Expected, look: impl Into<Look<'a>>, seen: &Seen) -> Judgement {
    judge_shown(expected, look.into(), seen, None)
}

/// The same by a judge that may have a fault.
pub(super) fn judge_shown(expected: &Expected, look: Look<'_>, seen: &Seen, mutant: Option<Mutant>) -> Judgement {
    let others = || altered::looks(look).map(|it| judge_with(expected, it.look(), seen, mutant));
    altered::shown(judge_with(expected, look, seen, mutant), others)
}

/// Judges what a step looked at, as it is.
pub(super) fn judge_once(expected: &Expected, look: Look<'_>, seen: &Seen) -> Judgement {
    judge_with(expected, look, seen, None)
}

/// The same by a judge that may have a fault.
pub(super) fn judge_with(expected: &Expected, look: Look<'_>, seen: &Seen, mutant: Option<Mutant>) -> Judgement {
    let nothing = Expect::default();
    let expect = if let Expected::Declared(expect) = expected { expect } else { &nothing };
    let facts = if let Look::Answer(answer) = look { Facts::of_answer(answer) } else { None };
    let asked = Case { expected, expect, look, facts, seen };
    let implied = asked.implied();
    let declared = expect.wanted().into_iter().map(|it| (Faulty::Matcher(it.matcher()), asked.observe(&it)));
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

/// Judges what was looked at where no vantage was asked. A step that expects nothing expects that there is something to look
/// at.
pub fn judge_look(expect: Option<&Expect>, looked: &Looked) -> Judgement {
    let expected = expect.map_or(Expected::Answer, |it| Expected::Declared(Box::new(it.clone())));
    judge(&expected, looked, &Seen::default())
}

pub(super) fn equal(matcher: &str, expected: String, seen: String) -> Matched {
    Matched::new(matcher, expected == seen, expected, seen)
}

/// Equal to what there is; where there is nothing, nothing is equal to it. `nothing` are the words for that.
pub(super) fn same(matcher: &str, expected: String, seen: Option<String>, nothing: &str) -> Matched {
    let held = seen.as_ref() == Some(&expected);
    Matched::new(matcher, held, expected, seen.unwrap_or_else(|| nothing.to_owned()))
}

/// Whether a text holds the words. Every text holds the empty one, which therefore says nothing of any.
pub(super) fn holds(text: &str, words: &str) -> bool {
    !words.is_empty() && text.contains(words)
}

/// A listing in a message, so that one key with a comma is not two.
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

/// A text in quotes, cut at a sensible length.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LIMIT) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and {} bytes more", &text[..end], text.len() - end),
    }
}

/// A text in quotes, cut so that the part that was found in it is seen, with a little of what stands before.
pub(super) fn quote_around(text: &str, found: &str) -> String {
    let at = text.find(found).unwrap_or(0);
    match text[..at].char_indices().rev().nth(BEFORE_FOUND) {
        Some((begin, _)) if text.chars().nth(QUOTE_LIMIT).is_some() => format!("… {}", quote(&text[begin..])),
        _ => quote(text),
    }
}

#[cfg(test)]
mod tests;
