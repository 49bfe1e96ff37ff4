//! Finds matchers that always hold: every text contains the empty text, and every object contains the empty object.

use std::ops::Deref;

use crate::scenario::check::Places;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::{CauseSpec, Expect, Placed, Shape, Wanted};

use super::Subject;

/// The names of the matchers whose text is empty.
///
/// A body and a header are compared as a whole, so they may be empty. A text of only white space counts as empty.
pub fn empty_texts<Text, Tree, Chain>(expect: &Expect<Text, Tree, Chain>) -> Vec<&'static str>
where
    Text: Deref<Target = str>,
    Chain: Deref<Target = str>,
{
    let empty = |wanted: &Wanted<'_, Text, Tree, Chain>| match wanted.shape() {
        Shape::Words(text) => text.trim().is_empty(),
        Shape::Whole | Shape::Each | Shape::Part | Shape::Span(_) | Shape::Number(_) | Shape::Plain => false,
    };
    expect.wanted().iter().filter(|it| empty(it)).map(|it| it.matcher().name()).collect()
}

/// The names of the causes of a break whose text is empty.
fn empty_causes(cause: &CauseSpec) -> Vec<&'static str> {
    let all = [
        ("s3", cause.s3.as_deref()),
        ("sts", cause.sts.as_deref()),
        ("mismatch", cause.mismatch.as_deref()),
        ("resource", cause.resource.as_deref()),
        ("client", cause.client.as_deref()),
        ("message", cause.message.as_deref()),
    ];
    blank_names(&all)
}

fn blank_names(all: &[(&'static str, Option<&str>)]) -> Vec<&'static str> {
    let blank = |text: Option<&str>| text.is_some_and(|it| it.trim().is_empty());
    all.iter().filter(|(_, text)| blank(*text)).map(|(name, _)| *name).collect()
}

/// Checks the expectations of each step.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, .. } in subject.scenario.steps() {
        let Some(expect) = &step.expect else { continue };
        let at = format!("{at}/expect");
        errors.extend(empty_texts(expect).into_iter().map(|name| empty(subject.places, &at, name)));
        if expect.headers.as_ref().is_some_and(indexmap::IndexMap::is_empty) {
            let error = subject.places.key_error(&join(&at, "headers"), "`headers` has no header".to_owned());
            errors.push(error.fix("add a header with its value, for example `headers: { content-type: text/plain }`"));
        }
        let json = expect.json.as_ref().and_then(|it| it.value().as_object());
        if json.is_some_and(serde_json::Map::is_empty) {
            let error = subject.places.key_error(&join(&at, "json"), "`json` has no field".to_owned());
            errors.push(error.fix("add the part that the output must contain, for example `json: { status: ok }`"));
        }
        if expect.chain_length == Some(0) {
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

/// Checks a cause that a break declares at `at`.
pub(super) fn cause(places: &dyn Places, at: &str, cause: &CauseSpec) -> Vec<Diagnostic> {
    empty_causes(cause).into_iter().map(|name| empty(places, at, name)).collect()
}

fn empty(places: &dyn Places, at: &str, name: &str) -> Diagnostic {
    let error = places.error(&join(at, name), format!("`{name}` is empty, so it always holds"));
    error.fix("write the expected text, or remove it")
}
