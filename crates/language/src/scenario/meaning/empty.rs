//! Finds matchers that always hold because their value is empty. Every text contains the empty text, and every object
//! contains the empty object.

use std::ops::Deref;

use crate::scenario::check::Places;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::{CauseSpec, Expect, Fields, Matcher, Placed, Shape, Wanted};
use crate::scenario::number::Number;

use super::Subject;

/// Returns the names of the matchers in `expect` that always hold because their text is empty.
///
/// The matchers of a body and of a header are not reported: these texts are compared as a whole, so they may be empty.
/// A text of only white space counts as empty.
pub fn empty_texts<Text, Tree, Chain, Open>(expect: &Expect<Text, Tree, Chain, Open>) -> Vec<&'static str>
where
    Text: Deref<Target = str>,
    Tree: Fields,
    Chain: Deref<Target = str>,
{
    let empty = |wanted: &Wanted<'_, Text, Tree, Chain, Open>| match wanted.shape() {
        Shape::Words(text) => text.trim().is_empty(),
        // A matcher of one of these shapes has no text, or a text that may be empty.
        Shape::Whole
        | Shape::Span(_)
        | Shape::Number(_)
        | Shape::Plain
        | Shape::Each(_)
        | Shape::Fields(_)
        | Shape::Part(_) => false,
    };
    expect.wanted().iter().filter(|it| empty(it)).map(|it| it.matcher().name()).collect()
}

/// Returns the keys of a declared cause whose text is empty. An empty text would match every failure.
fn empty_causes(cause: &CauseSpec) -> Vec<&'static str> {
    // All fields are named, so that the compiler reports a new field here. The fields bound to `_` have no text that
    // could be empty.
    let CauseSpec { s3, sts, mismatch, resource, client, message, dns: _, connect: _, tls: _, status: _, exit: _ } =
        cause;
    let all = [
        ("s3", s3.as_deref()),
        ("sts", sts.as_deref()),
        ("mismatch", mismatch.as_deref()),
        ("resource", resource.as_deref()),
        ("client", client.as_deref()),
        ("message", message.as_deref()),
    ];
    blank_names(&all)
}

fn blank_names(all: &[(&'static str, Option<&str>)]) -> Vec<&'static str> {
    let blank = |text: Option<&str>| text.is_some_and(|it| it.trim().is_empty());
    all.iter().filter(|(_, text)| blank(*text)).map(|(name, _)| *name).collect()
}

/// Checks that no matcher in the `expect` of a step has an empty value.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, .. } in subject.scenario.steps() {
        let Some(expect) = &step.expect else { continue };
        let at = format!("{at}/expect");
        errors.extend(empty_texts(expect).into_iter().map(|name| empty(subject.places, &at, name)));
        for wanted in expect.wanted() {
            let empty = match wanted.shape() {
                Shape::Each(empty) | Shape::Fields(empty) | Shape::Part(empty) => empty,
                Shape::Words(_) | Shape::Whole | Shape::Span(_) | Shape::Number(_) | Shape::Plain => false,
            };
            if empty {
                let name = wanted.matcher().name();
                let (what, fix) = without_fields(wanted.matcher());
                let error = subject.places.key_error(&join(&at, name), format!("`{name}` has no {what}"));
                errors.push(error.fix(fix));
            }
        }
        if expect.chain_length.as_ref().and_then(Number::known) == Some(0) {
            let message = "a certificate chain has at least one certificate".to_owned();
            errors.push(
                subject
                    .places
                    .error(&join(&at, "chain-length"), message)
                    .fix("write the number of certificates that the server must send"),
            );
        }
    }
    errors
}

/// Returns two texts for a matcher without fields: the word for the part that is missing, and the fix with an example.
fn without_fields(matcher: Matcher) -> (&'static str, &'static str) {
    match matcher {
        Matcher::Headers => {
            ("header", "add a header with its value, for example `headers: { content-type: text/plain }`")
        }
        Matcher::Json => ("field", "add the part that the output must contain, for example `json: { status: ok }`"),
        Matcher::Claims => {
            ("claim", "add a claim that the token must have, for example `claims: { aud: [sts.amazonaws.com] }`")
        }
        Matcher::Object => {
            ("field", "add a field that the object must have, for example `object: { spec: { replicas: 1 } }`")
        }
        _ => ("field", "add a field with the value that it must have"),
    }
}

/// Checks that no text in the cause that a break declares at `at` is empty.
pub(super) fn cause(places: &dyn Places, at: &str, cause: &CauseSpec) -> Vec<Diagnostic> {
    empty_causes(cause).into_iter().map(|name| empty(places, at, name)).collect()
}

fn empty(places: &dyn Places, at: &str, name: &str) -> Diagnostic {
    let error = places.error(&join(at, name), format!("`{name}` is empty, so it always holds"));
    error.fix("write the expected text, or remove it")
}
