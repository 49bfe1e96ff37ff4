//! What scenarios take from outside: secrets of this process's environment, and certificates that exist already.
//!
//! **Architecture Invariant:** a plan contains only the names of environment variables and of files. Their values are
//! read here, when the environment that needs them is set up.

use parallax_vocab::Secret;

use super::{Context, Options};
use crate::apply::{ApplyError, Given};
use parallax_language::fixture::{Contributions, Input, Trusted};
use parallax_language::text_of_project;
use parallax_plan::{EnvironmentPlan, Plan};

/// The reasons why an environment lacks a secret: each names the variable, and the place that asks for it. An empty
/// variable counts as one that is not set.
pub(super) fn missing(plan: &EnvironmentPlan) -> Vec<String> {
    let lacking = wanted(plan).filter(|it| value(it).is_none());
    lacking.map(|it| format!("the environment variable {} is not set ({})", it.env, it.at)).collect()
}

/// Reads what an environment takes from outside.
pub(super) fn read(options: &Options, plan: &EnvironmentPlan) -> Result<Given, ApplyError> {
    let mut given = Given::default();
    given.secrets.extend(wanted(plan).filter_map(|it| Some((it.env.clone(), value(it)?))));
    for (id, it) in &plan.fixtures {
        let trusted = match &it.trusts {
            None => continue,
            Some(Trusted::System) => {
                let here = options.theirs.as_ref().and_then(|it| it.trusted.clone());
                here.ok_or_else(|| unusable(id, "this machine", "has no file of trusted certificates"))?
            }
            Some(Trusted::File(file)) => {
                let text = text_of_project(&options.project, &file.path);
                let text = text.map_err(|reason| unusable(&file.at, &file.path, &reason))?;
                if !text.contains("-----BEGIN CERTIFICATE-----") {
                    return Err(unusable(&file.at, &file.path, "contains no certificate in PEM format"));
                }
                text
            }
        };
        given.trusted.insert(id.clone(), trusted);
    }
    Ok(given)
}

/// The plan without the environments that use what exists outside. The network of a cluster that the harness starts has
/// no way out, so they cannot run there. Reports each of their variants as skipped, with the reason.
pub(super) fn within_the_network(context: &Context, mut plan: Plan) -> Plan {
    let is_outside = |it: &Contributions| {
        it.trusts == Some(Trusted::System) || it.store.as_ref().is_some_and(|it| it.prefix.is_some())
    };
    for cluster in &mut plan.clusters {
        cluster.environments.retain(|environment| {
            let Some((id, _)) = environment.fixtures.iter().find(|(_, it)| is_outside(it)) else { return true };
            let reason = format!("fixture `{id}` uses what exists outside the run's own network: use --kubeconfig");
            for variant in &environment.variants {
                let outcome = context.options.skips.of_reason(variant.id.scenario(), &reason);
                context.verdicts.say(&variant.id, outcome, 0);
            }
            false
        });
    }
    plan.clusters.retain(|it| !it.environments.is_empty());
    plan
}

fn wanted(plan: &EnvironmentPlan) -> impl Iterator<Item = &Input> {
    plan.fixtures.values().flat_map(|it| &it.credentials).flat_map(|it| it.inputs.values())
}

fn value(input: &Input) -> Option<Secret> {
    std::env::var(&input.env).ok().filter(|it| !it.is_empty()).map(Secret::new)
}

fn unusable(place: &str, what: &str, reason: &str) -> ApplyError {
    ApplyError::Input { place: place.to_owned(), what: what.to_owned(), reason: reason.to_owned() }
}
