//! Checks the breaks of a scenario. The declared failures must be possible. Two breaks with the same declared failures
//! are reported as a warning.

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
use crate::scenario::number::Number;

/// A break, and the data that the checks of breaks need.
pub struct Expectations<'a> {
    /// The id of the break.
    pub id: &'a str,
    /// The break as it is written in the file.
    pub spec: &'a Break,
    /// The baseline, which is the scenario without the change.
    pub baseline: &'a Scenario,
    /// The baseline with the change of the break applied.
    pub changed: &'a Scenario,
    /// The parts of the scenario that the change of the break touches.
    pub touches: &'a Touched,
    /// All fixtures that the project can use.
    pub library: &'a Library,
    /// The document of the scenario's file.
    pub document: &'a Document,
}

/// Checks `fails` and `blocks` of a break against the flow that results from the break's change.
pub fn expectations(it: &Expectations<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let at = join("/breaks", it.id);
    if it.spec.fails.is_empty() {
        let error = it.document.key_error(&join(&at, "fails"), format!("the break `{}` declares no failure", it.id));
        errors.push(error.fix("add the steps that must fail, each with its cause: `fails: { STEP: { status: 403 } }`"));
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
            errors.push(error.fix("a blocked step is not run, so it cannot fail; remove it from one of the two"));
        }
    }
    // If a break makes a readiness condition fail, the flow does not run. Therefore `blocks` is checked only if the
    // break makes no readiness condition fail.
    if !it.spec.fails.keys().any(|what| is_readiness(what)) {
        errors.extend(blocked(it, &at));
    }
    errors.extend(super::control::check(it));
    errors
}

impl Expectations<'_> {
    fn missing(&self, id: &str, pointer: &str) -> Diagnostic {
        if self.baseline.step(id).is_some() {
            let error = self.document.key_error(pointer, format!("step `{id}` is removed by this break"));
            return error.fix("a removed step neither fails nor is blocked; remove it here");
        }
        let steps = self.changed.steps();
        let known = steps.iter().map(|it| it.step.id.as_str());
        self.document.key_error(pointer, format!("there is no step `{id}`")).fix(suggest(id, known, "steps"))
    }
}

/// Checks that `blocks` lists the right steps: exactly those that depend on a failing step and do not fail themselves.
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
        let message = format!("these steps are blocked too: {}", why.collect::<Vec<_>>().join(", "));
        let all: Vec<&str> = must.iter().map(|(id, _)| *id).collect();
        errors.push(it.document.key_error(&pointer, message).fix(format!("write `blocks: [{}]`", all.join(", "))));
    }
    for (index, id) in it.spec.blocks.iter().enumerate() {
        let known = it.changed.step(id).is_some() && !it.spec.fails.contains_key(id);
        if known && !must.iter().any(|(must, _)| must == id) {
            let message = format!("step `{id}` does not depend on a failing step, so it is not blocked");
            let error = it.document.error(&format!("{at}/blocks/{index}"), message);
            errors.push(error.fix(format!("remove it, or add `needs: [{}]` to the step", first(&it.spec.fails))));
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
        // Besides a matcher, the value of `mismatch` can be a capture of the step (`capture.NAME`) or `stays`.
        let captures = step.capture.keys().map(|name| format!("capture.{name}"));
        let given: Vec<String> = given.chain(captures).chain(step.stays.map(|_| "stays".to_owned())).collect();
        if !given.contains(matcher) {
            let message = format!("`{}` does not expect `{matcher}`, so this mismatch is not possible", step.id);
            let error = document.error(&join(at, "mismatch"), message);
            let fix = suggest(matcher, given.iter().map(String::as_str), "its matchers");
            // If the step expects success without an `expect`, its failure is not a mismatch. The answer itself is then
            // the cause.
            let is_layer = matcher != "mismatch" && step.nature().causes.contains(&matcher.as_str());
            errors.push(error.fix(if is_layer {
                format!("write the answer itself as the cause: `{}: {{ {matcher}: … }}`; {fix}", step.id)
            } else {
                fix
            }));
        }
    }
    if let Some(expect) = expect {
        let dns = expect.dns.is_some_and(|expected| cause.dns.iter().any(|it| it.0.contains(&expected)));
        let layers = [
            ("dns", dns, "the name resolves"),
            ("connect", expect.connect.is_some() && expect.connect == cause.connect, "a connection comes about"),
            ("tls", expect.tls.is_some() && expect.tls == cause.tls, "the handshake succeeds"),
        ];
        for (layer, _, otherwise) in layers.into_iter().filter(|(_, expected, _)| *expected) {
            let message = format!("`{}` expects this fault, so it is not a failure", step.id);
            let fix = format!("write the fault that occurs instead, or `mismatch: {layer}` if {otherwise}");
            errors.push(document.error(&join(at, layer), message).fix(fix));
        }
    }
    let expected = expect.and_then(|expect| expect.status.as_ref()?.known());
    if cause.status.is_some() && cause.status == expected {
        let message = format!("`{}` expects this status, so it is not a failure", step.id);
        errors.push(document.error(&join(at, "status"), message).fix("write the status that is returned instead"));
    }
    let succeeds = expect.and_then(|expect| expect.exit.as_ref()).map_or(Some(0), Number::known);
    if cause.exit.is_some() && cause.exit == succeeds {
        let message = format!("`{}` expects this exit code, so it is not a failure", step.id);
        errors.push(document.error(&join(at, "exit"), message).fix("write the exit code that is returned instead"));
    }
    errors
}

/// Checks that a cause that a break declares is possible. `possible` lists the causes with which `what` (an action or a
/// readiness condition) can fail.
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
        let error = document.key_error(at, format!("`{id}` must fail, but its cause is missing"));
        errors.push(error.fix(format!("`{what}` can fail with {}", list(possible))));
    }
    for layer in layers.iter().filter(|layer| !possible.contains(layer)) {
        let error = document.key_error(&join(at, layer), format!("`{what}` cannot fail with `{layer}`"));
        errors.push(error.fix(match (what, possible) {
            ("repeat", _) => "a repeat itself does not fail; use the inner step that fails".to_owned(),
            (_, []) => "this step only starts a prober; use the `prober` step that counts its probes".to_owned(),
            (_, possible) => format!("it can fail with {}", list(possible)),
        }));
    }
    // A status and an error code can come from the same answer. Any other two causes exclude each other.
    let of_one_answer = |layer: &str| matches!(layer, "status" | "s3" | "sts");
    if let [first, rest @ ..] = layers.as_slice() {
        for layer in rest.iter().filter(|layer| !(of_one_answer(first) && of_one_answer(layer))) {
            let error = document
                .key_error(&join(at, layer), format!("a step fails with only one cause, `{first}` or `{layer}`"));
            errors.push(error.fix("keep the first layer that fails"));
        }
    }
    errors
}

/// Finds breaks with equal `fails` and `blocks`: the result of a run cannot tell which of their changes was applied.
/// This is only a warning, because two changes may have the same symptom.
pub fn indistinguishable(document: &Document, breaks: &IndexMap<String, Break>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let all: Vec<(&String, &Break)> = breaks.iter().collect();
    for (index, (id, one)) in all.iter().enumerate() {
        let same = |other: &Break| {
            let blocks = |it: &Break| it.blocks.iter().cloned().collect::<BTreeSet<_>>();
            other.fails == one.fails && blocks(other) == blocks(one)
        };
        if let Some((other, _)) = all[..index].iter().find(|(_, other)| !one.fails.is_empty() && same(other)) {
            let at = join(&join("/breaks", id), "fails");
            let warning = document.key_error(
                &at,
                format!("the breaks `{other}` and `{id}` declare the same failures, so they cannot be distinguished"),
            );
            let fix = "add `message:` to a cause, with a text that only this fault produces";
            warnings.push(warning.warning().fix(fix));
        }
    }
    warnings
}
