//! The properties that all steps of a kind share.

/// What a kind of step does to the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it observes, and returns an answer.
    Looks,
    /// It applies objects. Applying them again has no further effect.
    Applies,
    /// It changes the environment, so no other variant can start in it.
    Changes,
    /// Nothing: it starts a prober, which other steps judge.
    Starts,
    /// What its inner steps do.
    Groups,
}

/// The time of a step that waits for nothing, in milliseconds.
pub(super) const AT_ONCE_MS: u64 = 100;

/// The properties that all steps of a kind share.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Whether it runs at a vantage. Other kinds ask the apiserver, or read what an earlier step saw.
    pub from_vantage: bool,
    /// What it does to the environment.
    pub effect: Effect,
    /// Whether it asserts something without an `expect`: that a store or a token service accepts the request.
    pub asserts: bool,
    /// The causes that it can fail with, as keys of a `fails` entry.
    pub causes: &'static [&'static str],
}

impl Nature {
    /// A kind that asks a question from a vantage.
    pub(super) const fn probe(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: true, effect: Effect::Looks, asserts: false, causes }
    }

    /// A kind that observes without a vantage.
    pub(super) const fn look(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: false, ..Self::probe(causes) }
    }

    /// A kind that changes the environment. It takes no `expect`: it fails if the change does not succeed.
    pub(super) const fn act() -> Self {
        Self { effect: Effect::Changes, ..Self::look(&["resource"]) }
    }

    /// Whether it changes the environment.
    pub const fn is_act(&self) -> bool {
        matches!(self.effect, Effect::Applies | Effect::Changes)
    }

    /// Whether it returns an answer from which values can be captured.
    pub fn answers(&self) -> bool {
        matches!(self.effect, Effect::Looks | Effect::Changes)
    }
}
