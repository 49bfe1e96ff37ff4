//! Checks two rules about probers. A later step must judge each prober. Each `prober` step must refer to a prober that
//! an earlier step started.

use super::Subject;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::model::{Placed, Step};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let steps = subject.scenario.steps();
    let wrong = |(index, Placed { step, at, .. }): (usize, &Placed<'_>)| {
        if step.action.starts_prober().is_some() {
            return started(subject, &steps[index + 1..], step, at);
        }
        counted(subject, &steps, index, step.action.counts()?, at)
    };
    steps.iter().enumerate().filter_map(wrong).collect()
}

fn started(subject: &Subject<'_>, later: &[Placed<'_>], step: &Step, at: &str) -> Option<Diagnostic> {
    let counts = |other: &Placed<'_>| other.step.action.counts().is_some_and(|it| **it == *step.id);
    if later.iter().any(counts) {
        return None;
    }
    let error = subject.places.error(&format!("{at}/id"), format!("no later step judges the prober `{}`", step.id));
    let fix = format!(
        "add a later step `{{ id: …, prober: {{ of: {}, stop: true }}, expect: {{ failures: 0, at-least: 50 }} }}`",
        step.id
    );
    Some(error.fix(fix))
}

fn counted(subject: &Subject<'_>, steps: &[Placed<'_>], index: usize, of: &str, at: &str) -> Option<Diagnostic> {
    let flow: Vec<&Step> = steps.iter().map(|it| it.step).collect();
    let at = format!("{at}/prober/of");
    let starts = |step: &&Step| step.action.starts_prober().is_some();
    let started = || flow[..index].iter().copied().filter(starts);
    if started().any(|step| step.id == of) {
        return None;
    }
    Some(match flow.iter().find(|step| step.id == of) {
        Some(step) if !starts(step) => {
            let error = subject.places.error(&at, format!("step `{of}` does not start a prober"));
            error.fix("use the id of a `background` step")
        }
        Some(_) => {
            let error = subject.places.error(&at, format!("prober `{of}` is counted before it is started"));
            error.fix("steps run in order; move the `background` step before this one")
        }
        None => {
            let known = started().map(|step| step.id.as_str());
            subject.places.error(&at, format!("there is no prober `{of}`")).fix(suggest(of, known, "probers"))
        }
    })
}
