//! The properties that each kind of step declares, independent of its role.

use super::Nature;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::one_of::{Needs, OneOf};
use crate::scenario::parts::Leaves;

/// What a step without an `expect` expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implied {
    /// The step expects an answer; the content does not matter.
    Answer,
    /// The step expects success: a 2xx status from a store, or exit code 0 from a program.
    Success,
}

/// The properties that all steps of a kind share.
pub trait Kinded: Rules {
    /// The properties that all steps of the kind share.
    const NATURE: Nature;
    /// The typical duration of a step of this kind, in milliseconds, measured with the shipped scenarios on two
    /// processors. The harness uses this duration only to decide the order in which environments are set up, so a rough
    /// value is enough.
    const TYPICAL_MS: u64;
    /// Sets of keys of the step, or of a type within the step. The author must give exactly one key of each set.
    const ONE_OF: &'static [OneOf] = &[];
    /// Keys of the step, or of a type within the step, that are valid only together with another key.
    const NEEDS: &'static [Needs] = &[];
}

/// Properties of a single step that depend on its fields, such as its operation.
pub trait Rules {
    /// Returns the parts of an answer that this step provides. These parts decide which matchers the step accepts in
    /// `expect`.
    fn brings(&self) -> Vec<Source> {
        Vec::new()
    }

    /// Whether the step needs an `expect`, because without an `expect` the step asserts nothing.
    fn needs_expect(&self) -> bool {
        true
    }

    /// Returns what the step expects if the scenario gives it no `expect`.
    fn implied(&self) -> Implied {
        Implied::Answer
    }

    /// Whether the step has a value, so that later steps can write `{{ id }}`.
    fn yields(&self) -> bool {
        false
    }

    /// Returns the kinds of output that later steps can use, such as a token or a certificate chain.
    fn leaves(&self) -> &'static [Leaves] {
        &[]
    }

    /// The operation of the step, for messages: `put` in `s3 put`. `None` if the kind has only one operation.
    fn operation(&self) -> Option<&'static str> {
        None
    }

    /// Checks the rules of this kind of step, in addition to the rules for every step.
    fn check(&self, _judge: &Judge<'_>, _errors: &mut Vec<Diagnostic>) {}
}
