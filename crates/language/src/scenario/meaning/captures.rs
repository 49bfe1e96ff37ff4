//! Captures: their names, and the pointers that lead to them.

use super::Subject;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::Placed;
use crate::scenario::template::is_name;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, .. } in subject.scenario.steps() {
        let at = format!("{at}/capture");
        if !step.nature().answers() && !step.capture.is_empty() {
            let error = subject.places.key_error(&at, format!("`{}` brings no answer to capture from", step.kind()));
            errors.push(error.fix("capture from a step that looks, for example `resource`"));
            continue;
        }
        for (name, capture) in &step.capture {
            let (at, pointer) = (join(&at, name), &capture.path);
            if !is_name(name) {
                let error = subject.places.key_error(&at, format!("`{name}` cannot be the name of a capture"));
                errors.push(error.fix("lower-case letters, digits and dashes, beginning with a letter"));
            }
            if !pointer.starts_with('/') {
                let error = subject.places.error(&at, format!("`{pointer}` is not a JSON pointer"));
                errors.push(error.fix(format!("begin it with `/`: `/{}`", pointer.replace('.', "/"))));
            }
        }
    }
    errors
}
