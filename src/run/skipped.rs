//! Decides which scenarios are skipped because an image is missing, and which skips the user accepts. In clusters that
//! the harness starts, a scenario is skipped if it needs a published image that has no recipe and cannot be obtained.
//! If the user names no scenario, scenarios that need an image which is built only on request are skipped, too. All
//! this is decided before anything starts. The verdict of a skipped scenario contains the reason.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parallax_vocab::VariantId;
use parallax_vocab::event::{Failure, Outcome};

use super::error::RunError;
use super::machine::Machine;
use super::{Context, images};
use parallax_images::{ImageError, NODE};
use parallax_plan::{EnvironmentPlan, Plan, VariantPlan};

/// What a run does with images that are built only on request (`on-request` in images.lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRequest {
    /// The run builds the images that are built only on request, because the user named the scenarios that need them.
    Build,
    /// The run builds no image that is built only on request. If such an image exists already, the run uses it. The run
    /// skips the scenarios that need a missing image of this kind.
    OnlyBuilt,
}

/// The user's rules for scenarios that cannot run on this machine: which of these scenarios may be skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// Whether it is an error to skip a scenario that is not in `expected` (`--deny-skips`, and the default in CI).
    pub denied: bool,
    /// The scenarios that may be skipped for any reason (`--allow-skip`).
    pub expected: Vec<String>,
}

impl Skips {
    /// How a variant ends that cannot run because the images in `lacks` are missing. The variant is skipped if the user
    /// expects this, or if all missing images are built only on request. If a registry did not answer, the variant ends
    /// with an error. In all other cases, [`Self::of_reason`] decides.
    fn outcome(&self, scenario: &str, lacks: &[&Lack]) -> Outcome {
        let reason = lacks.iter().map(|it| it.failure.what.as_str()).collect::<Vec<_>>().join("; ");
        if let Some(expected) = self.expected(scenario, &reason) {
            return expected;
        }
        if lacks.iter().all(|it| it.why == Why::OnRequest) {
            return Outcome::Skipped { reason };
        }
        if let Some(lack) = lacks.iter().find(|it| it.why == Why::Unreachable) {
            let mut failure = lack.failure.clone();
            let or = format!("`--allow-skip {scenario}` runs the rest without it");
            failure.fix = Some(failure.fix.map_or_else(|| or.clone(), |fix| format!("{fix}; {or}")));
            return Outcome::Error { failure };
        }
        self.of_reason(scenario, &reason)
    }

    /// How a variant ends that cannot run for the reason `reason`. The variant is skipped. If the user denies skips and
    /// does not expect this one, the variant ends with an error.
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

/// Reports that a variant is skipped, or that it ends with an error because the user denies skips. `reasons` are the
/// reasons why the variant cannot run.
pub(super) fn skip(context: &Context, variant: &VariantId, reasons: &[String]) {
    let outcome = context.options.skips.of_reason(variant.scenario(), &reasons.join("; "));
    context.verdicts.say(variant, outcome, 0);
}

/// The reason why an image cannot be obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) failure: Failure,
    why: Why,
    /// Whether every environment that uses the image lacks it. Otherwise only those scenarios count that declare that
    /// they require the published image.
    everywhere: bool,
}

/// The kind of reason why an image cannot be obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A registry answered that the image does not exist.
    Unpublished,
    /// No registry answered, so it is unknown whether the image exists. The machine or its network has a problem.
    Unreachable,
    /// The image is built only on request, and the user named no scenario. Skipping the scenario is no error, even with
    /// `--deny-skips`, because the user did not ask for this scenario.
    OnRequest,
}

/// The plan without the variants that cannot run on this machine. Reports for each removed variant that it is skipped
/// or ended with an error, and the reason.
pub(super) async fn possible<'a>(
    context: &Context,
    machine: &Machine,
    plan: &'a Plan,
) -> Result<Cow<'a, Plan>, RunError> {
    let options = &context.options;
    let chosen = images::only_published(&options.recipes)?;
    let obtain = async |name: &str| images::obtain_published(context, machine, name).await;
    let mut lacking = lacking(plan, &chosen, obtain).await?;
    if options.on_request == OnRequest::OnlyBuilt {
        lacking.extend(on_request(images::unbuilt(&options.recipes, options.k3s, &machine.engine, plan).await?));
    }
    if lacking.is_empty() {
        return Ok(Cow::Borrowed(plan));
    }
    for environment in plan.clusters.iter().flat_map(|it| &it.environments) {
        let used = missing(environment, &lacking);
        for variant in &environment.variants {
            let lacks = lacks(variant, &used, &lacking);
            if !lacks.is_empty() {
                let scenario = variant.id.scenario();
                context.verdicts.say(&variant.id, options.skips.outcome(scenario, &lacks), 0);
            }
        }
    }
    Ok(Cow::Owned(without(plan, &lacking)))
}

/// The published images that scenarios require and that cannot be obtained. The key is the name of the image, the
/// value says why it cannot be obtained. `chosen` are images of which the user chose a version that is only published.
pub(super) async fn lacking(
    plan: &Plan,
    chosen: &[&'static str],
    obtain: impl AsyncFn(&str) -> Result<(), ImageError>,
) -> Result<BTreeMap<String, Lack>, ImageError> {
    let mut lacking = BTreeMap::new();
    let is_used = |name: &&&str| **name == NODE || plan.clusters.iter().any(|it| it.all_images().contains(**name));
    let mut names = required(plan);
    names.extend(chosen.iter().filter(is_used).map(|&name| name.to_owned()));
    for name in names {
        match obtain(&name).await {
            Ok(()) => {}
            Err(error @ (ImageError::NotPublished { .. } | ImageError::Unreachable { .. })) => {
                let unpublished = matches!(error, ImageError::NotPublished { .. });
                let why = if unpublished { Why::Unpublished } else { Why::Unreachable };
                let everywhere = chosen.contains(&name.as_str());
                lacking.insert(name, Lack { failure: error.failure(), why, everywhere });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lacking)
}

/// Returns the images `unbuilt` as missing images, with the reason that they are built only on request.
pub(super) fn on_request(unbuilt: Vec<String>) -> impl Iterator<Item = (String, Lack)> {
    unbuilt.into_iter().map(|name| {
        let what = format!(
            "image `{name}` takes many minutes to build, so a run without a filter does not build it; a run that names the scenario does, and so does `parallax images build {name}`"
        );
        let failure = Failure { what, fix: None, evidence: Vec::new() };
        (name, Lack { failure, why: Why::OnRequest, everywhere: true })
    })
}

fn required(plan: &Plan) -> Vec<String> {
    let all = plan.variants().flat_map(|(_, _, it)| it.variant.scenario.requires.published.clone());
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.dedup();
    all
}

/// The missing images that an environment uses, and without which none of its variants can run.
fn missing<'a>(environment: &EnvironmentPlan, lacking: &'a BTreeMap<String, Lack>) -> Vec<&'a Lack> {
    let used = environment.all_images().into_iter().chain([NODE]).filter_map(|name| lacking.get(name));
    used.filter(|it| it.everywhere).collect()
}

/// Returns the missing images that prevent a variant from running. `missing` are those of the variant's environment.
fn lacks<'a>(variant: &VariantPlan, missing: &[&'a Lack], lacking: &'a BTreeMap<String, Lack>) -> Vec<&'a Lack> {
    let published = variant.variant.scenario.requires.published.iter().filter_map(|name| lacking.get(name));
    published.chain(missing.iter().copied()).collect()
}

/// The plan without the variants that require a missing image.
pub(super) fn without(plan: &Plan, lacking: &BTreeMap<String, Lack>) -> Plan {
    let mut plan = plan.clone();
    for cluster in &mut plan.clusters {
        for environment in &mut cluster.environments {
            let missing = missing(environment, lacking);
            environment.variants.retain(|variant| lacks(variant, &missing, lacking).is_empty());
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
        let lack = |why| {
            let failure = Failure { what: "why".to_owned(), fix: None, evidence: Vec::new() };
            Lack { failure, why, everywhere: false }
        };
        let skips =
            |denied, expected: &[&str]| Skips { denied, expected: expected.iter().map(|&it| it.into()).collect() };
        for (skips, why, skipped) in [
            (skips(false, &[]), Why::Unpublished, true),
            (skips(true, &[]), Why::Unpublished, false),
            (skips(true, &["other"]), Why::Unpublished, false),
            (skips(true, &["area/a"]), Why::Unpublished, true),
            (skips(true, &["area/a"]), Why::Unreachable, true),
            (skips(false, &[]), Why::OnRequest, true),
            (skips(true, &[]), Why::OnRequest, true),
            // No registry was reached, so the image may exist. The variant ends with an error and is not skipped.
            (skips(false, &[]), Why::Unreachable, false),
        ] {
            let outcome = skips.outcome("area/a", &[&lack(why)]);
            assert_eq!(matches!(outcome, Outcome::Skipped { .. }), skipped, "{skips:?} {why:?}: {outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Error { .. }), !skipped, "{outcome:?}");
        }
    }
}
