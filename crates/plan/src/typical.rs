//! Estimates the duration of an environment that never ran on this machine. The estimate is computed from the kinds of
//! its steps. The estimate is good enough to decide the order of environments.

use super::cluster::EnvironmentPlan;
use parallax_language::scenario::model::Step;
use parallax_vocab::millis;

/// The typical time from the start of a cluster until its first environment can begin, in milliseconds.
pub(super) const START_MS: u64 = 8_000;
/// The typical time from the start of an environment until its first variant can begin, in milliseconds.
const SETUP_MS: u64 = 4_000;

/// The estimated duration of an environment with its set-up and its variants, in milliseconds.
pub(super) fn took(environment: &EnvironmentPlan) -> u64 {
    let variants = environment.variants.iter().map(|it| flow(&it.variant.scenario.flow));
    SETUP_MS.saturating_add(variants.fold(0, u64::saturating_add))
}

fn flow(steps: &[Step]) -> u64 {
    steps.iter().map(step).fold(0, u64::saturating_add)
}

fn step(step: &Step) -> u64 {
    if let Some(repeat) = step.repeat() {
        return flow(&repeat.flow).saturating_mul(repeat.times.into());
    }
    let held = step.consistently.map_or(0, |span| millis(span.to_duration()));
    held.saturating_add(step.kind().typical_ms())
}
