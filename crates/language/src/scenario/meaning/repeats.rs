//! Moments: they belong to the steps of a round.

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
