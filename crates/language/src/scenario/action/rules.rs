//! What a kind of step declares, whatever its role.

use super::Nature;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::one_of::{Needs, OneOf};
use crate::scenario::parts::Leaves;

/// What a step expects without an `expect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implied {
    /// Any answer.
    Answer,
    /// Success: a 2xx status from a store, or exit code 0 from a program.
    Success,
}

/// What is known about a kind of step without an instance of it.
pub trait Kinded: Rules {
    /// The properties that all steps of the kind share.
    const NATURE: Nature;
    /// The time that a step of the kind usually takes, in milliseconds, measured with the shipped scenarios on two
    /// processors. It is good enough for an order.
    const TYPICAL_MS: u64;
    /// The sets of keys, of the step and of its parts, of which exactly one key must be given.
    const ONE_OF: &'static [OneOf] = &[];
    /// The keys, of the step and of its parts, that need another key.
    const NEEDS: &'static [Needs] = &[];
}

/// Properties of a step that depend on its fields, such as its operation.
pub trait Rules {
    /// The sources that its answer contains. They decide which matchers the step takes in `expect`.
    fn brings(&self) -> Vec<Source> {
        Vec::new()
    }

    /// Whether it asserts nothing without an `expect`.
    fn needs_expect(&self) -> bool {
        true
    }

    /// What it expects without an `expect`.
    fn implied(&self) -> Implied {
        Implied::Answer
    }

    /// Whether it has a value, so that later steps can write `{{ id }}`.
    fn yields(&self) -> bool {
        false
    }

    /// What it leaves for later steps that refer to it.
    fn leaves(&self) -> &'static [Leaves] {
        &[]
    }

    /// The operation, for messages: `put` in `s3 put`.
    fn operation(&self) -> Option<&'static str> {
        None
    }

    /// Checks what can be wrong with this kind, beyond what is checked for every step.
    fn check(&self, _judge: &Judge<'_>, _errors: &mut Vec<Diagnostic>) {}
}
