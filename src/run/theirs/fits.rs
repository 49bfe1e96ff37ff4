//! Decides, from the plan alone, which variants can run in a cluster that the harness does not own, and says why the
//! others cannot.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::apply::Needs;
use parallax_language::fixture::Scopes;
use parallax_language::scenario::model::{AttachKind, CLUSTER_AUTHORITY, ClusterTraits};
use parallax_language::scenario::template::Tree;
use parallax_plan::{ClusterPlan, EnvironmentPlan, VariantPlan};

/// The option that allows a run to create objects outside its namespaces.
const CHANGES: &str = "--allow-cluster-changes";

/// The properties of the cluster and of the run's permissions that decide which variants can run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Whether the run may create objects outside its namespaces.
    pub(super) wide: bool,
    /// Whether the user named an existing namespace for all environments.
    pub(super) is_named: bool,
    /// Whether the kubeconfig contains the certificate of the cluster's authority.
    pub(super) has_authority: bool,
}

/// The reasons why no variant of an environment can run. The list is empty if nothing in the plan prevents the variants
/// from running.
pub(super) fn reasons(place: Place, cluster: &ClusterPlan, plan: &EnvironmentPlan) -> Vec<String> {
    let mut reasons = of_traits(&cluster.traits);
    for (id, it) in &plan.fixtures {
        for rule in &it.dns_rules {
            reasons.push(format!("fixture `{id}` needs a DNS rule for {} in the cluster's CoreDNS", rule.from));
        }
        for host in &it.dns_hosts {
            reasons.push(format!("fixture `{id}` needs the name {} in the cluster's CoreDNS", host.name));
        }
        for container in &it.containers {
            reasons.push(format!("fixture `{id}` runs the container `{}` beside the cluster's nodes", container.name));
        }
        if it.store.as_ref().is_some_and(|it| it.prefix.is_none()) {
            reasons.push(format!("store `{id}` must be reached from outside the cluster, and no edge leads there"));
        }
        let wide = it.cluster_objects.iter().map(|it| &it.manifest);
        let elsewhere = it.objects.iter().map(|it| &it.manifest).filter(|it| is_elsewhere(it, &plan.namespace));
        reasons.extend(
            wide.chain(elsewhere)
                .filter(|_| !place.wide)
                .map(|it| format!("fixture `{id}` creates {} outside its namespace, which needs {CHANGES}", title(it))),
        );
    }
    for (name, pod) in &plan.pods {
        if let Some(node) = &pod.node {
            reasons.push(format!("the pod of vantage `{name}` must run on node `{node}`"));
        }
        let named = pod.trust.iter().chain(&pod.ca_bundle);
        if !place.has_authority && named.clone().any(|it| it == CLUSTER_AUTHORITY) {
            reasons.push(without_authority(name));
        }
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

/// The reasons why one variant of an environment cannot run.
pub(super) fn reasons_of_variant(place: Place, plan: &EnvironmentPlan, variant: &VariantPlan) -> Vec<String> {
    let scenario = &variant.variant.scenario;
    let mut reasons = Vec::new();
    for (id, vantage) in scenario.vantages.iter().filter(|(_, it)| it.outside.is_some()) {
        if let Some(image) = vantage.outside_image() {
            reasons.push(format!("vantage `{id}` is a container of image {image} beside the cluster's nodes"));
        } else if !plan.edges.is_empty() {
            reasons
                .push(format!("vantage `{id}` is outside the cluster, and no edge leads from there to its Services"));
        }
    }
    for (id, vantage) in &scenario.vantages {
        let Some(attach) = &vantage.attach else { continue };
        if attach.existing && !place.is_named {
            let to = &attach.to;
            reasons.push(format!(
                "vantage `{id}` asks from {to}, which exists before the run: --namespace NAME names its namespace"
            ));
        }
        if !place.has_authority && attach.trust.iter().any(|it| it == CLUSTER_AUTHORITY) {
            reasons.push(without_authority(id));
        }
    }
    let scopes = Scopes::in_use(plan.fixtures.values(), std::iter::once(scenario));
    for placed in scenario.steps() {
        let (step, action) = (&placed.step.id, &placed.step.action);
        if let Some(what) = action.owners() {
            reasons.push(format!("step `{step}` needs {what}, which only the owner of the cluster has"));
        }
        for it in action.applied().iter().map(Tree::value) {
            if !place.wide && (scopes.is_cluster_scoped(it) || is_elsewhere(it, &plan.namespace)) {
                reasons
                    .push(format!("step `{step}` creates {} outside its namespace, which needs {CHANGES}", title(it)));
            }
        }
        let touched = action.changes().map(|it| it.reach().touched).unwrap_or_default();
        // `--allow-cluster-changes` does not permit a step to change or delete objects in other namespaces, because
        // the harness could not undo this.
        for it in touched.iter().filter(|_| action.applied().is_empty()) {
            if let Some(namespace) = it.namespace.as_ref().filter(|it| **it != plan.namespace) {
                reasons
                    .push(format!("step `{step}` changes {} in namespace {namespace}, which is not its own", it.kind));
            }
        }
    }
    reasons
}

fn without_authority(vantage: &str) -> String {
    format!("vantage `{vantage}` trusts the cluster's authority, which the kubeconfig does not contain")
}

/// Returns the rights (RBAC) that the run needs in the cluster to set up an environment and to run its variants.
pub(super) fn needs(plan: &EnvironmentPlan) -> Needs {
    let kind = |it: &Value| {
        let word = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        (word("apiVersion"), word("kind"))
    };
    let fixtures = || plan.fixtures.values();
    let objects = fixtures().flat_map(|it| it.objects.iter().chain(&it.cluster_objects)).map(|it| kind(&it.manifest));
    let steps = || plan.variants.iter().flat_map(|it| it.variant.scenario.steps());
    let applied = steps().flat_map(|it| it.step.action.applied()).map(|it| kind(it.value()));
    let own = |kind: &str, is_used: bool| is_used.then(|| ("v1".to_owned(), kind.to_owned()));
    let secrets =
        fixtures().any(|it| !(it.certificates.is_empty() && it.credentials.is_empty() && it.issuing.is_empty()));
    let maps = fixtures().any(|it| !it.bundles.is_empty()) || plan.pods.values().any(|it| !it.ca_bundle.is_empty());
    let accounts = plan.service_accounts.iter().any(|it| it != "default");
    let own = [own("Secret", secrets), own("ConfigMap", maps), own("ServiceAccount", accounts)];
    let crds = fixtures().flat_map(|it| &it.cluster_objects).map(|it| &it.manifest);
    let adds = crds.filter_map(|it| it.pointer("/spec/names/kind")?.as_str().map(str::to_owned)).collect();
    let tokens = steps().any(|it| it.step.action.special().token.is_some_and(|it| it.issuer.is_none()));
    let kinds: BTreeSet<_> = objects.chain(applied).chain(own.into_iter().flatten()).collect();
    let vantages = plan.variants.iter().flat_map(|it| it.variant.scenario.vantages.values());
    let attached = vantages.filter_map(|it| it.attach.as_ref()).flat_map(|it| {
        let workload = it.workload().map(|it| it.0).and_then(|kind| match kind {
            AttachKind::Deployment => Some(("get", "apps", "deployments", "")),
            AttachKind::StatefulSet => Some(("get", "apps", "statefulsets", "")),
            AttachKind::DaemonSet => Some(("get", "apps", "daemonsets", "")),
            AttachKind::Pod => None,
        });
        let ephemeral = it.image.as_ref().map(|_| ("patch", "", "pods", "ephemeralcontainers"));
        workload.into_iter().chain(ephemeral)
    });
    let attached = attached.collect();
    Needs { kinds, adds, tokens, attached }
}

/// The reasons why an environment with these traits cannot run in somebody else's cluster. Each needed trait is one
/// reason, because the run can neither see nor set the flags of such a cluster.
fn of_traits(traits: &ClusterTraits) -> Vec<String> {
    let ClusterTraits { discovery, apiserver_args, controller_manager_args, kubelet_args, tls_san, published, agents } =
        traits;
    let flags = |program: &'static str, args: &[String]| {
        args.iter().map(move |it| format!("the {program} needs the flag --{it}")).collect::<Vec<_>>()
    };
    let mut reasons = flags("apiserver", apiserver_args);
    reasons.extend(flags("controller manager", controller_manager_args));
    reasons.extend(flags("kubelet", kubelet_args));
    reasons.extend(tls_san.iter().map(|it| format!("the apiserver's certificate needs the name {it}")));
    reasons.extend(published.iter().map(|it| format!("the apiserver must be published as {it}")));
    reasons.extend(agents.iter().map(|it| format!("the cluster needs the further node `{}`", it.name)));
    if discovery.is_some() {
        reasons.push("the issuer's documents must be readable without signing in".to_owned());
    }
    reasons
}

/// Whether the `namespace` field of an object contains another namespace than the namespace of the environment.
fn is_elsewhere(manifest: &Value, namespace: &str) -> bool {
    manifest.pointer("/metadata/namespace").and_then(Value::as_str).is_some_and(|it| it != namespace)
}

fn title(manifest: &Value) -> String {
    let word = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", word("/kind"), word("/metadata/name"))
}

#[cfg(test)]
mod tests {
    use parallax_language::fixture::{Contributions, Library, Object};
    use parallax_language::scenario::Loaded;
    use parallax_plan::{Namespaces, Plan};
    use serde_json::json;

    use super::*;

    /// A cluster in which the run has no permission, and a cluster in which it has all permissions.
    const CLOSED: Place = Place { wide: false, is_named: false, has_authority: false };
    const OPEN: Place = Place { wide: true, is_named: true, has_authority: true };
    const POD: &str = "vantages:\n  app: { pod: {} }\n";
    const ASKED: &str =
        "flow:\n  - { id: asked, from: app, dns: { name: a.example.com }, expect: { dns: no-such-name } }\n";

    fn planned(body: &str) -> Plan {
        let library = Library::shipped();
        let text = format!("name: s\nsummary: A name does not exist\n{body}");
        let loaded = Loaded::read(&library, "s", "s.yaml", text.as_bytes());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{body}: {errors:?}"));
        let baseline = BTreeSet::from([loaded.variants[0].id.clone()]);
        let plan = parallax_plan::build_in(&library, &[loaded], &baseline, Namespaces::One("team"));
        plan.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// For a plan with one variant: the reasons why its environment cannot run, then the reasons why its variant cannot
    /// run.
    fn all(place: Place, plan: &Plan) -> Vec<String> {
        let cluster = &plan.clusters[0];
        let environment = &cluster.environments[0];
        let mut all = reasons(place, cluster, environment);
        all.extend(reasons_of_variant(place, environment, &environment.variants[0]));
        all
    }

    #[test]
    fn each_reason_is_told_in_words() {
        let flow = |steps: &str| format!("{POD}{ASKED}{steps}");
        let outside = "fixtures:\n  ca: { use: certificate-authority }\n  \
                       store: { use: minio-outside, host: s3.example.com, tls: { issuer: ca } }\n  \
                       name: { use: dns-host, name: s3.example.com, address-of: store }\n";
        let inside = "fixtures:\n  ca: { use: certificate-authority }\n  \
                      store: { use: minio, host: s3.example.com, tls: { issuer: ca } }\n";
        let from_outside = "vantages:\n  app: { pod: {} }\n  host: { outside: {} }\n";
        let beside = "vantages:\n  app: { pod: {} }\n  host: { outside: { image: agent } }\n";
        let from_host = "  - { id: there, from: host, dns: { name: a.example.com }, expect: { dns: no-such-name } }\n";
        for (body, expected) in [
            (flow(""), vec![]),
            (
                format!(
                    "cluster:\n  discovery: narrow\n  apiserver-args: [event-ttl=2h]\n  \
                     controller-manager-args: [cluster-signing-duration=1h]\n  kubelet-args: [max-pods=50]\n  \
                     tls-san: [k8s.example.com]\n  published: api.example.com\n  agents: [{{ name: far }}]\n\
                     vantages:\n  app: {{ pod: {{ node: far }} }}\n{ASKED}"
                ),
                vec![
                    "the apiserver must be published as api.example.com",
                    "the apiserver needs the flag --event-ttl=2h",
                    "the apiserver's certificate needs the name k8s.example.com",
                    "the cluster needs the further node `far`",
                    "the controller manager needs the flag --cluster-signing-duration=1h",
                    "the issuer's documents must be readable without signing in",
                    "the kubelet needs the flag --max-pods=50",
                    "the pod of vantage `app` must run on node `far`",
                ],
            ),
            (
                format!(
                    "fixtures:\n  names: {{ use: dns-rewrite, from: a.example.com, to: b.example.com }}\n{}",
                    flow("")
                ),
                vec!["fixture `names` needs a DNS rule for a.example.com in the cluster's CoreDNS"],
            ),
            (
                format!("{outside}{}", flow("")),
                vec![
                    "fixture `name` needs the name s3.example.com in the cluster's CoreDNS",
                    "fixture `store` runs the container `minio` beside the cluster's nodes",
                    "store `store` must be reached from outside the cluster, and no edge leads there",
                ],
            ),
            (
                format!("{inside}{from_outside}{ASKED}{from_host}"),
                vec![
                    "store `store` must be reached from outside the cluster, and no edge leads there",
                    "vantage `host` is outside the cluster, and no edge leads from there to its Services",
                ],
            ),
            (
                format!("{beside}{ASKED}{from_host}"),
                vec!["vantage `host` is a container of image agent beside the cluster's nodes"],
            ),
            (
                flow("  - { id: crashed, end: { pod: vantage-app, how: crash } }\n"),
                vec!["step `crashed` needs the container runtime of a node, which only the owner of the cluster has"],
            ),
            (
                flow(
                    "  - { id: gone, delete: { api-version: v1, kind: ConfigMap, name: theirs, namespace: other } }\n",
                ),
                vec!["step `gone` changes ConfigMap in namespace other, which is not its own"],
            ),
        ] {
            let plan = planned(&body);
            assert_eq!(all(CLOSED, &plan), expected, "{body}");
            assert_eq!(all(OPEN, &plan), expected, "no permission changes this: {body}");
        }
    }

    #[test]
    fn each_reason_that_a_permission_takes_away_is_told_in_words() {
        let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "all" }, "rules": [] });
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "there", "namespace": "other" }, "data": {} });
        let object = |manifest: &Value| Object { manifest: manifest.clone(), place: "a.yaml#1".to_owned() };
        let mut with_fixture = planned(&format!("{POD}{ASKED}"));
        let own = Contributions {
            objects: vec![object(&map)],
            cluster_objects: vec![object(&role)],
            ..Contributions::default()
        };
        with_fixture.clusters[0].environments[0].fixtures.insert("own".to_owned(), own);
        let applied = format!("{POD}{ASKED}  - id: made\n    apply:\n      objects: [{role}, {map}]\n");
        let existing = format!("vantages:\n  app: {{ attach: {{ to: deploy/shop, existing: true }} }}\n{ASKED}");
        let guest_trusts = format!("vantages:\n  app: {{ attach: {{ to: pod/shop, trust: [cluster] }} }}\n{ASKED}");
        let trusts = format!("vantages:\n  app: {{ pod: {{ trust: [cluster] }} }}\n{ASKED}");
        for (plan, expected) in [
            (
                with_fixture,
                vec![
                    "fixture `own` creates ClusterRole all outside its namespace, which needs --allow-cluster-changes",
                    "fixture `own` creates ConfigMap there outside its namespace, which needs --allow-cluster-changes",
                ],
            ),
            (
                planned(&applied),
                vec![
                    "step `made` creates ClusterRole all outside its namespace, which needs --allow-cluster-changes",
                    "step `made` creates ConfigMap there outside its namespace, which needs --allow-cluster-changes",
                ],
            ),
            (
                planned(&existing),
                vec![
                    "vantage `app` asks from deploy/shop, which exists before the run: --namespace NAME names its namespace",
                ],
            ),
            (
                planned(&guest_trusts),
                vec!["vantage `app` trusts the cluster's authority, which the kubeconfig does not contain"],
            ),
            (
                planned(&trusts),
                vec!["vantage `app` trusts the cluster's authority, which the kubeconfig does not contain"],
            ),
        ] {
            assert_eq!(all(CLOSED, &plan), expected);
            assert_eq!(all(OPEN, &plan), [""; 0]);
        }
    }
}
