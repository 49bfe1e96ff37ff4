//! The rules that a JSON schema cannot express: whether the parts of a scenario are consistent with each other. Each
//! group of rules has its own file.

mod assertions;
mod breaks;
mod captures;
mod control;
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
pub use control::uncontrolled;
pub use empty::empty_texts;
pub use readiness::is_readiness;
pub use references::dependencies;
pub use steps::Judge;

/// What is checked: a scenario (a baseline, or a baseline with a change), with the data that the rules need.
pub struct Subject<'a> {
    /// The scenario that is checked.
    pub scenario: &'a Scenario,
    /// All fixtures that the project can use.
    pub library: &'a Library,
    /// The places where the parts of the scenario are written.
    pub places: &'a dyn Places,
}

/// The fixtures of a scenario by id, with their parameters and exports as far as they are known before the run.
pub type Resolutions<'a> = BTreeMap<String, Resolved<'a>>;

/// The text that stands for the namespace when references are resolved without a run.
const NO_NAMESPACE: &str = "namespace";

/// Returns an error if a section of the scenario has too many entries to be checked.
pub fn too_long(subject: &Subject<'_>) -> Option<Diagnostic> {
    structure::too_long(subject)
}

/// Returns an error if a flow of `length` steps is too long to be checked step by step.
pub fn long_flow(length: usize, places: &dyn Places) -> Option<Diagnostic> {
    structure::long_flow(length, places)
}

/// Resolves the fixtures of a scenario, and returns the errors in them.
pub fn fixtures<'a>(subject: &Subject<'a>) -> (Resolutions<'a>, Vec<Diagnostic>) {
    resolve(subject.library, subject.scenario, NO_NAMESPACE, subject.places)
}

/// Checks that a baseline asserts something. Also checks that the baseline signs no URL that every store refuses.
pub fn assertions(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = assertions::check(subject);
    errors.extend(limits::urls(subject));
    errors
}

/// Returns a warning for each `s3` step of a baseline that writes into a bucket that the store does not have.
pub fn unlisted_buckets(subject: &Subject<'_>) -> Vec<Diagnostic> {
    limits::unlisted_buckets(subject)
}

/// Runs all checks that apply to a baseline as well as to a scenario after a change.
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
