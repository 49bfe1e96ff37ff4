//! Checks the names and the JSON pointers of captures.

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
            let error = subject.places.key_error(&at, format!("`{}` returns no answer to capture from", step.kind()));
            errors.push(error.fix("capture from a step that returns an answer, for example `resource`"));
            continue;
        }
        for (name, capture) in &step.capture {
            let (at, pointer) = (join(&at, name), &capture.path);
            if !is_name(name) {
                let error = subject.places.key_error(&at, format!("`{name}` is not a valid name of a capture"));
                errors.push(error.fix("use lower-case letters, digits and dashes, and begin with a letter"));
            }
            if !pointer.starts_with('/') {
                let error = subject.places.error(&at, format!("`{pointer}` is not a JSON pointer"));
                errors.push(error.fix(format!("begin it with `/`, for example `/{}`", pointer.replace('.', "/"))));
            }
        }
    }
    errors
}
