//! Which variants of a scenario may share an environment: those of which it is known that the next begins where they began.

use std::collections::BTreeSet;

use parallax_vocab::VariantId;
use serde_json::Value;

use super::build::ANY_NAMESPACE;
use parallax_language::fixture::{ExpansionCache, Library, is_cluster_scoped};
use parallax_language::scenario::action::Effect;
use parallax_language::scenario::model::{ScriptStep, Step};
use parallax_language::scenario::template::Tree;
use parallax_language::scenario::{Action, Loaded, Variant};

/// The selected variants of a scenario by the environment they need: the baseline's is shared by the breaks that change
/// only steps or what a vantage trusts; every other break has one of its own. So has a break that changes what a step applies,
/// and every break of a flow that leaves its environment changed in a way that `run::reset` does not undo: what one patches or
/// deletes, the next would miss. Each with its id.
pub(super) fn environments<'a>(
    library: &Library,
    cache: &ExpansionCache,
    loaded: &'a Loaded,
    selected: &BTreeSet<VariantId>,
) -> Vec<(String, Vec<&'a Variant>)> {
    let mut shared = Vec::new();
    let mut own = Vec::new();
    let baseline = &loaded.variants[0];
    let brought = brought(library, cache, loaded);
    let undone = |variant: &Variant| {
        let steps = variant.scenario.steps();
        steps.iter().all(|it| it.step.nature().effect != Effect::Changes && can_be_undone(variant, it.step, &brought))
    };
    let baseline_undone = undone(baseline);
    for variant in loaded.variants.iter().filter(|variant| selected.contains(&variant.id)) {
        // What a step applies differs from what the baseline's does: it is not to be told apart.
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

/// Kind and name of the objects that the baseline's fixtures bring, where a step applies any.
fn brought(library: &Library, cache: &ExpansionCache, loaded: &Loaded) -> BTreeSet<(String, String)> {
    let baseline = &loaded.variants[0];
    if !baseline.scenario.steps().iter().any(|it| it.step.nature().effect == Effect::Applies) {
        return BTreeSet::new();
    }
    let fixtures =
        loaded.with_places(baseline, |places| cache.expand(library, &baseline.scenario, ANY_NAMESPACE, places));
    // One that cannot be expanded is told elsewhere.
    let fixtures = fixtures.unwrap_or_default();
    let objects = fixtures.values().flat_map(|it| it.objects.iter().chain(&it.cluster_objects));
    let objects = objects.filter_map(|it| title(&it.manifest));
    let of_kind = |kind: &str, name: &String| (kind.to_owned(), name.clone());
    let made = fixtures.values().flat_map(|it| {
        let certificates = it.certificates.iter().map(|it| of_kind("Secret", &it.secret));
        let credentials = it.credentials.iter().map(|it| of_kind("Secret", &it.secret));
        certificates.chain(credentials).chain(it.bundles.iter().map(|it| of_kind("ConfigMap", &it.config_map)))
    });
    objects.chain(made).collect()
}

fn title(object: &Value) -> Option<(String, String)> {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some((word("/kind")?, word("/metadata/name")?))
}

/// Whether what a step leaves can be taken away afterwards: an object of the flow's own, in its own namespace or of the whole
/// cluster; what a store holds. A program with a store's own credentials may have done anything to it.
fn can_be_undone(variant: &Variant, step: &Step, brought: &BTreeSet<(String, String)>) -> bool {
    let own = |object: &Value| {
        let elsewhere = object.pointer("/metadata/namespace").is_some();
        title(object).is_some_and(|it| !it.1.contains("{{") && !brought.contains(&it))
            && (!elsewhere || is_cluster_scoped(object))
    };
    let program = |script: &ScriptStep| {
        let vantage = step.from.as_ref().and_then(|from| variant.scenario.vantages.get(from));
        let identity = vantage.and_then(|it| it.pod.as_ref()).is_some_and(|pod| pod.service_account.is_some());
        script.store.is_none() && !identity
    };
    let objects = step.action.rules().objects();
    objects.iter().map(Tree::value).all(own) && !matches!(&step.action, Action::Script(it) if !program(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The environments of a baseline and of a break that changes one step, with a further step in the flow.
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
            // What the fixtures brought would have to be as it was.
            (apply("{ apiVersion: v1, kind: Service, metadata: { name: minio } }"), false),
            (apply("{ apiVersion: v1, kind: Secret, metadata: { name: minio-root } }"), false),
            // Nobody knows beforehand whose it is.
            (apply("{ apiVersion: v1, kind: ConfigMap, metadata: { name: \"{{ store.service }}\" } }"), false),
            (apply("{ apiVersion: v1, kind: ConfigMap, metadata: { name: own, namespace: default } }"), false),
            (script("app", ""), true),
            (script("app", ", store: store"), false),
            (script("known", ""), false),
            ("{ id: first, restart: { deployment: minio } }".to_owned(), false),
        ] {
            assert_eq!(of(&step), if shared { 1 } else { 2 }, "{step}");
        }
    }
}
