//! Rules about keys: exactly one key of a set must be present, or a key needs another key. A schema could express these
//! rules, but the messages of its validator would not help the author.

use serde_json::Value;

use super::action::{NEEDS, ONE_OF};
use super::check::Places;
use super::diagnostic::{Diagnostic, list};
use super::document::join;
use super::meaning;
use super::schema::Form;

/// The rule for a type of the scenario that exactly one of several keys must be given.
#[derive(Clone, Copy, Debug)]
pub struct OneOf {
    /// The name, in the schema, of the type to which the rule applies.
    pub of: &'static str,
    /// The word for the thing that the keys give, for messages: `target`, `workload`.
    pub what: &'static str,
    /// The keys, of which exactly one must be given.
    pub keys: &'static [&'static str],
    /// Builds the error for a value that has none of the rule's keys. The second argument lists all these keys.
    pub none: fn(&Place<'_>, &str) -> Wrong,
    /// Builds the error for a value that has two of the rule's keys. The last two arguments are these two keys.
    pub two: fn(&Place<'_>, &str, &str) -> Wrong,
}

/// The rule for a type of the scenario that a key is valid only together with another key.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The name, in the schema, of the type to which the rule applies.
    pub of: &'static str,
    /// The key that is valid only together with `other`.
    pub key: &'static str,
    /// The key that `key` needs.
    pub other: &'static str,
    /// Builds the error for a value that has `key` without `other`.
    pub wrong: fn(&Place<'_>) -> Wrong,
}

/// A value of a scenario to which a rule is applied, and its key.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The key under which the value is written.
    pub key: &'a str,
    /// The value to which the rule is applied.
    pub value: &'a Value,
}

/// An error in a part of a value: the place of the part within the value, the message and the fix.
#[derive(Clone, Debug)]
pub struct Wrong {
    below: String,
    at_key: bool,
    message: String,
    fix: String,
}

impl Wrong {
    /// Returns an error in the value at `below`, a JSON pointer relative to the checked value.
    pub fn value(below: &str, message: String, fix: impl Into<String>) -> Self {
        Self { below: below.to_owned(), at_key: false, message, fix: fix.into() }
    }

    /// Returns an error in the key at `below`, a JSON pointer relative to the checked value.
    pub fn key(below: &str, message: String, fix: impl Into<String>) -> Self {
        Self { at_key: true, ..Self::value(below, message, fix) }
    }

    /// Returns the diagnostic for this error. `at` is the JSON pointer of the checked value.
    fn diagnostic(self, at: &str, places: &dyn Places) -> Diagnostic {
        let Self { below, at_key, message, fix } = self;
        let at = format!("{at}{below}");
        let error = if at_key { places.key_error(&at, message) } else { places.error(&at, message) };
        error.fix(fix)
    }
}

impl<'a> Place<'a> {
    fn of(value: &'a Value, at: &'a str) -> Self {
        Self { key: at.rsplit('/').next().unwrap_or(at), value }
    }
}

/// Checks the rules about keys in the flow of a scenario whose shape is valid.
pub(super) fn check(scenario: &Value, places: &dyn Places) -> Vec<Diagnostic> {
    let flow = scenario["flow"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(error) = meaning::long_flow(flow.len(), places) {
        return vec![error];
    }
    let mut errors = Vec::new();
    for (index, step) in flow.iter().enumerate() {
        walk(step, Form::step(), &format!("/flow/{index}"), places, &mut errors);
    }
    errors
}

fn walk(value: &Value, form: Form, at: &str, places: &dyn Places, errors: &mut Vec<Diagnostic>) {
    match value {
        Value::Object(map) => {
            let rules = ONE_OF.iter().copied().flatten().filter(|rule| form.is(rule.of));
            rules.for_each(|rule| exactly_one(rule, value, at, places, errors));
            let rules = NEEDS.iter().copied().flatten().filter(|rule| form.is(rule.of));
            let unmet = rules.filter(|rule| map.contains_key(rule.key) && !map.contains_key(rule.other));
            let wrong = unmet.map(|rule| (rule.wrong)(&Place::of(value, at)));
            errors.extend(wrong.map(|wrong| wrong.diagnostic(at, places)));
            for (key, it) in map {
                let form = form.below(key);
                if form.is_known() {
                    walk(it, form, &join(at, key), places, errors);
                }
            }
        }
        Value::Array(items) => {
            for (index, it) in items.iter().enumerate() {
                walk(it, form.entry(), &format!("{at}/{index}"), places, errors);
            }
        }
        _ => {}
    }
}

fn exactly_one(rule: &OneOf, value: &Value, at: &str, places: &dyn Places, errors: &mut Vec<Diagnostic>) {
    let place = Place::of(value, at);
    let given: Vec<&str> = rule.keys.iter().copied().filter(|key| value.get(key).is_some()).collect();
    let wrong = match given.as_slice() {
        [_] => return,
        [] => vec![(rule.none)(&place, &list(rule.keys))],
        [first, more @ ..] => more.iter().map(|second| (rule.two)(&place, first, second)).collect(),
    };
    errors.extend(wrong.into_iter().map(|wrong| wrong.diagnostic(at, places)));
}
