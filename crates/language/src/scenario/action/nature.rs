//! The properties that all steps of a kind share.

/// The effect of a kind of step on the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing. The step observes, and returns an answer.
    Looks,
    /// The step applies objects. If it runs again, it has no further effect.
    Applies,
    /// The step changes the environment, so no other variant can start in this environment.
    Changes,
    /// Nothing. The step starts a prober, which other steps judge.
    Starts,
    /// The step groups other steps. Its effect is the effect of those steps.
    Groups,
}

/// The typical duration of a step that does not wait, in milliseconds.
pub(super) const AT_ONCE_MS: u64 = 100;

/// The properties that all steps of a kind share.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Whether the step runs at a vantage. Other kinds ask the apiserver, or read what an earlier step saw.
    pub from_vantage: bool,
    /// The effect of the step on the environment.
    pub effect: Effect,
    /// Whether the step asserts something even without an `expect`. For example, it asserts that a store or a token
    /// service accepts the request.
    pub asserts: bool,
    /// The causes with which the step can fail, as keys of a `fails` entry.
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

    /// A kind that changes the environment. Its steps have no `expect`: a step fails if the change does not succeed.
    pub(super) const fn act() -> Self {
        Self { effect: Effect::Changes, ..Self::look(&["resource"]) }
    }

    /// Whether the kind changes the environment.
    pub const fn is_act(&self) -> bool {
        matches!(self.effect, Effect::Applies | Effect::Changes)
    }

    /// Whether a step of the kind returns an answer from which values can be captured.
    pub fn answers(&self) -> bool {
        matches!(self.effect, Effect::Looks | Effect::Changes)
    }
}
