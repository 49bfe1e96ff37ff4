//! The properties that all steps of a kind share.

/// The effect of a kind of step on the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No effect. The step observes the environment, and returns an answer.
    Looks,
    /// The step applies objects. If the step runs again, it has no further effect.
    Applies,
    /// The step changes the environment. After the step, no other variant can start in this environment.
    Changes,
    /// No effect. The step waits until an earlier change has taken effect.
    Waits,
    /// No effect. The step starts a prober, which other steps judge.
    Starts,
    /// The step groups other steps. Its effect is the effect of those steps.
    Groups,
}

/// The typical duration of a step that does not wait, in milliseconds.
pub(super) const AT_ONCE_MS: u64 = 100;

/// The properties that all steps of a kind share.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Whether the step runs at a vantage. Other steps ask the apiserver, or read what an earlier step observed.
    pub from_vantage: bool,
    /// The effect of the step on the environment.
    pub effect: Effect,
    /// Whether the step asserts something even without an `expect`. For example, an `s3` step asserts that the store
    /// accepts the request.
    pub asserts: bool,
    /// The causes of this kind of step that a break can declare, as the keys below a step in `fails`. A step can also
    /// fail because its time is over, which no break can declare.
    pub causes: &'static [&'static str],
}

impl Nature {
    /// Returns the properties of a kind that asks a question from a vantage. `causes` lists the causes with which a
    /// step can fail.
    pub(super) const fn probe(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: true, effect: Effect::Looks, asserts: false, causes }
    }

    /// Returns the properties of a kind that observes without a vantage.
    pub(super) const fn look(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: false, ..Self::probe(causes) }
    }

    /// Returns the properties of a kind that changes the environment. Steps of such a kind have no `expect`: a step
    /// fails if the change does not succeed.
    pub(super) const fn act() -> Self {
        Self { effect: Effect::Changes, ..Self::look(&["resource"]) }
    }

    /// Whether steps of this kind change the environment, or wait for the effect of a change. Such steps have no
    /// `expect`.
    pub const fn is_act(&self) -> bool {
        matches!(self.effect, Effect::Applies | Effect::Changes | Effect::Waits)
    }

    /// Whether a step of this kind returns an answer from which values can be captured.
    pub fn answers(&self) -> bool {
        matches!(self.effect, Effect::Looks | Effect::Changes)
    }
}
