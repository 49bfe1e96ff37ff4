//! What the schema cannot say: whether the parts of a scenario fit together. One file for each family of rules.

mod assertions;
mod breaks;
mod captures;
mod empty;
mod limits;
mod probers;
mod readiness;
mod references;
mod repeats;
mod steps;
mod structure;

use std::collections::BTreeMap;

use super::check::Places;
use super::diagnostic::Diagnostic;
use super::model::Scenario;
use crate::fixture::{Library, Resolved, resolve};

pub use breaks::{Expectations, expectations, indistinguishable};
pub use empty::empty_texts;
pub use readiness::is_readiness;
pub use references::dependencies;
pub use steps::Judge;

/// A scenario (a baseline, or a break merged into it) with all that a rule needs to judge it.
pub struct Subject<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The fixtures there are.
    pub library: &'a Library,
    /// Where its parts are written.
    pub places: &'a dyn Places,
}

/// Fixtures by id, as far as they are known at plan time.
pub type Resolutions<'a> = BTreeMap<String, Resolved<'a>>;

/// Namespace that references are resolved with when nothing is run.
const NO_NAMESPACE: &str = "namespace";

/// A scenario that is too long to be judged.
pub fn too_long(subject: &Subject<'_>) -> Option<Diagnostic> {
    structure::too_long(subject)
}

/// A flow that is too long to be looked at step by step, by the number of its entries.
pub fn long_flow(length: usize, places: &dyn Places) -> Option<Diagnostic> {
    structure::long_flow(length, places)
}

/// What a scenario's fixtures resolve to, with what is wrong with them.
pub fn fixtures<'a>(subject: &Subject<'a>) -> (Resolutions<'a>, Vec<Diagnostic>) {
    resolve(subject.library, subject.scenario, NO_NAMESPACE, subject.places)
}

/// Whether a baseline asserts anything.
pub fn assertions(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = assertions::check(subject);
    errors.extend(limits::urls(subject));
    errors
}

/// Everything else that is wrong with a scenario, breaks left out.
pub fn check(subject: &Subject<'_>, resolved: &Resolutions<'_>) -> Vec<Diagnostic> {
    let mut errors = structure::check(subject);
    errors.extend(steps::check(subject));
    errors.extend(empty::check(subject));
    errors.extend(limits::buckets(subject));
    errors.extend(captures::check(subject));
    errors.extend(probers::check(subject));
    errors.extend(repeats::check(subject));
    errors.extend(references::check(subject, resolved));
    errors
}
