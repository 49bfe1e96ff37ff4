//! Checks that a baseline asserts something. A scenario that cannot fail is worse than no scenario, because it seems to
//! prove something.

use std::collections::HashSet;

use parallax_vocab::StepId;

use super::Subject;
use super::references::dependencies;
use crate::scenario::action::{PresignStep, Special};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::model::{Placed, Step};

/// Checks that the baseline asserts something. Also checks each URL or form that a step signs: the scenario must judge
/// it, or another step must use it. Breaks are not checked, because a break may remove the step that uses the signed
/// URL or form.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let scenario = subject.scenario;
    let mut errors = Vec::new();
    let steps = scenario.steps();
    if !scenario.flow.is_empty() && !steps.iter().any(|it| it.step.expect.is_some() || it.step.nature().asserts) {
        let error = subject
            .places
            .key_error("/flow", "no step of this flow has an expectation, so the flow asserts nothing".to_owned());
        errors.push(error.fix("add a step with `expect:` that checks the effect of the other steps"));
    }
    let signs: Vec<(&Placed<'_>, &PresignStep)> =
        steps.iter().filter_map(|it| Some((it, signed_by(it.step)?))).collect();
    if signs.is_empty() {
        return errors;
    }
    let used: HashSet<StepId> = steps.iter().flat_map(|it| dependencies(scenario, it.step)).collect();
    for (Placed { step, at, .. }, signs) in signs {
        let unjudged = step.expect.is_none() && !scenario.breaks.values().any(|it| it.fails.contains_key(&step.id));
        if unjudged && !used.contains(&StepId::new(step.id.clone())) {
            let (message, fix) = signs.unused(&step.id);
            errors.push(subject.places.error(&format!("{at}/id"), message).fix(fix));
        }
    }
    errors
}

/// Returns the URL or form that a step itself signs. `None` for a step that runs a client, because the answer of a
/// client always needs an expectation.
fn signed_by(step: &Step) -> Option<&PresignStep> {
    let Special { signs, runs, .. } = step.action.special();
    signs.filter(|_| runs.is_none()).map(|(_, signs)| signs)
}
