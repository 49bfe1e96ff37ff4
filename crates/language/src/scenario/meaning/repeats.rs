//! Repeats: rounds with steps in them, moments that belong to a round, and figures that come from one.

use super::Subject;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::model::{NumberBound, Placed, RepeatStep, Step};
use crate::scenario::template;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, group } in subject.scenario.steps() {
        if let Some(repeat) = &step.repeat {
            errors.extend(repeated(subject, step, repeat, &at, group));
        }
        errors.extend(after(subject, step, &at, group));
        errors.extend(figures(subject, step, &at));
    }
    errors
}

fn repeated(
    subject: &Subject<'_>,
    step: &Step,
    repeat: &RepeatStep,
    at: &str,
    group: Option<&Step>,
) -> Vec<Diagnostic> {
    let places = subject.places;
    let mut errors = Vec::new();
    if let Some(group) = group {
        let message = format!("`{}` is a repeat within the repeat `{}`", step.id, group.id);
        let error = places.key_error(&format!("{at}/repeat"), message);
        errors.push(error.fix("make it one repeat, with as many rounds as both"));
    }
    if repeat.flow.is_empty() {
        let error = places.key_error(&format!("{at}/repeat/flow"), format!("`{}` repeats nothing", step.id));
        errors.push(error.fix("add a step to its `flow`"));
    }
    for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
        if given {
            let message = format!("a repeat has no expectation of its own: `{key}` says nothing here");
            errors.push(places.key_error(&format!("{at}/{key}"), message).fix("move it to a step of its `flow`"));
        }
    }
    errors
}

fn after(subject: &Subject<'_>, step: &Step, at: &str, group: Option<&Step>) -> Option<Diagnostic> {
    let after = step.after?;
    let at = format!("{at}/after");
    if group.is_none() || step.repeat.is_some() {
        let error = subject.places.key_error(&at, "`after` in a step that is in no round".to_owned());
        return Some(
            error.fix("a step waits with `eventually` for what it needs; moments belong to the steps of a `repeat`"),
        );
    }
    if after.span().as_millis() <= 0 {
        let error = subject.places.key_error(&at, format!("{} after the step before it is no later", after.span()));
        return Some(error.fix("write how long after, for example `2s` or `{ random: 3s }`"));
    }
    None
}

fn figures(subject: &Subject<'_>, step: &Step, at: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    if let Some(figures) = &step.figures
        && template::references(&figures.of).is_ok_and(|found| found.is_empty())
    {
        let at = format!("{at}/figures/of");
        let error = subject.places.error(&at, format!("`{}` comes from no step", figures.of));
        errors.push(error.fix("write what the steps of a repeat captured: `\"{{ step.capture }}\"`"));
    }
    if let Some(measure) = &step.measure
        && template::references(&measure.of).is_ok_and(|found| found.is_empty())
    {
        let error = subject.places.error(&format!("{at}/measure/of"), format!("`{}` comes from no step", measure.of));
        errors.push(error.fix("write what a step captured: `\"{{ step.capture }}\"`"));
    }
    if step.figures.as_ref().is_some_and(|it| it.unit.is_some() && it.name.is_none()) {
        let message = "`unit` of a figure that has no name is shown nowhere".to_owned();
        let error = subject.places.key_error(&format!("{at}/figures/unit"), message);
        errors.push(error.fix("add `name:`, what is measured in words"));
    }
    let expect = step.expect.as_ref();
    let bounds = [
        ("median", expect.and_then(|it| it.median)),
        ("worst", expect.and_then(|it| it.worst)),
        ("rows", expect.and_then(|it| it.rows)),
        ("objects", expect.and_then(|it| it.objects)),
        ("value", expect.and_then(|it| it.value)),
    ];
    for (matcher, bound) in bounds {
        let wrong = match bound {
            Some(NumberBound { below: None, at_least: None }) => "a bound without a limit holds always".to_owned(),
            Some(NumberBound { below: Some(below), at_least: Some(least) }) if least >= below => {
                format!("nothing is {least} or more and below {below}")
            }
            _ => continue,
        };
        let error = subject.places.key_error(&format!("{at}/expect/{matcher}"), wrong);
        errors.push(error.fix("write `below:`, `at-least:` or both, `below` the greater"));
    }
    errors
}
