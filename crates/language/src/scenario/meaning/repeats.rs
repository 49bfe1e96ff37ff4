//! Checks that only the steps of a `repeat` have the key `after`, and that its delay is positive.

use super::Subject;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::model::{Placed, Step};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let steps = subject.scenario.steps();
    steps.iter().filter_map(|Placed { step, at, group }| after(subject, step, at, *group)).collect()
}

fn after(subject: &Subject<'_>, step: &Step, at: &str, group: Option<&Step>) -> Option<Diagnostic> {
    let after = step.after?;
    let at = format!("{at}/after");
    if group.is_none() || step.repeat().is_some() {
        let error = subject.places.key_error(&at, "`after` is allowed only in a step of a `repeat`".to_owned());
        return Some(error.fix("remove `after`; to wait for a condition, use `eventually`"));
    }
    if after.span().as_millis() <= 0 {
        let error = subject
            .places
            .key_error(&at, format!("the delay after the previous step is {}, but must be positive", after.span()));
        return Some(error.fix("write a positive delay, for example `2s` or `{ random: 3s }`"));
    }
    None
}
