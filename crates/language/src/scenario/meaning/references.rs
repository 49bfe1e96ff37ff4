//! Checks the references of steps to other steps and to fixtures. A referenced step must exist and come earlier; a
//! referenced fixture must exist.

use parallax_vocab::StepId;

use super::{Resolutions, Subject};
use crate::fixture::Export;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::document::join;
use crate::scenario::model::{Placed, ROUND, Scenario, Step};
use crate::scenario::parts::{Leaves, Part};
use crate::scenario::template::{self, Reference};

/// Returns the ids of the steps on which `step` depends directly. A step depends on the steps to which it refers: in
/// its templates, in `needs`, and in other fields that take the id of a step.
pub fn dependencies(scenario: &Scenario, step: &Step) -> Vec<StepId> {
    let steps = scenario.steps();
    let find = |id: &str| steps.iter().find(|it| it.step.id == id);
    let own = find(&step.id).and_then(|it| it.group);
    let mut out: Vec<StepId> = Vec::new();
    let mut add = |id: &str| {
        let Some(named) = find(id) else { return };
        // If a step outside a repeat refers to the repeat or to one of its inner steps, the step depends on all inner
        // steps. The repeat itself has no verdict, and the captures of its inner steps are complete only when all
        // rounds have passed.
        let group = if named.step.repeat().is_some() { Some(named.step) } else { named.group };
        let group = group.filter(|group| own.is_none_or(|own| own.id != group.id));
        let meant = |it: &&Placed<'_>| match group {
            Some(group) => it.group.is_some_and(|held| held.id == group.id),
            None => it.step.id == id && it.step.id != step.id,
        };
        for it in steps.iter().filter(meant) {
            if !out.iter().any(|known| known.as_str() == it.step.id) {
                out.push(StepId::new(it.step.id.clone()));
            }
        }
    };
    own.iter().flat_map(|group| &group.needs).for_each(|id| add(id));
    let mut named = Vec::new();
    step.see(&mut |_, part| match part {
        Part::Text(text) => text.references().unwrap_or_default().iter().for_each(|it| add(&it.name)),
        Part::Step(id, _) => named.push(id),
        Part::Plain(_) => {}
    });
    step.needs.iter().for_each(|id| add(id));
    named.into_iter().for_each(add);
    out
}

pub(super) fn check(subject: &Subject<'_>, resolved: &Resolutions<'_>) -> Vec<Diagnostic> {
    let flow = subject.scenario.steps();
    let mut errors = environments(subject, resolved);
    for (index, Placed { step, at, .. }) in flow.iter().enumerate() {
        step.see(&mut |below, part| {
            let pointer = format!("{at}{below}");
            let mut wrong = |message: String, fix: String| {
                errors.push(subject.places.error(&pointer, message).fix(fix));
            };
            match part {
                Part::Text(text) => match text.references() {
                    Err(malformed) => wrong(malformed.message.clone(), malformed.fix.to_owned()),
                    Ok(references) => {
                        let found = references.iter().filter_map(|it| match it.name.as_str() {
                            template::VANTAGE => vantage_reference(below, it),
                            template::VARIANT => variant_reference(it),
                            _ => reference(subject, resolved, &flow, index, it),
                        });
                        found.for_each(|(message, fix)| wrong(message, fix));
                    }
                },
                Part::Plain(text) if text.contains("{{") => {
                    wrong("a template is not allowed here".to_owned(), "write the value itself".to_owned());
                }
                Part::Plain(_) => {}
                Part::Step(other, leaves) => {
                    if let Some((message, fix)) = named(&flow, index, other, leaves) {
                        wrong(message, fix);
                    }
                }
            }
        });
        for (number, needed) in step.needs.iter().enumerate() {
            if let Some((message, fix)) = earlier(&flow, index, needed) {
                errors.push(subject.places.error(&format!("{at}/needs/{number}"), message).fix(fix));
            }
        }
    }
    errors
}

/// Checks the reference of the step at `index` to the step `other`. The step `other` must come earlier and provide the
/// output `leaves`. Returns the message and the fix for a mistake; `None` if the reference is right.
fn named(flow: &[Placed<'_>], index: usize, other: &str, leaves: Leaves) -> Option<(String, String)> {
    if leaves == Leaves::Prober {
        // The module `probers` checks references to probers.
        return None;
    }
    if let Some(wrong) = earlier(flow, index, other) {
        return Some(wrong);
    }
    let (what, fix) = leaves.lacking()?;
    if flow.iter().all(|it| it.step.id != other || it.step.action.rules().leaves().contains(&leaves)) {
        return None;
    }
    Some((format!("step `{other}` {what}"), fix.to_owned()))
}

/// Checks the environment variables of pods and the URLs of agent nodes. These variables and URLs are set before the
/// flow runs, so they can use only values that are known before the run.
fn environments(subject: &Subject<'_>, resolved: &Resolutions<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let pods = subject.scenario.vantages.iter().filter_map(|(id, it)| Some((id, it.pod.as_ref()?)));
    let of_pods = pods.flat_map(|(id, pod)| {
        let at = move |name| join(&format!("{}/pod/env", join("/vantages", id)), name);
        pod.env.iter().map(move |(name, text)| (at(name), text))
    });
    let agents = subject.scenario.cluster.agents.iter().enumerate();
    let of_agents =
        agents.filter_map(|(index, it)| Some((format!("/cluster/agents/{index}/server"), it.server.as_ref()?)));
    for (pointer, text) in of_pods.chain(of_agents) {
        let pointer = pointer.as_str();
        match template::references(text) {
            Err(wrong) => errors.push(subject.places.error(pointer, wrong.message).fix(wrong.fix)),
            Ok(references) => {
                let wrong = references.iter().filter_map(|it| unknown_at_plan_time(subject, resolved, it));
                errors.extend(wrong.map(|(message, fix)| subject.places.error(pointer, message).fix(fix)));
            }
        }
    }
    errors
}

fn unknown_at_plan_time(
    subject: &Subject<'_>,
    resolved: &Resolutions<'_>,
    reference: &Reference,
) -> Option<(String, String)> {
    let path = reference.path();
    if !subject.scenario.fixtures.contains_key(&reference.name) {
        let known = subject.scenario.fixtures.keys().map(String::as_str);
        return Some((
            format!("`{{{{ {path} }}}}`: there is no fixture `{}`", reference.name),
            suggest(&reference.name, known, "fixtures"),
        ));
    }
    // An unknown or wrong fixture is reported where the fixture is declared.
    let exports = &resolved.get(&reference.name)?.exports;
    let field = reference.field.as_deref().unwrap_or_default();
    if matches!(exports.get(field), Some(Export::Value(_))) {
        return None;
    }
    let known = exports.iter().filter(|(_, it)| matches!(it, Export::Value(_))).map(|(name, _)| name.as_str());
    let message = format!("`{{{{ {path} }}}}` is not known beforehand");
    Some((message, suggest(field, known, "values known before")))
}

/// Checks the reference of the step at `index` to the step `id`, which must come earlier. Returns the message and the
/// fix for a mistake; `None` if the reference is right.
fn earlier(flow: &[Placed<'_>], index: usize, id: &str) -> Option<(String, String)> {
    let group = flow[index].group;
    if group.is_some_and(|group| group.id == id) {
        return Some((
            format!("`{id}` contains this step, so the step cannot wait for it"),
            "use the id of an earlier step".to_owned(),
        ));
    }
    if flow[..index].iter().any(|it| it.step.id == id) {
        return None;
    }
    Some(if flow[index].step.id == id {
        (format!("step `{id}` waits for itself"), "use the id of an earlier step".to_owned())
    } else if flow.iter().any(|it| it.step.id == id) {
        (format!("step `{id}` runs later"), "steps run in order; move it before this one".to_owned())
    } else {
        let before = flow[..index].iter().map(|it| it.step.id.as_str());
        (format!("there is no step `{id}`"), suggest(id, before, "earlier steps"))
    })
}

/// Checks a reference of the form `{{ vantage.FIELD }}`. The only field is `ca`, the path of a file at the vantage.
/// Only a program that runs at the vantage can use this path.
fn vantage_reference(pointer: &str, reference: &Reference) -> Option<(String, String)> {
    let path = reference.path();
    if reference.field.as_deref() != Some(template::VANTAGE_CA) {
        let message = format!("`{{{{ {path} }}}}`: a vantage has no such field");
        return Some((
            message,
            "write `{{ vantage.ca }}`, the path of a file with the certificates that it trusts".to_owned(),
        ));
    }
    let works_here = pointer.starts_with("/script/") || pointer.starts_with("/client/env/");
    let message =
        format!("`{{{{ {path} }}}}` is the path of a file at the vantage, which only a program there can read");
    (!works_here).then(|| (message, "use it in a `script`, or in the `env` of a `client`".to_owned()))
}

/// Checks a reference of the form `{{ variant.FIELD }}`. The only field is `nonce`.
fn variant_reference(reference: &Reference) -> Option<(String, String)> {
    let wrong = reference.field.as_deref() != Some(template::NONCE);
    wrong.then(|| {
        let message = format!("`{{{{ {} }}}}`: a variant has no such field", reference.path());
        (message, "write `{{ variant.nonce }}`, a word that is unique to the variant".to_owned())
    })
}

fn reference(
    subject: &Subject<'_>,
    resolved: &Resolutions<'_>,
    flow: &[Placed<'_>],
    index: usize,
    reference: &Reference,
) -> Option<(String, String)> {
    let scenario = subject.scenario;
    let name = reference.name.as_str();
    if scenario.fixtures.contains_key(name) {
        // An unknown or wrong fixture is reported where the fixture is declared.
        let exports: Vec<&str> = resolved.get(name)?.exports.keys().map(String::as_str).collect();
        return match &reference.field {
            Some(field) if exports.contains(&field.as_str()) => None,
            Some(field) => {
                let fix = match crate::scenario::diagnostic::nearest(field, exports.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? Its exports: {}", list(&exports)),
                    None => format!("its exports: {}", list(&exports)),
                };
                Some((format!("fixture `{name}` has no export `{field}`"), fix))
            }
            None => Some((
                format!("`{{{{ {name} }}}}` is a fixture, not one of its exports"),
                format!("write `{{{{ {name}.EXPORT }}}}`, where EXPORT is one of {}", list(&exports)),
            )),
        };
    }
    if name == ROUND && reference.field.is_none() {
        let outside = || {
            let message = format!("`{{{{ {ROUND} }}}}` is the number of a round, but this step is not in a `repeat`");
            (message, "use it only in a step of a `repeat`".to_owned())
        };
        return flow[index].group.is_none().then(outside);
    }
    let Some(position) = flow.iter().position(|it| it.step.id == name) else {
        let steps = flow[..index]
            .iter()
            .map(|it| it.step)
            .filter(|step| step.action.rules().yields())
            .map(|step| step.id.as_str());
        let known = scenario.fixtures.keys().map(String::as_str).chain(steps);
        return Some((
            format!("`{{{{ {} }}}}`: there is no fixture or earlier step `{name}`", reference.path()),
            suggest(name, known, "known names"),
        ));
    };
    if position >= index {
        let message = format!("`{{{{ {name} }}}}` is used before step `{name}` has run");
        return Some((message, "steps run in order; move that step before this one".to_owned()));
    }
    let step = flow[position].step;
    match &reference.field {
        Some(field) if step.capture.contains_key(field) => None,
        Some(field) if step.action.rules().yields() && step.capture.is_empty() => {
            Some((format!("step `{name}` has only one value, without `.{field}`"), format!("write `{{{{ {name} }}}}`")))
        }
        Some(field) => Some((format!("step `{name}` has no capture `{field}`"), capturing(step, field))),
        None if step.action.rules().yields() => None,
        None => {
            let fix = match step.capture.keys().next() {
                Some(first) => format!("write `{{{{ {name}.{first} }}}}` for its captured value"),
                None => format!(
                    "only `presign` steps (the URL) and `rotate` steps (the serial number) have a value; to wait for a step, write `needs: [{name}]`"
                ),
            };
            Some((format!("step `{name}` has no value"), fix))
        }
    }
}

/// Returns the fix for a reference to a capture `field` that `step` does not have.
fn capturing(step: &Step, field: &str) -> String {
    let captures: Vec<&str> = step.capture.keys().map(String::as_str).collect();
    if captures.is_empty() {
        return format!("add `capture: {{ {field}: /json/pointer }}` to that step");
    }
    suggest(field, captures, "its captures")
}
