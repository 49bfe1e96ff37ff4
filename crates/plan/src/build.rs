//! Computes the plan: which clusters and environments exist, and what each contains.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parallax_vocab::VariantId;
use serde_json::Value;

use super::cluster::{ClusterPlan, EdgePlan, EnvironmentPlan, Plan, VariantPlan};
use super::namespaces::Namespaces;
use super::{apart, claims, hosts, pods};
use parallax_language::fixture::{self, ClusterNeeds, Contributions, ExpansionCache, Library, Scopes};
use parallax_language::scenario::diagnostic::{suggest, tidy};
use parallax_language::scenario::model::{CLUSTER_READY, ClusterTraits, Discovery, Placed, Scenario};
use parallax_language::scenario::template::Tree;
use parallax_language::scenario::{Diagnostic, Loaded, Variant, map_in_parallel};

/// The range of node ports of each cluster (`--service-node-port-range`). The apiserver assigns the first 128 ports of
/// this range to Services only when all other ports of the range are used (docs/facts.md#paths-and-flags-of-k3s). With
/// the smaller default range, the apiserver would hold back fewer than 128 ports.
pub const NODE_PORTS: RangeInclusive<u16> = 28_000..=32_767;
/// The largest number of Services of one cluster that are reachable through the edge. Each of these Services uses one
/// of the 128 node ports that the apiserver assigns last. A Service that a flow creates may get any of the other ports.
const EDGES_LIMIT: usize = 128;
/// The largest number of environments on one cluster.
const ENVIRONMENTS_LIMIT: usize = 500;
/// The namespace with which fixtures are expanded if the result must be the same for every environment.
pub(super) const ANY_NAMESPACE: &str = "namespace";
/// The reason why the plan cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A fixture could not be expanded.
    #[error("{} problems in scenarios", .0.len())]
    Diagnostics(Vec<Diagnostic>),
    /// Two environments of one cluster, or two fixtures of one environment, need the same thing. This is a DNS name, a
    /// name outside the cluster, or a cluster-wide object with different content.
    #[error(
        "{first} and {second} both claim {what}, which a cluster has only once; give one of them another name, or other cluster traits"
    )]
    Conflict {
        /// The id of the environment that came first.
        first: String,
        /// The id of the environment that came second.
        second: String,
        /// The name or object that both environments need.
        what: String,
    },
}

/// The selected variants of one environment, before the host names of the environment are decided.
struct Draft<'a> {
    id: String,
    loaded: &'a Loaded,
    namespace: String,
    variants: Vec<&'a Variant>,
    declared_hosts: Vec<String>,
}

/// How much of each environment the plan computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The plan computes everything, for a run.
    Whole,
    /// The plan computes only the names and cluster-wide objects of each environment. This is enough to find conflicts.
    Claims,
}

/// Computes the plan of a run of the selected variants in clusters that the harness starts.
pub fn build(library: &Library, scenarios: &[Loaded], selected: &BTreeSet<VariantId>) -> Result<Plan, PlanError> {
    build_in(library, scenarios, selected, Namespaces::Each)
}

/// Computes the plan of a run of the selected variants. `namespaces` decides where the environments are.
pub fn build_in(
    library: &Library,
    scenarios: &[Loaded],
    selected: &BTreeSet<VariantId>,
    namespaces: Namespaces<'_>,
) -> Result<Plan, PlanError> {
    to_depth(library, scenarios, selected, (Depth::Whole, namespaces))
}

/// Checks for `lint` whether the plan can be computed. The check computes only a part of the plan, so it is many times
/// faster than [`build`].
pub fn check(library: &Library, scenarios: &[Loaded], selected: &BTreeSet<VariantId>) -> Result<(), PlanError> {
    to_depth(library, scenarios, selected, (Depth::Claims, Namespaces::Each)).map(drop)
}

fn to_depth(
    library: &Library,
    scenarios: &[Loaded],
    selected: &BTreeSet<VariantId>,
    (depth, namespaces): (Depth, Namespaces<'_>),
) -> Result<Plan, PlanError> {
    let cache = ExpansionCache::default();
    let mut groups: BTreeMap<Wants, Vec<Draft<'_>>> = BTreeMap::new();
    let mut problems = Vec::new();
    let drafts = drafts(library, &cache, scenarios, (selected, namespaces));
    let each_alone = matches!(namespaces, Namespaces::One(_));
    let mut wants = map_in_parallel(&drafts, |draft| Wants::of(library, &cache, draft, each_alone));
    keep_disputed_kinds(&mut wants);
    for (draft, wants) in drafts.into_iter().zip(wants) {
        match wants {
            Ok(wants) => groups.entry(wants).or_default().push(draft),
            Err(wrong) => problems.extend(wrong),
        }
    }
    let mut clusters = Vec::new();
    let groups =
        groups.iter().flat_map(|(wants, drafts)| drafts.chunks(ENVIRONMENTS_LIMIT).map(move |drafts| (wants, drafts)));
    for (wants, drafts) in groups {
        let alone = drafts.len() == 1;
        let mut environments = Vec::new();
        for environment in map_in_parallel(drafts, |draft| environment(library, draft, alone, depth)) {
            match environment {
                Ok(environment) => environments.push(environment),
                Err(diagnostics) => problems.extend(diagnostics),
            }
        }
        // If each variant has its own environment (`Unshared`), the environments of a scenario claim the same names. So
        // they need different clusters.
        let parts = match namespaces {
            Namespaces::Unshared => claims::without_conflict(environments),
            _ => vec![environments],
        };
        for environments in parts.into_iter().flat_map(with_edges) {
            let name = format!("c{}", clusters.len() + 1);
            let cluster = ClusterPlan { name, traits: wants.traits.clone(), environments, priority: 0 };
            claims::refuse_conflicts(&cluster.environments)?;
            clusters.push(cluster);
        }
    }
    if problems.is_empty() { Ok(Plan { clusters }) } else { Err(PlanError::Diagnostics(tidy(problems))) }
}

/// Divides the selected variants into environments, and gives each environment its namespace.
fn drafts<'a>(
    library: &Library,
    cache: &ExpansionCache,
    scenarios: &'a [Loaded],
    (selected, namespaces): (&BTreeSet<VariantId>, Namespaces<'_>),
) -> Vec<Draft<'a>> {
    let mut taken = BTreeSet::new();
    let mut drafts = Vec::new();
    for loaded in scenarios {
        let environments = match namespaces {
            Namespaces::Unshared => apart::unshared(loaded, selected),
            _ => apart::environments(library, cache, loaded, selected),
        };
        for (id, variants) in environments {
            let Some(first) = variants.first() else { continue };
            let namespace = namespaces.name(&loaded.path, first.break_id.as_deref(), &mut taken);
            let declared_hosts = fixture::hosts(library, &first.scenario);
            drafts.push(Draft { id, loaded, namespace, variants, declared_hosts });
        }
    }
    drafts
}

/// What an environment requires of its cluster. Environments with equal requirements share a cluster. Cluster-wide
/// objects are part of the requirements, because an environment must not find an object in its cluster that the
/// environment itself does not declare.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wants {
    traits: ClusterTraits,
    objects: Vec<String>,
    /// The CRDs of namespaced kinds that fixtures define: the content of each CRD, by its name. A CRD that all
    /// environments define in the same way is removed from this map, because it is no reason for a separate cluster.
    kinds: BTreeMap<String, String>,
    /// The id of the environment, if the environment must not share its cluster; otherwise `None`. There are four
    /// reasons: a break declares that the cluster does not become ready, a flow stops or starts a node, a node trusts
    /// an authority of a fixture, or all environments use one existing namespace.
    alone: Option<String>,
}

impl Wants {
    /// Collects what an environment requires of its cluster. If `each_alone` is true, no environment shares its
    /// cluster.
    fn of(
        library: &Library,
        cache: &ExpansionCache,
        draft: &Draft<'_>,
        each_alone: bool,
    ) -> Result<Self, Vec<Diagnostic>> {
        let variant = draft.variants[0];
        // The fixtures are expanded with a placeholder for the namespace. So objects of two environments compare as
        // equal even if they contain the namespace.
        let fixtures = draft
            .loaded
            .with_places(variant, |places| cache.expand(library, &variant.scenario, ANY_NAMESPACE, places))?;
        let mut traits = variant.scenario.cluster.clone();
        // The trait `discovery` says who may read the issuer's documents. The scenario's own value takes precedence. If
        // the scenario has no value, the value is the widest access that one of its fixtures needs.
        let needs = || fixtures.values().map(|it| &it.cluster);
        traits.discovery = traits.discovery.or_else(|| needs().filter_map(|it| it.discovery).max());
        let published = needs().map(|it| &it.published).find(|it| !it.is_empty());
        traits.published = traits.published.or_else(|| published.cloned());
        let needed = |of: fn(&ClusterNeeds) -> &Vec<String>| -> Vec<String> { needs().flat_map(of).cloned().collect() };
        traits.tls_san = joined(needed(|it| &it.tls_san), traits.tls_san);
        // If a flag is given several times, the apiserver uses the last one. The scenario's own flags come last, so
        // they override the flags of fixtures.
        traits.apiserver_args = joined(needed(|it| &it.apiserver_args), traits.apiserver_args);
        for agent in &mut traits.agents {
            agent.server = agent.server.take().map(|it| pods::filled_text(&it, &fixtures));
        }
        traits.discovery = traits.discovery.filter(|it| *it != Discovery::None);
        let wide = fixtures.values().flat_map(|it| &it.cluster_objects).map(|it| &it.manifest);
        let (kinds, wide): (Vec<&Value>, Vec<&Value>) = wide.partition(|it| defines_namespaced_kind(it));
        let name = |kind: &Value| kind.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let kinds = kinds.into_iter().map(|it| (name(it), it.to_string())).collect();
        let wide = wide.into_iter().filter(|it| !is_confined(it, ANY_NAMESPACE));
        let mut objects: Vec<String> = wide.map(Value::to_string).collect();
        // All environments of a cluster also see the cluster-wide objects that a step applies. Therefore these objects
        // are part of the requirements too.
        let scenarios = || draft.variants.iter().map(|it| &it.scenario);
        let scopes = Scopes::in_use(fixtures.values().map(Arc::as_ref), scenarios());
        let steps = scenarios().flat_map(Scenario::steps);
        let applied = steps.flat_map(|it| it.step.action.applied()).map(Tree::value);
        objects.extend(applied.filter(|it| scopes.is_cluster_scoped(it)).map(Value::to_string));
        objects.sort();
        objects.dedup();
        let on_a_node = |it: &Placed<'_>| it.step.action.changes().is_some_and(|it| it.reach().node.is_some());
        let acts_on_a_node = |it: &Variant| it.scenario.steps().iter().any(on_a_node);
        // If a node trusts an authority that is a fixture, this authority belongs to one environment only. So the
        // environment cannot share its cluster.
        let trusts = traits.agents.iter().any(|it| it.trust.is_some());
        // Which cluster-wide objects `helm` or `kustomize` makes is known only in a run.
        let wide = fixtures.values().flat_map(|it| &it.sources).any(|it| it.cluster_wide);
        let alone = each_alone
            || trusts
            || wide
            || draft.variants.iter().any(|it| it.fails.contains_key(CLUSTER_READY) || acts_on_a_node(it));
        Ok(Self { traits, objects, kinds, alone: alone.then(|| draft.id.clone()) })
    }
}

/// Whether an object is the CRD of a namespaced kind. Such a CRD adds a kind to the whole cluster, but the objects of
/// this kind are in namespaces. So environments may share the cluster. If an environment applies objects of a kind but
/// defines no CRD for it, the scope of the kind is not known. These objects then count as cluster-wide, so they are a
/// reason for a separate cluster.
fn defines_namespaced_kind(manifest: &Value) -> bool {
    manifest["kind"] == "CustomResourceDefinition" && manifest["spec"]["scope"] == "Namespaced"
}

/// Removes from all requirements the CRDs that all environments define in the same way. Such CRDs are no reason for
/// separate clusters.
fn keep_disputed_kinds(wants: &mut [Result<Wants, Vec<Diagnostic>>]) {
    let mut contents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, content) in wants.iter().flatten().flat_map(|it| &it.kinds) {
        contents.entry(name.clone()).or_default().insert(content.clone());
    }
    for it in wants.iter_mut().flatten() {
        it.kinds.retain(|name, _| contents.get(name).is_some_and(|it| it.len() > 1));
    }
}

/// Whether a cluster-wide object affects only the given namespace. This is true for a webhook configuration whose
/// webhooks are called only for objects in this namespace. The webhooks do not affect other environments, so other
/// environments may share the cluster.
fn is_confined(manifest: &Value, namespace: &str) -> bool {
    let own = |webhook: &Value| {
        webhook.pointer("/namespaceSelector/matchLabels/kubernetes.io~1metadata.name").and_then(Value::as_str)
            == Some(namespace)
    };
    let is_webhook = manifest["kind"].as_str().is_some_and(|kind| kind.ends_with("WebhookConfiguration"));
    let asked = manifest["webhooks"].as_array();
    is_webhook && asked.is_some_and(|webhooks| !webhooks.is_empty() && webhooks.iter().all(own))
}

/// Appends the second list to the first. If a value is in both, only its last occurrence stays.
fn joined(mut first: Vec<String>, second: Vec<String>) -> Vec<String> {
    for it in second {
        first.retain(|other| *other != it);
        first.push(it);
    }
    first
}

fn environment(
    library: &Library,
    draft: &Draft<'_>,
    alone: bool,
    depth: Depth,
) -> Result<EnvironmentPlan, Vec<Diagnostic>> {
    let hosts: BTreeMap<String, String> = draft
        .declared_hosts
        .iter()
        .map(|host| (host.clone(), hosts::effective(host, &draft.namespace, alone)))
        .collect();
    // All variants of this environment have the same fixtures, so it is enough to read the fixtures of the first
    // variant.
    let first = draft.variants[0];
    let mut environment =
        EnvironmentPlan { id: draft.id.clone(), namespace: draft.namespace.clone(), ..EnvironmentPlan::default() };
    if depth == Depth::Claims {
        let renamed = first.fixtures_with_hosts(&hosts);
        environment.fixtures =
            draft.loaded.with_places(first, |places| fixture::claims(library, &renamed, &draft.namespace, places))?;
        return Ok(environment);
    }
    let variants = draft.variants.iter().map(|variant| with_hosts(draft.loaded, variant, &hosts));
    let mut variants = variants.collect::<Vec<_>>();
    let fixtures = draft.loaded.expand(library, &variants[0].variant, &draft.namespace)?;
    for variant in &mut variants {
        let ready = fixtures.iter().flat_map(|(id, it)| it.ready.iter().map(move |ready| (id, ready.id(id))));
        let places = ready.map(|(id, what)| {
            let place = match &variant.variant.break_id {
                Some(break_id) if variant.variant.fails.contains_key(&what) => {
                    draft.loaded.place_of_cause(break_id, &what)
                }
                _ => draft.loaded.place_of_fixture(id),
            };
            (what, place)
        });
        let mut places = places.collect::<Vec<_>>();
        if let Some(break_id) =
            variant.variant.break_id.as_ref().filter(|_| variant.variant.fails.contains_key(CLUSTER_READY))
        {
            places.push((CLUSTER_READY.to_owned(), draft.loaded.place_of_cause(break_id, CLUSTER_READY)));
        }
        variant.places.extend(places);
    }
    let hosts_without_container = hosts_without_container(draft.loaded, &variants[0].variant, &fixtures);
    if !hosts_without_container.is_empty() {
        return Err(hosts_without_container);
    }
    let (pods, service_accounts) = pods::of(&mut variants, &fixtures);
    let outside = variants.iter().flat_map(|it| it.variant.scenario.vantages.values());
    let outside = outside.filter_map(|vantage| Some(vantage.outside_image()?.to_owned())).collect();
    Ok(EnvironmentPlan { hosts, fixtures, pods, service_accounts, outside, variants, ..environment })
}

/// Returns a diagnostic for each wrong CoreDNS entry. A wrong entry needs the address of a fixture's container outside
/// the cluster, but the fixture runs no container there.
fn hosts_without_container(
    loaded: &Loaded,
    variant: &Variant,
    fixtures: &BTreeMap<String, Contributions>,
) -> Vec<Diagnostic> {
    let has_container = |id: &str| fixtures.get(id).is_some_and(|it| !it.containers.is_empty());
    let hosts = fixtures.iter().flat_map(|(id, it)| it.dns_hosts.iter().map(move |host| (id, host)));
    let wrong = hosts.filter(|(_, host)| !has_container(&host.address_of)).map(|(id, host)| {
        let known = fixtures.iter().filter(|(_, it)| !it.containers.is_empty()).map(|(id, _)| id.as_str());
        let message = format!("{}: `{}` has no container outside the cluster", variant.id, host.address_of);
        loaded.fixture_error(id, message).fix(suggest(&host.address_of, known, "fixtures with one"))
    });
    wrong.collect()
}

fn with_hosts(loaded: &Loaded, variant: &Variant, hosts: &BTreeMap<String, String>) -> VariantPlan {
    let variant = variant.with_hosts(hosts);
    let place = |step: &str| match &variant.break_id {
        Some(id) if variant.fails.contains_key(step) => loaded.place_of_cause(id, step),
        _ => loaded.place_of(step),
    };
    let places = variant.scenario.steps().iter().map(|it| (it.step.id.clone(), place(&it.step.id))).collect();
    VariantPlan { id: variant.id.clone(), file: loaded.file.clone(), variant, pods: BTreeMap::new(), places }
}

/// Gives a node port to each Service that is reachable through the edge. Divides the environments among clusters, so
/// that each cluster has enough node ports.
fn with_edges(environments: Vec<EnvironmentPlan>) -> Vec<Vec<EnvironmentPlan>> {
    let mut clusters = vec![Vec::new()];
    let mut next_port = *NODE_PORTS.start();
    for mut environment in environments {
        let wanted: usize = environment.fixtures.values().map(|it| it.edges.len()).sum();
        let used = usize::from(next_port - NODE_PORTS.start());
        if used > 0 && used + wanted > EDGES_LIMIT {
            next_port = *NODE_PORTS.start();
            clusters.push(Vec::new());
        }
        environment.edges = edges(&environment.fixtures, &mut next_port);
        clusters.last_mut().expect("there is always a cluster").push(environment);
    }
    clusters
}

fn edges(fixtures: &BTreeMap<String, Contributions>, next_port: &mut u16) -> Vec<EdgePlan> {
    let mut edges = Vec::new();
    for (id, contributions) in fixtures {
        for edge in &contributions.edges {
            edges.push(EdgePlan {
                fixture: id.clone(),
                host: edge.host.clone(),
                port: edge.port,
                selector: edge.selector.clone(),
                target_port: edge.target_port,
                subdomains: edge.subdomains,
                node_port: *next_port,
            });
            *next_port += 1;
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespaced_kind_parts_clusters_only_if_it_is_defined_differently() {
        let crd = |scope: &str| json!({ "kind": "CustomResourceDefinition", "spec": { "scope": scope } });
        assert!(defines_namespaced_kind(&crd("Namespaced")));
        assert!(!defines_namespaced_kind(&crd("Cluster")));
        let wants = |kinds: &[(&str, &str)]| {
            let kinds = kinds.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect();
            Ok(Wants { traits: ClusterTraits::default(), objects: Vec::new(), kinds, alone: None })
        };
        let mut all = [wants(&[("a", "1"), ("b", "1")]), wants(&[("a", "2"), ("b", "1")]), wants(&[])];
        keep_disputed_kinds(&mut all);
        let left: Vec<_> = all.iter().flatten().map(|it| it.kinds.keys().cloned().collect::<Vec<_>>()).collect();
        assert_eq!(left, [vec!["a".to_owned()], vec!["a".to_owned()], vec![]]);
    }

    #[test]
    fn only_a_webhook_that_is_asked_about_its_own_namespace_alone_is_confined() {
        let own = json!({ "matchLabels": { "kubernetes.io/metadata.name": ANY_NAMESPACE } });
        let other = json!({ "matchLabels": { "kubernetes.io/metadata.name": "other" } });
        let webhook = |webhooks: Value| json!({ "kind": "MutatingWebhookConfiguration", "webhooks": webhooks });
        for (manifest, expected) in [
            (webhook(json!([{ "namespaceSelector": own }])), true),
            (json!({ "kind": "ValidatingWebhookConfiguration", "webhooks": [{ "namespaceSelector": own }] }), true),
            (webhook(json!([{ "namespaceSelector": own }, { "namespaceSelector": other }])), false),
            (webhook(json!([{ "namespaceSelector": own }, {}])), false),
            (webhook(json!([])), false),
            (json!({ "kind": "MutatingWebhookConfiguration" }), false),
            (json!({ "kind": "ClusterRole", "webhooks": [{ "namespaceSelector": own }] }), false),
        ] {
            assert_eq!(is_confined(&manifest, ANY_NAMESPACE), expected, "{manifest}");
        }
    }
}
