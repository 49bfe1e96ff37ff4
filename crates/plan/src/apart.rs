//! Decides which variants of a scenario may share an environment. Each variant must find the environment in its initial
//! state, whatever ran in it before.

use std::collections::BTreeSet;
use std::sync::Arc;

use parallax_vocab::VariantId;
use serde_json::Value;

use super::build::ANY_NAMESPACE;
use parallax_language::fixture::{ExpansionCache, Library, Scope, Scopes};
use parallax_language::scenario::action::Effect;
use parallax_language::scenario::model::{ScriptStep, Step};
use parallax_language::scenario::template::Tree;
use parallax_language::scenario::{Loaded, Variant};

/// Groups the selected variants of a scenario by environment; each group has an id. The baseline and the variants that
/// change only steps and vantages share one environment. Every other variant has its own environment. A variant also
/// has its own if it changes which objects a step applies, or if its flow or the baseline's flow changes the
/// environment in a way that `run::reset` cannot undo. Otherwise one variant would find the objects that another
/// variant had patched or deleted.
pub(super) fn environments<'a>(
    library: &Library,
    cache: &ExpansionCache,
    loaded: &'a Loaded,
    selected: &BTreeSet<VariantId>,
) -> Vec<(String, Vec<&'a Variant>)> {
    let mut shared = Vec::new();
    let mut own = Vec::new();
    let baseline = &loaded.variants[0];
    let found = Found::of(library, cache, loaded);
    let undone = |variant: &Variant| {
        let steps = variant.scenario.steps();
        steps.iter().all(|it| it.step.nature().effect != Effect::Changes && can_be_undone(variant, it.step, &found))
    };
    let baseline_undone = undone(baseline);
    for variant in loaded.variants.iter().filter(|variant| selected.contains(&variant.id)) {
        // A variant that changes which objects a step applies needs its own environment.
        let steps = variant.scenario.steps();
        let applies =
            |id: &String| steps.iter().any(|it| it.step.id == *id && it.step.nature().effect == Effect::Applies);
        let as_planned = variant.touches.fixtures.is_empty()
            && !variant.touches.cluster
            && !variant.touches.flow.iter().any(applies);
        if variant.break_id.is_none() || as_planned && baseline_undone && undone(variant) {
            shared.push(variant);
        } else {
            own.push((variant.id.to_string(), vec![variant]));
        }
    }
    std::iter::once((loaded.path.clone(), shared)).chain(own).collect()
}

/// Returns a separate environment for each selected variant of a scenario.
pub(super) fn unshared<'a>(loaded: &'a Loaded, selected: &BTreeSet<VariantId>) -> Vec<(String, Vec<&'a Variant>)> {
    let chosen = loaded.variants.iter().filter(|variant| selected.contains(&variant.id));
    chosen.map(|variant| (variant.id.to_string(), vec![variant])).collect()
}

/// The objects of fixtures, which exist in an environment before its first flow starts.
#[derive(Default)]
struct Found {
    /// The kind and the name of each object that the baseline's fixtures create.
    objects: BTreeSet<(String, String)>,
    /// Whether fixtures also create objects that only a run knows.
    has_others: bool,
    scopes: Scopes,
}

impl Found {
    /// Reads the fixtures' objects from the baseline of a scenario. If no step of the baseline applies an object,
    /// nothing uses the result, so the result is empty.
    fn of(library: &Library, cache: &ExpansionCache, loaded: &Loaded) -> Self {
        let baseline = &loaded.variants[0];
        if !baseline.scenario.steps().iter().any(|it| it.step.nature().effect == Effect::Applies) {
            return Self::default();
        }
        let fixtures =
            loaded.with_places(baseline, |places| cache.expand(library, &baseline.scenario, ANY_NAMESPACE, places));
        // If a fixture cannot be expanded, `Wants::of` reports the error. This function then continues as if there were
        // no fixtures.
        let fixtures = fixtures.unwrap_or_default();
        let scopes = Scopes::in_use(fixtures.values().map(Arc::as_ref), [&baseline.scenario]);
        let objects = fixtures.values().flat_map(|it| it.objects.iter().chain(&it.cluster_objects));
        let objects = objects.filter_map(|it| title(&it.manifest));
        let of_kind = |kind: &str, name: &String| (kind.to_owned(), name.clone());
        let made = fixtures.values().flat_map(|it| {
            let certificates = it.certificates.iter().map(|it| of_kind("Secret", &it.secret));
            let credentials = it.credentials.iter().map(|it| of_kind("Secret", &it.secret));
            let issuing = it.issuing.iter().map(|it| of_kind("Secret", &it.secret));
            certificates
                .chain(credentials)
                .chain(issuing)
                .chain(it.bundles.iter().map(|it| of_kind("ConfigMap", &it.config_map)))
        });
        let has_others = fixtures.values().any(|it| !it.sources.is_empty());
        Self { objects: objects.chain(made).collect(), has_others, scopes }
    }
}

fn title(object: &Value) -> Option<(String, String)> {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some((word("/kind")?, word("/metadata/name")?))
}

/// Whether the effect of a step can be undone after the flow. The reset (`run::reset`) can delete an object that the
/// flow created, in the environment's namespace or cluster-wide. It can also delete what probes wrote to a store. A
/// program may have the credentials of a store, or run in a pod with a ServiceAccount. The effect of such a program
/// cannot be undone, because the harness does not know what the program changed in the store or in the cluster.
fn can_be_undone(variant: &Variant, step: &Step, found: &Found) -> bool {
    let own = |object: &Value| {
        let elsewhere = object.pointer("/metadata/namespace").is_some();
        title(object).is_some_and(|it| !it.1.contains("{{") && !found.objects.contains(&it))
            && !found.has_others
            && (!elsewhere || found.scopes.scope(object) == Some(Scope::Cluster))
    };
    let program = |script: &ScriptStep| {
        let vantage = step.from.as_ref().and_then(|from| variant.scenario.vantages.get(from));
        let identity = vantage.and_then(|it| it.pod.as_ref()).is_some_and(|pod| pod.service_account.is_some());
        script.store.is_none() && !identity
    };
    let objects = step.action.applied();
    objects.iter().map(Tree::value).all(own) && step.action.special().program.is_none_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of environments that `environments` returns for a scenario with a baseline and one break. The
    /// scenario's flow contains `step`; the break changes only another step.
    fn of(step: &str) -> usize {
        let text = format!(
            "name: a\nsummary: b\nfixtures:\n  ca: {{ use: certificate-authority }}\n  \
             store: {{ use: minio, host: s3.example.com, tls: {{ issuer: ca }} }}\nvantages:\n  \
             app: {{ pod: {{ trust: [ca], image: clients }} }}\n  known: {{ pod: {{ service-account: app, image: clients }} }}\nflow:\n  - {step}\n  \
             - {{ id: name, from: app, dns: {{ name: \"{{{{ store.host }}}}\" }}, expect: {{ dns: no-such-name }} }}\nbreaks:\n  \
             other:\n    change: {{ flow: {{ name: {{ dns: {{ name: kubernetes.default.svc.cluster.local }} }} }} }}\n    \
             fails: {{ name: {{ mismatch: dns }} }}\n"
        );
        let library = Library::shipped();
        let loaded = Loaded::read(&library, "a", "scenario.yaml", text.as_bytes());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{step}: {errors:?}"));
        let all = loaded.variants.iter().map(|it| it.id.clone()).collect();
        environments(&library, &ExpansionCache::default(), &loaded, &all).len()
    }

    #[test]
    fn variants_share_what_can_be_put_back_and_nothing_else() {
        let apply = |object: &str| format!("{{ id: first, apply: {{ objects: [{object}] }} }}");
        let script = |from: &str, more: &str| {
            format!("{{ id: first, from: {from}, script: {{ run: [/bin/true]{more} }}, expect: {{ exit: 0 }} }}")
        };
        for (step, shared) in [
            (apply("{ apiVersion: v1, kind: ConfigMap, metadata: { name: own } }"), true),
            (apply("{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: own } }"), true),
            // A fixture created these two objects. The reset cannot restore their earlier state, so the step cannot be
            // undone.
            (apply("{ apiVersion: v1, kind: Service, metadata: { name: minio } }"), false),
            (apply("{ apiVersion: v1, kind: Secret, metadata: { name: minio-root } }"), false),
            // The name of the first object is known only at run time, so it could be an object of a fixture. The second
            // object is in another namespace, which the reset does not touch.
            (apply("{ apiVersion: v1, kind: ConfigMap, metadata: { name: \"{{ store.service }}\" } }"), false),
            (apply("{ apiVersion: v1, kind: ConfigMap, metadata: { name: own, namespace: default } }"), false),
            (script("app", ""), true),
            (script("app", ", store: store"), false),
            (script("known", ""), false),
            ("{ id: first, restart: { deployment: minio } }".to_owned(), false),
            ("{ id: first, wait: { deployment: minio } }".to_owned(), true),
        ] {
            assert_eq!(of(&step), if shared { 1 } else { 2 }, "{step}");
        }
    }
}
