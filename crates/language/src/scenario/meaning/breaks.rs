//! Breaks: whether what a break expects can come about, and whether it can be told from another.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::readiness::is_readiness;
use super::references::dependencies;
use crate::fixture::Library;
use crate::scenario::change::Touched;
use crate::scenario::check::Places;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::document::{Document, join};
use crate::scenario::model::{Break, CauseSpec, Scenario, Step, WrittenExpect};

/// What a break says about the changed flow.
pub struct Expectations<'a> {
    /// Its id.
    pub id: &'a str,
    /// The break as written.
    pub spec: &'a Break,
    /// The scenario as it was written.
    pub baseline: &'a Scenario,
    /// The scenario with the change.
    pub changed: &'a Scenario,
    /// What the change touches.
    pub touches: &'a Touched,
    /// The fixtures there are.
    pub library: &'a Library,
    /// The file.
    pub document: &'a Document,
}

/// Checks `fails` and `blocks` against the changed flow.
pub fn expectations(it: &Expectations<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let at = join("/breaks", it.id);
    if it.spec.fails.is_empty() {
        let error = it.document.key_error(&join(&at, "fails"), format!("the break `{}` lets nothing fail", it.id));
        errors
            .push(error.fix("name the steps that must fail, each with its cause: `fails: { STEP: { status: 403 } }`"));
    }
    errors.extend(super::readiness::check(it, &at));
    for (id, cause) in &it.spec.fails {
        errors.extend(super::empty::cause(it.document, &join(&join(&at, "fails"), id), cause));
    }
    for (id, cause) in it.spec.fails.iter().filter(|(id, _)| !is_readiness(id)) {
        let pointer = join(&join(&at, "fails"), id);
        match it.changed.step(id) {
            Some(step) => errors.extend(self::cause(it.document, &pointer, step, cause)),
            None => errors.push(it.missing(id, &pointer)),
        }
    }
    for (index, id) in it.spec.blocks.iter().enumerate() {
        let pointer = format!("{at}/blocks/{index}");
        if it.changed.step(id).is_none() {
            errors.push(it.missing(id, &pointer));
        } else if it.spec.fails.contains_key(id) {
            let error = it.document.error(&pointer, format!("step `{id}` is in both `fails` and `blocks`"));
            errors.push(error.fix("a blocked step is not reached, so it cannot fail: keep one of the two"));
        }
    }
    // Where a readiness fails, no step is reached, and that is said above.
    if !it.spec.fails.keys().any(|what| is_readiness(what)) {
        errors.extend(blocked(it, &at));
    }
    errors
}

impl Expectations<'_> {
    fn missing(&self, id: &str, pointer: &str) -> Diagnostic {
        if self.baseline.step(id).is_some() {
            let error = self.document.key_error(pointer, format!("step `{id}` is removed by this break"));
            return error.fix("what is removed neither fails nor is blocked: leave it out");
        }
        let steps = self.changed.steps();
        let known = steps.iter().map(|it| it.step.id.as_str());
        self.document.key_error(pointer, format!("there is no step `{id}`")).fix(suggest(id, known, "steps"))
    }
}

/// `blocks` holds exactly the steps that depend on a failing one.
fn blocked(it: &Expectations<'_>, at: &str) -> Vec<Diagnostic> {
    let mut unreached: BTreeSet<&str> = it.spec.fails.keys().map(String::as_str).collect();
    let mut must: Vec<(&str, String)> = Vec::new();
    for step in it.changed.steps().into_iter().map(|it| it.step) {
        let failing = dependencies(it.changed, step).into_iter().find(|id| unreached.contains(id.as_str()));
        if let Some(failing) = failing.filter(|_| !it.spec.fails.contains_key(&step.id)) {
            unreached.insert(&step.id);
            must.push((&step.id, failing.as_str().to_owned()));
        }
    }
    let mut errors = Vec::new();
    let missing: Vec<&(&str, String)> =
        must.iter().filter(|(id, _)| !it.spec.blocks.iter().any(|block| block == id)).collect();
    if !missing.is_empty() {
        let pointer = if it.spec.blocks.is_empty() { join(at, "fails") } else { join(at, "blocks") };
        let why = missing.iter().map(|(id, failing)| format!("`{id}` depends on `{failing}`"));
        let message = format!("{}: not reached either", why.collect::<Vec<_>>().join(", "));
        let all: Vec<&str> = must.iter().map(|(id, _)| *id).collect();
        errors.push(it.document.key_error(&pointer, message).fix(format!("write `blocks: [{}]`", all.join(", "))));
    }
    for (index, id) in it.spec.blocks.iter().enumerate() {
        let known = it.changed.step(id).is_some() && !it.spec.fails.contains_key(id);
        if known && !must.iter().any(|(must, _)| must == id) {
            let message = format!("step `{id}` depends on no step that fails, so it is not blocked");
            let error = it.document.error(&format!("{at}/blocks/{index}"), message);
            errors.push(error.fix(format!("leave it out, or give it `needs: [{}]`", first(&it.spec.fails))));
        }
    }
    errors
}

fn first(fails: &IndexMap<String, CauseSpec>) -> &str {
    fails.keys().next().map_or("…", String::as_str)
}

fn cause(document: &Document, at: &str, step: &Step, cause: &CauseSpec) -> Vec<Diagnostic> {
    let mut errors = layers(document, at, &step.id, step.kind().key(), step.nature().causes, cause);
    let expect = step.expect.as_ref();
    if let Some(matcher) = &cause.mismatch {
        let given = expect.into_iter().flat_map(WrittenExpect::wanted).flat_map(|it| it.names());
        // What was captured is a matcher too, and so is that it stays.
        let captures = step.capture.keys().map(|name| format!("capture.{name}"));
        let given: Vec<String> = given.chain(captures).chain(step.stays.map(|_| "stays".to_owned())).collect();
        if !given.contains(matcher) {
            let message = format!("`{}` does not expect `{matcher}`, so that cannot mismatch", step.id);
            let error = document.error(&join(at, "mismatch"), message);
            errors.push(error.fix(suggest(matcher, given.iter().map(String::as_str), "it expects")));
        }
    }
    if let (Some(faults), Some(expected)) = (&cause.dns, expect.and_then(|expect| expect.dns))
        && faults.0.contains(&expected)
    {
        let message = format!("`{}` expects this fault, so it is no failure", step.id);
        let error = document.error(&join(at, "dns"), message);
        errors.push(error.fix("name the fault that comes instead, or `mismatch: dns` where the name then resolves"));
    }
    let expected = expect.and_then(|expect| expect.status);
    if cause.status.is_some() && cause.status == expected {
        let message = format!("`{}` expects this status, so it is no failure", step.id);
        errors.push(document.error(&join(at, "status"), message).fix("name the status that comes instead"));
    }
    let succeeds = expect.and_then(|expect| expect.exit).unwrap_or_default();
    if cause.exit == Some(succeeds) {
        let message = format!("`{}` expects this exit code, so it is no failure", step.id);
        errors.push(document.error(&join(at, "exit"), message).fix("name the exit code that comes instead"));
    }
    errors
}

/// Whether a cause is one of those that `what` (an action, a readiness) can fail with.
pub(super) fn layers(
    document: &Document,
    at: &str,
    id: &str,
    what: &str,
    possible: &[&str],
    cause: &CauseSpec,
) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let layers = cause.layers();
    if layers.is_empty() {
        let error = document.key_error(at, format!("`{id}` must fail, but with which cause?"));
        errors.push(error.fix(format!("`{what}` can fail with {}", list(possible))));
    }
    for layer in layers.iter().filter(|layer| !possible.contains(layer)) {
        let error = document.key_error(&join(at, layer), format!("`{what}` cannot fail with `{layer}`"));
        errors.push(error.fix(match (what, possible) {
            ("repeat", _) => "it has no verdict of its own: name the step within it that fails".to_owned(),
            (_, []) => "it only starts its probes: name the step that counts them".to_owned(),
            (_, possible) => format!("it can fail with {}", list(possible)),
        }));
    }
    // A status and an error code are said by the same answer; all others exclude each other.
    let of_one_answer = |layer: &str| matches!(layer, "status" | "s3" | "sts");
    if let [first, rest @ ..] = layers.as_slice() {
        for layer in rest.iter().filter(|layer| !(of_one_answer(first) && of_one_answer(layer))) {
            let error =
                document.key_error(&join(at, layer), format!("a step fails with one cause: `{first}` or `{layer}`"));
            errors.push(error.fix("keep the first layer that fails"));
        }
    }
    errors
}

/// Breaks with equal `fails` and `blocks`: which fault was found could not be told.
pub fn indistinguishable(document: &Document, breaks: &IndexMap<String, Break>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let all: Vec<(&String, &Break)> = breaks.iter().collect();
    for (index, (id, one)) in all.iter().enumerate() {
        let same = |other: &Break| {
            let blocks = |it: &Break| it.blocks.iter().cloned().collect::<BTreeSet<_>>();
            other.fails == one.fails && blocks(other) == blocks(one)
        };
        if let Some((other, _)) = all[..index].iter().find(|(_, other)| !one.fails.is_empty() && same(other)) {
            let at = join(&join("/breaks", id), "fails");
            let error = document
                .key_error(&at, format!("the breaks `{other}` and `{id}` fail alike: they cannot be told apart"));
            errors.push(error.fix("add `message:` to a cause, with words that only this fault brings"));
        }
    }
    errors
}
