//! Checks that a baseline asserts something. A scenario that cannot fail is worse than no scenario.

use std::collections::HashSet;

use parallax_vocab::StepId;

use super::Subject;
use super::references::dependencies;
use crate::scenario::action::Kind;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::model::{Leaves, Placed, Step};

/// Checks only baselines. A break may remove the step that uses the answer of another step.
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
    let signs = |step: &Step| step.kind() == Kind::Presign;
    if !steps.iter().any(|it| signs(it.step)) {
        return errors;
    }
    let used: HashSet<StepId> = steps.iter().flat_map(|it| dependencies(scenario, it.step)).collect();
    for Placed { step, at, .. } in steps.iter().filter(|it| signs(it.step)) {
        let unjudged = step.expect.is_none() && !scenario.breaks.values().any(|it| it.fails.contains_key(&step.id));
        if unjudged && !used.contains(&StepId::new(step.id.clone())) {
            let id = &step.id;
            let (message, verb, example) = if step.action.rules().leaves().contains(&Leaves::Fields) {
                let example = format!("`http: {{ post: \"{{{{ {id} }}}}\", fields-of: {id}, file: … }}`");
                (format!("no step sends the form of step `{id}`, so the step asserts nothing"), "send", example)
            } else {
                let example = format!("`http: {{ get: \"{{{{ {id} }}}}\" }}`");
                (format!("no step opens the URL of step `{id}`, so the step asserts nothing"), "open", example)
            };
            let error = subject.places.error(&format!("{at}/id"), message);
            errors.push(error.fix(format!("{verb} it in a later step, for example {example}, or remove the step")));
        }
    }
    errors
}
