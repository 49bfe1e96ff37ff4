//! The types of a plan: clusters, environments, and the variants in each environment.

use std::collections::{BTreeMap, BTreeSet};

use parallax_vocab::VariantId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use parallax_language::fixture::{Container, Contributions, DnsHost, DnsRule, Scopes};
use parallax_language::scenario::Variant;
use parallax_language::scenario::model::{ClusterTraits, PodVantage, Scenario};

/// The plan of a whole run: everything that the run will start.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The clusters, each with its environments.
    pub clusters: Vec<ClusterPlan>,
}

impl Plan {
    /// Every variant with its cluster and its environment, in the order in which the report lists the variants.
    pub fn variants(&self) -> impl Iterator<Item = (&ClusterPlan, &EnvironmentPlan, &VariantPlan)> {
        self.clusters.iter().flat_map(|cluster| {
            cluster.environments.iter().flat_map(move |environment| {
                environment.variants.iter().map(move |variant| (cluster, environment, variant))
            })
        })
    }

    /// A copy of the plan that contains only the given variants. `suffix` is appended to the names of the clusters,
    /// because the clusters of the original plan may still exist.
    #[must_use]
    pub fn only(&self, variants: &BTreeSet<VariantId>, suffix: &str) -> Self {
        let mut plan = self.clone();
        for cluster in &mut plan.clusters {
            cluster.name.push_str(suffix);
            for environment in &mut cluster.environments {
                environment.variants.retain(|it| variants.contains(&it.id));
            }
            cluster.environments.retain(|it| !it.variants.is_empty());
        }
        plan.clusters.retain(|it| !it.environments.is_empty());
        plan
    }

    /// The environment with the given namespace; `None` if there is none.
    pub fn environment(&self, namespace: &str) -> Option<&EnvironmentPlan> {
        self.clusters.iter().flat_map(|cluster| &cluster.environments).find(|it| it.namespace == namespace)
    }

    /// The names of the images, as in `images.lock`, that nodes need for fixtures, for vantage pods, and for objects
    /// that steps apply.
    pub fn images(&self) -> BTreeSet<&str> {
        self.clusters.iter().flat_map(ClusterPlan::images).collect()
    }

    /// The names of the images for the vantages outside the clusters.
    pub fn outside_images(&self) -> BTreeSet<&str> {
        self.clusters.iter().flat_map(ClusterPlan::outside_images).collect()
    }

    /// The names of the images for the containers that fixtures start outside the clusters.
    pub fn container_images(&self) -> BTreeSet<&str> {
        self.clusters.iter().flat_map(ClusterPlan::container_images).collect()
    }
}

/// The names from `images.lock` that a Kubernetes object contains. The value of a field `image` is such a name if the
/// value contains no slash, no colon and no template. A value with a slash or a colon is a complete image reference.
fn named(object: &Value) -> Vec<&str> {
    match object {
        Value::Object(fields) => {
            let own = fields.get("image").and_then(Value::as_str).filter(|it| !it.contains(['/', ':', '{']));
            own.into_iter().chain(fields.values().flat_map(named)).collect()
        }
        Value::Array(items) => items.iter().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

/// One cluster of the plan: its traits, and the environments that share it.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterPlan {
    /// The name of the cluster: `c1`, `c2` and so on.
    pub name: String,
    /// The traits that the cluster must have.
    pub traits: ClusterTraits,
    /// The environments of the cluster, each in its own namespace.
    pub environments: Vec<EnvironmentPlan>,
    /// The priority of the cluster's start: approximately the milliseconds of work that cannot begin before the cluster
    /// has started.
    #[serde(skip)]
    pub priority: u64,
}

impl ClusterPlan {
    /// All DNS rules of the fixtures in the cluster. The harness writes the rules into the cluster before CoreDNS
    /// starts.
    pub fn dns_rules(&self) -> impl Iterator<Item = &DnsRule> {
        self.environments.iter().flat_map(|it| it.fixtures.values()).flat_map(|it| &it.dns_rules)
    }

    /// The cluster-wide objects of the fixtures, each as `KIND NAME`.
    pub fn objects(&self) -> BTreeSet<String> {
        let objects = self.environments.iter().flat_map(|it| it.fixtures.values()).flat_map(|it| &it.cluster_objects);
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        objects.map(|it| format!("{} {}", word(&it.manifest["kind"]), word(&it.manifest["metadata"]["name"]))).collect()
    }

    /// The DNS entries of fixtures: names that the cluster's CoreDNS resolves to the address of a fixture's container.
    /// Each entry comes with the namespace of its environment.
    pub fn dns_hosts(&self) -> impl Iterator<Item = (&str, &DnsHost)> {
        self.environments.iter().flat_map(|it| {
            let hosts = it.fixtures.values().flat_map(|fixture| &fixture.dns_hosts);
            hosts.map(|host| (it.namespace.as_str(), host))
        })
    }

    /// The names of the images that the cluster's nodes need for fixtures, for vantage pods, and for objects that steps
    /// apply.
    pub fn images(&self) -> BTreeSet<&str> {
        self.environments.iter().flat_map(EnvironmentPlan::images).collect()
    }

    /// The names of the images for the containers that fixtures start outside the cluster.
    pub fn container_images(&self) -> BTreeSet<&str> {
        self.containers().map(|(_, it)| it.image.as_str()).collect()
    }

    /// The names of all images that the cluster's environments need.
    pub fn all_images(&self) -> BTreeSet<&str> {
        self.environments.iter().flat_map(EnvironmentPlan::all_images).collect()
    }

    /// The containers that fixtures start outside the cluster, each with the id of its fixture.
    pub fn containers(&self) -> impl Iterator<Item = (&str, &Container)> {
        let fixtures = self.environments.iter().flat_map(|it| &it.fixtures);
        fixtures.flat_map(|(id, it)| it.containers.iter().map(move |container| (id.as_str(), container)))
    }

    /// Whether a flow stops or starts this node.
    pub fn acts_on(&self, node: &str) -> bool {
        let variants = self.environments.iter().flat_map(|it| &it.variants);
        let mut steps = variants.flat_map(|it| it.variant.scenario.steps());
        steps.any(|it| it.step.action.changes().and_then(|it| it.reach().node).is_some_and(|it| it.as_str() == node))
    }

    /// The names of the images for the vantages outside the cluster.
    pub fn outside_images(&self) -> BTreeSet<&str> {
        self.environments.iter().flat_map(|it| &it.outside).map(String::as_str).collect()
    }

    /// All Services of the cluster that are reachable from outside through the edge.
    pub fn edges(&self) -> impl Iterator<Item = &EdgePlan> {
        self.environments.iter().flat_map(|it| &it.edges)
    }
}

/// The plan of one environment: a namespace with its fixtures, and the variants that run in it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EnvironmentPlan {
    /// The id of the environment. The environment that the baseline shares with other variants has the scenario's path
    /// as its id. Every other environment has the id of its only variant. Unlike the namespace, the id does not depend
    /// on which variants are selected.
    pub id: String,
    /// The name of the environment's namespace.
    pub namespace: String,
    /// Maps each host name in the scenario to the name that this environment uses for it.
    pub hosts: BTreeMap<String, String>,
    /// The contributions of each fixture (objects, DNS rules, containers, …), by the fixture's id.
    pub fixtures: BTreeMap<String, Contributions>,
    /// The Services that are reachable from outside the cluster.
    pub edges: Vec<EdgePlan>,
    /// The vantage pods, by the name of the pod. There is one for each vantage id, and more if variants need different
    /// pods for the same vantage.
    pub pods: BTreeMap<String, PodVantage>,
    /// The names of the ServiceAccounts that vantage pods run as, or for which tokens are issued.
    pub service_accounts: BTreeSet<String>,
    /// The names of the images for the vantages outside the cluster that run in a container.
    pub outside: BTreeSet<String>,
    /// The variants that run in this environment, one after the other: the baseline first, then the breaks that share
    /// the environment.
    pub variants: Vec<VariantPlan>,
    /// The priority of the environment's start: approximately the milliseconds of work until the environment ends, plus
    /// the milliseconds of work that waits for its end.
    #[serde(skip)]
    pub priority: u64,
}

impl EnvironmentPlan {
    /// The names of the images that the cluster's nodes need for this environment.
    pub fn images(&self) -> BTreeSet<&str> {
        let fixtures = self.fixtures.values().flat_map(|it| &it.images).map(String::as_str);
        let steps = self.variants.iter().flat_map(|it| it.variant.scenario.steps());
        let applied = steps.flat_map(|it| it.step.action.applied()).flat_map(|it| named(it.value()));
        let vantages = self.variants.iter().flat_map(|it| it.variant.scenario.vantages.values());
        let guests = vantages.filter_map(|it| it.attach.as_ref()?.image.as_deref());
        let pods = self.pods.values().filter_map(|pod| pod.image.as_deref());
        fixtures.chain(pods).chain(guests).chain(applied).collect()
    }

    /// The names of all images that the environment needs: those of its pods, of its vantages outside the cluster, and
    /// of the containers that its fixtures start outside the cluster.
    pub fn all_images(&self) -> BTreeSet<&str> {
        let containers = self.fixtures.values().flat_map(|it| &it.containers).map(|it| it.image.as_str());
        self.images().into_iter().chain(self.outside.iter().map(String::as_str)).chain(containers).collect()
    }

    /// Whether the flow of a variant applies cluster-wide objects. Flows that apply cluster-wide objects must not run
    /// at the same time.
    pub fn applies_wide(&self) -> bool {
        let scenarios = || self.variants.iter().map(|it| &it.variant.scenario);
        let scopes = Scopes::in_use(self.fixtures.values(), scenarios());
        let steps = scenarios().flat_map(Scenario::steps);
        steps.flat_map(|it| it.step.action.applied()).any(|it| scopes.is_cluster_scoped(it.value()))
    }
}

/// A Service that is reachable from outside the cluster, with its node port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgePlan {
    /// The id of the fixture that the Service belongs to.
    pub fixture: String,
    /// The host name by which clients outside the cluster reach the Service.
    pub host: String,
    /// The port to which clients outside the cluster connect.
    pub port: u16,
    /// The pod labels that the `NodePort` Service selects.
    pub selector: BTreeMap<String, String>,
    /// The port on which the pods listen.
    pub target_port: u16,
    /// The node port to which the edge forwards connections.
    pub node_port: u16,
    /// Whether each name that has one label more than `host` leads to the Service too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subdomains: bool,
}

impl EdgePlan {
    /// The host names that lead to the Service, in lower case. `*.HOST` stands for each name that has one label more
    /// than `HOST`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let host = self.host.to_lowercase();
        let below = self.subdomains.then(|| format!("*.{host}"));
        [host].into_iter().chain(below)
    }
}

/// A variant with the host names that its environment uses.
#[derive(Clone, Debug, Serialize)]
pub struct VariantPlan {
    /// The id of the variant.
    pub id: VariantId,
    /// The path of the scenario file, relative to the project.
    pub file: String,
    /// The variant itself, with the host names of this environment.
    #[serde(skip)]
    pub variant: Variant,
    /// Maps the id of each vantage that is a pod to the name of this pod.
    pub pods: BTreeMap<String, String>,
    /// Maps the id of each step and of each readiness check to its place, as `file:line`. If a break declares that the
    /// step or the check fails, the place is the line of this declaration.
    pub places: BTreeMap<String, String>,
}
