//! Matchers that nothing can fail: every text holds the empty one, and every object the empty one.

use std::ops::Deref;

use crate::scenario::check::Places;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::{CauseSpec, Expect, Placed, Shape, Wanted};

use super::Subject;

/// Matchers whose text says nothing, by name.
///
/// A body is compared whole, and so is a header: these may be empty. What is of white space alone is as good as empty.
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

/// What a break declares with a text that says nothing.
fn empty_causes(cause: &CauseSpec) -> Vec<&'static str> {
    let all = [
        ("s3", cause.s3.as_deref()),
        ("sts", cause.sts.as_deref()),
        ("mismatch", cause.mismatch.as_deref()),
        ("resource", cause.resource.as_deref()),
        ("client", cause.client.as_deref()),
        ("message", cause.message.as_deref()),
    ];
    says_nothing(&all)
}

fn says_nothing(all: &[(&'static str, Option<&str>)]) -> Vec<&'static str> {
    let blank = |text: Option<&str>| text.is_some_and(|it| it.trim().is_empty());
    all.iter().filter(|(_, text)| blank(*text)).map(|(name, _)| *name).collect()
}

/// Looks at what each step expects.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, .. } in subject.scenario.steps() {
        let Some(expect) = &step.expect else { continue };
        let at = format!("{at}/expect");
        errors.extend(empty_texts(expect).into_iter().map(|name| empty(subject.places, &at, name)));
        if expect.headers.as_ref().is_some_and(indexmap::IndexMap::is_empty) {
            let error = subject.places.key_error(&join(&at, "headers"), "`headers` names no header".to_owned());
            errors.push(error.fix("write what a header must be, for example `headers: { content-type: text/plain }`"));
        }
        let json = expect.json.as_ref().and_then(|it| it.value().as_object());
        if json.is_some_and(serde_json::Map::is_empty) {
            let error = subject.places.key_error(&join(&at, "json"), "`json` holds no field".to_owned());
            errors.push(error.fix("write the part that must be there, for example `json: { status: ok }`"));
        }
        if expect.chain_length == Some(0) {
            let message = "a server that is asked for its chain sends one certificate at the least".to_owned();
            errors.push(subject.places.error(&join(&at, "chain-length"), message).fix("write how many it must send"));
        }
    }
    errors
}

/// Looks at a cause that a break declares at `at`.
pub(super) fn cause(places: &dyn Places, at: &str, cause: &CauseSpec) -> Vec<Diagnostic> {
    empty_causes(cause).into_iter().map(|name| empty(places, at, name)).collect()
}

fn empty(places: &dyn Places, at: &str, name: &str) -> Diagnostic {
    let error = places.error(&join(at, name), format!("`{name}` is empty, so everything is as it says"));
    error.fix("write the words that must be there, or leave it out")
}
