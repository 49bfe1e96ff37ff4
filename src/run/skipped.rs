//! Decides which skips the user accepts. In clusters that the harness starts, this module also skips the scenarios that
//! need a published image if this image cannot be obtained. Such an image has no recipe, so it cannot be built here. The
//! scenarios are skipped before anything starts, with the reason as their outcome.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parallax_vocab::event::{Failure, Outcome};

use super::error::RunError;
use super::machine::Machine;
use super::{Context, images};
use parallax_images::ImageError;
use parallax_plan::{Plan, VariantPlan};

/// Which skips of scenarios the user accepts, for scenarios that cannot run on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// Whether the skip of a scenario that is not in `expected` is an error (`--deny-skips`, and the default in CI).
    pub denied: bool,
    /// The scenarios that may be skipped for any reason (`--allow-skip`).
    pub expected: Vec<String>,
}

impl Skips {
    /// The outcome of a variant that cannot run because these images are missing: a skip, or an error if the user does
    /// not accept the skip.
    fn outcome(&self, scenario: &str, lacks: &[&Lack]) -> Outcome {
        let reason = lacks.iter().map(|it| it.failure.what.as_str()).collect::<Vec<_>>().join("; ");
        if let Some(expected) = self.expected(scenario, &reason) {
            return expected;
        }
        if let Some(lack) = lacks.iter().find(|it| !it.unpublished) {
            let mut failure = lack.failure.clone();
            let or = format!("`--allow-skip {scenario}` runs the rest without it");
            failure.fix = Some(failure.fix.map_or_else(|| or.clone(), |fix| format!("{fix}; {or}")));
            return Outcome::Error { failure };
        }
        self.of_reason(scenario, &reason)
    }

    /// The outcome of a variant that cannot run for this reason: a skip, or an error if the user does not accept the
    /// skip.
    pub(super) fn of_reason(&self, scenario: &str, reason: &str) -> Outcome {
        if let Some(expected) = self.expected(scenario, reason) {
            return expected;
        }
        if self.denied {
            let what = format!("{scenario} would be skipped, and nobody expects that: {reason}");
            let fix = Some(format!("`--allow-skip {scenario}` says that it is expected"));
            return Outcome::Error { failure: Failure { what, fix, evidence: Vec::new() } };
        }
        Outcome::Skipped { reason: reason.to_owned() }
    }

    fn expected(&self, scenario: &str, reason: &str) -> Option<Outcome> {
        let is_expected = self.expected.iter().any(|it| it == scenario);
        is_expected.then(|| Outcome::Skipped { reason: format!("expected (--allow-skip): {reason}") })
    }
}

/// The reason why an image cannot be obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) failure: Failure,
    /// Whether a registry answered that the image does not exist. Any other reason is a fault of the machine.
    unpublished: bool,
}

/// The plan without the variants that cannot run on this machine. Reports the outcome of each removed variant, with the
/// reason.
pub(super) async fn possible<'a>(
    context: &Context,
    machine: &Machine,
    plan: &'a Plan,
) -> Result<Cow<'a, Plan>, RunError> {
    let lacking = lacking(plan, async |name| images::obtain_published(context, machine, name).await).await?;
    if lacking.is_empty() {
        return Ok(Cow::Borrowed(plan));
    }
    for (_, _, variant) in plan.variants() {
        let lacks = lacks(variant, &lacking);
        if !lacks.is_empty() {
            let scenario = variant.id.scenario();
            context.verdicts.say(&variant.id, context.options.skips.outcome(scenario, &lacks), 0);
        }
    }
    Ok(Cow::Owned(without(plan, &lacking)))
}

/// The published images that scenarios require and that cannot be obtained, by name. Each has the reason.
pub(super) async fn lacking(
    plan: &Plan,
    obtain: impl AsyncFn(&str) -> Result<(), ImageError>,
) -> Result<BTreeMap<String, Lack>, ImageError> {
    let mut lacking = BTreeMap::new();
    for name in required(plan) {
        match obtain(&name).await {
            Ok(()) => {}
            Err(error @ (ImageError::NotPublished { .. } | ImageError::Unreachable { .. })) => {
                let unpublished = matches!(error, ImageError::NotPublished { .. });
                lacking.insert(name, Lack { failure: error.failure(), unpublished });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lacking)
}

fn required(plan: &Plan) -> Vec<String> {
    let all = plan.variants().flat_map(|(_, _, it)| it.variant.scenario.requires.published.clone());
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.dedup();
    all
}

fn lacks<'a>(variant: &VariantPlan, lacking: &'a BTreeMap<String, Lack>) -> Vec<&'a Lack> {
    variant.variant.scenario.requires.published.iter().filter_map(|name| lacking.get(name)).collect()
}

/// The plan without the variants that require a missing image.
pub(super) fn without(plan: &Plan, lacking: &BTreeMap<String, Lack>) -> Plan {
    let mut plan = plan.clone();
    for cluster in &mut plan.clusters {
        for environment in &mut cluster.environments {
            environment.variants.retain(|variant| lacks(variant, lacking).is_empty());
        }
        cluster.environments.retain(|environment| !environment.variants.is_empty());
    }
    plan.clusters.retain(|cluster| !cluster.environments.is_empty());
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_skipped_if_that_is_expected_or_if_the_image_does_not_exist() {
        let lack = |unpublished| Lack {
            failure: Failure { what: "why".to_owned(), fix: None, evidence: Vec::new() },
            unpublished,
        };
        let skips =
            |denied, expected: &[&str]| Skips { denied, expected: expected.iter().map(|&it| it.into()).collect() };
        for (skips, unpublished, skipped) in [
            (skips(false, &[]), true, true),
            // The image could not be obtained because the network is missing. It may exist, so the variant ends with an
            // error and is not skipped.
            (skips(false, &[]), false, false),
            (skips(true, &[]), true, false),
            (skips(true, &["other"]), true, false),
            (skips(true, &["area/a"]), true, true),
            (skips(true, &["area/a"]), false, true),
        ] {
            let outcome = skips.outcome("area/a", &[&lack(unpublished)]);
            assert_eq!(matches!(outcome, Outcome::Skipped { .. }), skipped, "{skips:?} {unpublished}: {outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Error { .. }), !skipped, "{outcome:?}");
        }
    }
}
