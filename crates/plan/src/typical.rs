//! What an environment takes where no run of this machine tells: a guess from its steps, good enough for an order.

use super::cluster::EnvironmentPlan;
use parallax_language::scenario::Kind;
use parallax_language::scenario::model::Step;
use parallax_vocab::millis;

/// A cluster, until its first environment can begin.
pub(super) const START_MS: u64 = 8_000;
/// An environment, until its first variant can begin.
const SETUP_MS: u64 = 4_000;
/// A step that nothing else is known of.
const STEP_MS: u64 = 100;

/// Milliseconds, for the whole environment.
pub(super) fn took(environment: &EnvironmentPlan) -> u64 {
    let variants = environment.variants.iter().map(|it| flow(&it.variant.scenario.flow));
    SETUP_MS.saturating_add(variants.fold(0, u64::saturating_add))
}

fn flow(steps: &[Step]) -> u64 {
    steps.iter().map(step).fold(0, u64::saturating_add)
}

/// What the steps of the shipped scenarios took on two processors, by kind.
fn step(step: &Step) -> u64 {
    if let Some(repeat) = step.repeat() {
        return flow(&repeat.flow).saturating_mul(repeat.times.into());
    }
    let by_kind = match step.kind() {
        Kind::Scale | Kind::Restart => 5_000,
        Kind::Kill | Kind::End | Kind::Delete => 3_000,
        Kind::Rotate => 20_000,
        Kind::Client | Kind::Script => 1_500,
        Kind::Log | Kind::Event => 900,
        _ => STEP_MS,
    };
    let held = step.consistently.map_or(0, |span| millis(span.to_duration()));
    held.saturating_add(by_kind)
}
