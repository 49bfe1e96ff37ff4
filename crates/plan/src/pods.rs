//! Computes the vantage pods of an environment, and the ServiceAccounts that the pods and tokens need.
//!
//! Variants in the same environment share a vantage's pod if they declare the pod in the same way. Only the field
//! `trust` may differ, because the trusted certificates are part of each question and not of the pod.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::cluster::VariantPlan;
use parallax_language::fixture::{Contributions, Export};
use parallax_language::scenario::model::PodVantage;
use parallax_language::scenario::template;

/// Returns the pods of an environment by name, and the ServiceAccounts that pods and tokens need. Also sets in each
/// variant the name of the pod for each of its vantages.
pub(super) fn of(
    variants: &mut [VariantPlan],
    fixtures: &BTreeMap<String, Contributions>,
) -> (BTreeMap<String, PodVantage>, BTreeSet<String>) {
    let mut pods: BTreeMap<String, PodVantage> = BTreeMap::new();
    let mut accounts = BTreeSet::new();
    for plan in variants {
        for (id, vantage) in &plan.variant.scenario.vantages {
            let Some(pod) = &vantage.pod else { continue };
            let pod = filled(pod, fixtures);
            accounts.extend(pod.service_account.clone());
            let serves = |name: &str| pods.get(name).is_none_or(|it| it.same_pod(&pod));
            let mut names = (1..).map(|number| if number == 1 { id.clone() } else { format!("{id}-{number}") });
            let name = names.find(|name| serves(name)).expect("there is always another number");
            plan.pods.insert(id.clone(), name.clone());
            pods.entry(name).or_insert(pod);
        }
        let steps = plan.variant.scenario.steps();
        let tokens = steps.iter().filter_map(|it| it.step.action.special().token);
        accounts.extend(tokens.map(|token| token.service_account.to_string()));
    }
    (pods, accounts)
}

/// The pod, with the template references in its environment variables replaced by values of the fixtures.
fn filled(pod: &PodVantage, fixtures: &BTreeMap<String, Contributions>) -> PodVantage {
    let env = pod.env.iter().map(|(name, text)| (name.clone(), filled_text(text, fixtures)));
    PodVantage { env: env.collect(), ..pod.clone() }
}

/// The text, with its template references (`{{ }}`) replaced by values of the fixtures. The loader of the scenario has
/// checked that these values are known before the run.
pub(super) fn filled_text<C: Borrow<Contributions>>(text: &str, fixtures: &BTreeMap<String, C>) -> String {
    let value = |reference: &template::Reference| {
        let fixture = fixtures.get(&reference.name).map(Borrow::borrow);
        match fixture.and_then(|it| it.exports.get(reference.field.as_deref().unwrap_or_default())) {
            Some(Export::Value(value)) => Ok::<_, template::Malformed>(value.clone()),
            _ => Ok(String::new()),
        }
    };
    template::render(text, value).unwrap_or_else(|_| text.to_owned())
}
