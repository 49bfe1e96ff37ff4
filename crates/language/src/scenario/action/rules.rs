//! What a kind of step declares, independent of its role.

use super::Nature;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::one_of::{Needs, OneOf};
use crate::scenario::parts::Leaves;

/// The expectation of a step without an `expect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implied {
    /// The step expects any answer.
    Answer,
    /// Success: a 2xx status from a store, or exit code 0 from a program.
    Success,
}

/// The properties of a kind of step that do not depend on a single step.
pub trait Kinded: Rules {
    /// The properties that all steps of the kind share.
    const NATURE: Nature;
    /// The typical duration of a step of this kind, in milliseconds, measured with the shipped scenarios on two
    /// processors. The value is good enough to decide the order of environments.
    const TYPICAL_MS: u64;
    /// The sets of keys, of the step and of its parts, of which exactly one key must be given.
    const ONE_OF: &'static [OneOf] = &[];
    /// The keys, of the step and of its parts, that need another key.
    const NEEDS: &'static [Needs] = &[];
}

/// Properties of a step that depend on its fields, such as its operation.
pub trait Rules {
    /// The sources of values in the answer of this step. They decide which matchers the step accepts in `expect`.
    fn brings(&self) -> Vec<Source> {
        Vec::new()
    }

    /// Whether the step needs an `expect` because it asserts nothing without one.
    fn needs_expect(&self) -> bool {
        true
    }

    /// Returns the expectation of the step if it has no `expect`.
    fn implied(&self) -> Implied {
        Implied::Answer
    }

    /// Whether the step has a value, so that later steps can write `{{ id }}`.
    fn yields(&self) -> bool {
        false
    }

    /// Returns what the step provides for later steps that refer to it.
    fn leaves(&self) -> &'static [Leaves] {
        &[]
    }

    /// The operation, for messages: `put` in `s3 put`.
    fn operation(&self) -> Option<&'static str> {
        None
    }

    /// Checks the rules of this kind, in addition to the rules for every step.
    fn check(&self, _judge: &Judge<'_>, _errors: &mut Vec<Diagnostic>) {}
}
