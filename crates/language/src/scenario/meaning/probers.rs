//! Probers: what they ask, and that somebody judges what they see.

use super::Subject;
use crate::scenario::action::Action;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::model::{BackgroundStep, Placed, ProberStep, SpanBound, Step};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let steps = subject.scenario.steps();
    for (index, Placed { step, at, .. }) in steps.iter().enumerate() {
        if let Some(background) = &step.background {
            errors.extend(started(subject, &steps[index + 1..], step, background, at));
        }
        if let Some(prober) = &step.prober {
            errors.extend(counted(subject, &steps, index, prober, at));
        }
        let expect = step.expect.as_ref();
        for (matcher, bound) in [
            ("longest-gap", expect.and_then(|it| it.longest_gap.as_ref())),
            ("newest", expect.and_then(|it| it.newest.as_ref())),
        ] {
            let wrong = bound.map(|bound| bounded(subject, bound, &format!("{at}/expect/{matcher}")));
            errors.extend(wrong.into_iter().flatten());
        }
    }
    errors
}

fn started(subject: &Subject<'_>, later: &[Placed<'_>], step: &Step, it: &BackgroundStep, at: &str) -> Vec<Diagnostic> {
    let places = subject.places;
    let mut errors = Vec::new();
    let actions = it.probe().actions();
    let kinds = ["dns", "tls", "http"];
    match actions.as_slice() {
        [] => {
            let error = places.key_error(&format!("{at}/background"), "`background` asks nothing".to_owned());
            errors.push(error.fix(format!("give it one of {}", list(&kinds))));
        }
        [Action::Http] if step.expect.is_none() => {
            let error = places.error(
                &format!("{at}/id"),
                format!("prober `{}` does not say which answers are successes, so it asserts nothing", step.id),
            );
            errors.push(error.fix("add `expect:`, for example `expect: { status: 200 }`"));
        }
        [_] => {}
        [first, more @ ..] => {
            for action in more {
                let message = format!("`background` asks two things: `{first}` and `{action}`");
                let error = places.key_error(&format!("{at}/background/{action}"), message);
                errors.push(error.fix("make it two probers"));
            }
        }
    }
    if it.within.as_millis() <= 0 {
        let error = places.error(&format!("{at}/background/within"), format!("no probe can be done in {}", it.within));
        errors.push(error.fix("write the longest that one probe may take, for example `5s`"));
    }
    for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
        if given {
            let message = format!("a prober is started once, whatever its probes see: `{key}` says nothing here");
            let error = places.key_error(&format!("{at}/{key}"), message);
            errors.push(error.fix(format!("move it to the `prober` step that counts `{}`", step.id)));
        }
    }
    if !later.iter().any(|other| other.step.prober.as_ref().is_some_and(|prober| prober.of == step.id)) {
        let error = places.error(&format!("{at}/id"), format!("nothing judges what prober `{}` sees", step.id));
        let fix = format!(
            "add a later step `{{ id: …, prober: {{ of: {}, stop: true }}, expect: {{ failures: 0, at-least: 50 }} }}`",
            step.id
        );
        errors.push(error.fix(fix));
    }
    errors
}

fn counted(subject: &Subject<'_>, steps: &[Placed<'_>], index: usize, it: &ProberStep, at: &str) -> Option<Diagnostic> {
    let flow: Vec<&Step> = steps.iter().map(|it| it.step).collect();
    let at = format!("{at}/prober/of");
    let started = |step: &&&Step| step.background.is_some();
    if flow[..index].iter().filter(started).any(|step| step.id == it.of) {
        return None;
    }
    let of = &it.of;
    Some(match flow.iter().position(|step| step.id == *of) {
        Some(position) if flow[position].background.is_none() => {
            let error = subject.places.error(&at, format!("step `{of}` starts no prober"));
            error.fix("name a `background` step")
        }
        Some(_) => {
            let error = subject.places.error(&at, format!("prober `{of}` is counted before it is started"));
            error.fix("steps run in order: move the `background` step before this one")
        }
        None => {
            let known = flow[..index].iter().filter(started).map(|step| step.id.as_str());
            subject.places.error(&at, format!("there is no prober `{of}`")).fix(suggest(of, known, "probers"))
        }
    })
}

fn bounded(subject: &Subject<'_>, bound: &SpanBound, at: &str) -> Option<Diagnostic> {
    let (message, fix) = match (bound.at_least, bound.below) {
        (None, None) => ("a bound without a limit holds always".to_owned(), "write `below:`, `at-least:` or both"),
        (Some(least), Some(below)) if least >= below => {
            (format!("nothing is {least} or more and below {below}"), "make `below` the greater of the two")
        }
        (None, Some(below)) if below.as_millis() <= 0 => {
            (format!("nothing is below {below}"), "write the first span that is too long, for example `1s`")
        }
        _ => return None,
    };
    Some(subject.places.key_error(at, message).fix(fix))
}
