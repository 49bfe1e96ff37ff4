//! Finds environments that cannot be on the same cluster, because both claim a name or an object that a cluster can
//! have only once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::build::PlanError;
use super::cluster::EnvironmentPlan;
use parallax_language::scenario::model::Scenario;

/// The names and the cluster-wide objects that the environments of one cluster claim.
#[derive(Default)]
struct Claims<'a> {
    /// Maps each claimed name to the id of the environment that claims it. The name is in words, for error messages.
    names: BTreeMap<String, &'a str>,
    /// Maps the kind and the name of each cluster-wide object, in words, to the object and to the id of the environment
    /// that contributes it.
    objects: BTreeMap<String, (&'a Value, &'a str)>,
}

impl<'a> Claims<'a> {
    /// Adds the claims of an environment. Returns an error and adds nothing if an earlier environment, or another
    /// fixture of this environment, claims the same thing. This is a DNS name, a name outside the cluster, or a
    /// cluster-wide object with different content.
    fn add(&mut self, environment: &'a EnvironmentPlan) -> Result<(), PlanError> {
        let claimant = environment.id.as_str();
        let conflict =
            |first: &str, what| Err(PlanError::Conflict { first: first.to_owned(), second: claimant.to_owned(), what });
        let (mut objects, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (what, object) in objects_of(environment) {
            let known = self.objects.get(&what).or_else(|| objects.get(&what)).copied();
            match known {
                Some((other, first)) if other != object => return conflict(first, what),
                _ => drop(objects.insert(what, (object, claimant))),
            }
        }
        for what in names_of(environment) {
            if let Some(first) = self.names.get(&what).or_else(|| names.get(&what)) {
                return conflict(first, what);
            }
            names.insert(what, claimant);
        }
        self.objects.append(&mut objects);
        self.names.append(&mut names);
        Ok(())
    }
}

/// Returns the cluster-wide objects of an environment, each with its kind and name in words.
fn objects_of(environment: &EnvironmentPlan) -> Vec<(String, &Value)> {
    let objects = environment.fixtures.values().flat_map(|it| &it.cluster_objects).map(|it| &it.manifest);
    let what = |object: &Value| {
        let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} {} (each another)", word("/kind"), word("/metadata/name"))
    };
    objects.map(|object| (what(object), object)).collect()
}

/// Returns the names that the fixtures of an environment claim, in words. Several containers of one fixture may have
/// the same host name, for example the machines of a pool. This is no conflict, so the name is returned only once.
fn names_of(environment: &EnvironmentPlan) -> Vec<String> {
    let fixtures = || environment.fixtures.values();
    let rules = fixtures().flat_map(|it| &it.dns_rules);
    let rules = rules.map(|rule| format!("the DNS rule for {} in {}", rule.from, rule.place.in_words()));
    let hosts = fixtures().flat_map(|it| &it.dns_hosts).map(|host| format!("the DNS entry for {}", host.name));
    let outside = |host: &dyn std::fmt::Display, port: u16| format!("the name {host}:{port} outside");
    let edges = fixtures().flat_map(|it| &it.edges).map(|edge| outside(&edge.host, edge.port));
    let beside = fixtures().flat_map(|it| {
        let names = it.containers.iter().flat_map(|it| it.ports().map(move |port| (&it.host, port)));
        names.collect::<BTreeSet<_>>()
    });
    let beside = beside.map(|(host, port)| outside(host, port));
    rules.chain(edges).chain(hosts).chain(beside).collect()
}

/// Returns an error if two environments of a cluster, or two fixtures of one environment, claim the same name, or the
/// same cluster-wide object with different content.
pub(super) fn refuse_conflicts(environments: &[EnvironmentPlan]) -> Result<(), PlanError> {
    let mut claims = Claims::default();
    environments.iter().try_for_each(|environment| claims.add(environment))
}

/// Divides environments into groups. Each environment joins the first group that has no conflict with it. At most one
/// environment of a group reads the log of the name server outside the cluster. Otherwise a variant could find in this
/// log what another variant of its scenario asked at the same time.
pub(super) fn without_conflict(environments: Vec<EnvironmentPlan>) -> Vec<Vec<EnvironmentPlan>> {
    let mut groups: Vec<(Claims<'_>, bool)> = Vec::new();
    let mut numbers = Vec::new();
    for environment in &environments {
        let reads = reads_world(environment);
        let fits =
            groups.iter_mut().position(|(claims, is_read)| !(reads && *is_read) && claims.add(environment).is_ok());
        let number = fits.unwrap_or_else(|| {
            let mut claims = Claims::default();
            // The group is new, so an error can come only from two fixtures of this environment. `refuse_conflicts`
            // reports this error later.
            let _ = claims.add(environment);
            groups.push((claims, false));
            groups.len() - 1
        });
        groups[number].1 |= reads;
        numbers.push(number);
    }
    let mut divided: Vec<Vec<EnvironmentPlan>> = groups.iter().map(|_| Vec::new()).collect();
    for (environment, number) in environments.into_iter().zip(numbers) {
        divided[number].push(environment);
    }
    divided
}

fn reads_world(environment: &EnvironmentPlan) -> bool {
    let scenarios = environment.variants.iter().map(|it| &it.variant.scenario);
    scenarios.flat_map(Scenario::steps).any(|it| it.step.action.reads_world())
}
