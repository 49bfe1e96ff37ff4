//! Scenarios that cannot run here, because an image that exists only as it is published cannot be had: they are skipped,
//! each with that reason, before anything is started.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parallax_vocab::event::Outcome;

use super::error::RunError;
use super::machine::Machine;
use super::{Context, images};
use crate::images::ImageError;
use crate::plan::{Plan, VariantPlan};

/// The plan without what cannot run here. Of each variant that is left out it is said why.
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
        if let Some(reason) = reason(variant, &lacking) {
            context.verdicts.say(&variant.id, Outcome::Skipped { reason }, 0);
        }
    }
    Ok(Cow::Owned(without(plan, &lacking)))
}

/// The images that scenarios require as they are published and that cannot be had, each with the reason.
pub(super) async fn lacking(
    plan: &Plan,
    obtain: impl AsyncFn(&str) -> Result<(), ImageError>,
) -> Result<BTreeMap<String, String>, ImageError> {
    let mut lacking = BTreeMap::new();
    for name in required(plan) {
        match obtain(&name).await {
            Ok(()) => {}
            Err(error @ ImageError::NotPublished { .. }) => {
                lacking.insert(name, error.to_string());
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

fn reason(variant: &VariantPlan, lacking: &BTreeMap<String, String>) -> Option<String> {
    let requires = &variant.variant.scenario.requires.published;
    let reasons: Vec<&str> = requires.iter().filter_map(|name| lacking.get(name)).map(String::as_str).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// The plan without the variants that require what is lacking.
pub(super) fn without(plan: &Plan, lacking: &BTreeMap<String, String>) -> Plan {
    let mut plan = plan.clone();
    for cluster in &mut plan.clusters {
        for environment in &mut cluster.environments {
            environment.variants.retain(|variant| reason(variant, lacking).is_none());
        }
        cluster.environments.retain(|environment| !environment.variants.is_empty());
    }
    plan.clusters.retain(|cluster| !cluster.environments.is_empty());
    plan
}
