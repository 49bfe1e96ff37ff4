//! What the schema cannot say: whether the parts of a scenario fit together. One file for each family of rules.

mod breaks;
mod references;
mod steps;
mod structure;

use super::check::Places;
use super::diagnostic::Diagnostic;
use super::model::Scenario;
use crate::fixture::{Library, resolve};

pub use breaks::{Expectations, expectations, indistinguishable};
pub use references::dependencies;

/// A scenario (a baseline, or a break merged into it) with all that a rule needs to judge it.
pub struct Subject<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The fixtures there are.
    pub library: &'a Library,
    /// Where its parts are written.
    pub places: &'a dyn Places,
}

/// Namespace that references are resolved with when nothing is run.
const NO_NAMESPACE: &str = "namespace";

/// Everything that is wrong with a scenario, breaks left out.
pub fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = structure::check(subject);
    errors.extend(steps::check(subject));
    let (resolved, wrong) = resolve(subject.library, subject.scenario, NO_NAMESPACE, subject.places);
    errors.extend(wrong);
    errors.extend(references::check(subject, &resolved));
    errors
}
