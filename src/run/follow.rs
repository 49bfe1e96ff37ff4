//! Follows the charts and kustomizations of an environment that is kept (`parallax up`): applies the difference between
//! the objects that stand and those that `helm` and `kustomize` make now.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use parallax_language::fixture::{Contributions, Object};
use serde_json::{Value, json};

use super::environment::Stage;
use super::standing::Answer;
use super::{concealed, reached};
use crate::act::{self, ActError, Scope};
use crate::apply::{self, ApplyError, Declared, Former};
use parallax_record::in_full;

/// The time limit for the deletion of an object.
const GONE_WITHIN: Duration = Duration::from_mins(1);
/// The kinds whose objects cannot be changed. A changed object is deleted and made again, so that its program runs again.
const REPLACED: [&str; 2] = ["Job", "Pod"];

/// What distinguishes an object from the others: its group, kind, namespace and name.
type Key = (String, String, String, String);

/// The objects that stand for the charts and kustomizations of an environment.
#[derive(Debug)]
pub(super) struct Stands {
    objects: BTreeMap<Key, Value>,
    /// The fixtures with changed objects that are not known to be ready.
    unsettled: BTreeSet<String>,
}

/// The objects that must be made or changed, and those that must be removed.
#[derive(Debug, Default, PartialEq)]
struct Difference<'a> {
    /// Each object with the id of its fixture. `true` if an object of this key stands already.
    applied: Vec<(&'a str, &'a Object, bool)>,
    removed: Vec<Key>,
}

impl Stands {
    /// The objects with which the environment was set up.
    pub(super) fn of(namespace: &str, fixtures: &BTreeMap<String, Contributions>) -> Self {
        let objects = all(fixtures).map(|(_, it)| (key(&it.manifest, namespace), it.manifest.clone())).collect();
        Self { objects, unsettled: BTreeSet::new() }
    }

    fn difference<'a>(&self, namespace: &str, made: &'a BTreeMap<String, Contributions>) -> Difference<'a> {
        let mut difference = Difference::default();
        let mut wanted = BTreeSet::new();
        for (id, object) in all(made) {
            let key = key(&object.manifest, namespace);
            let stands = self.objects.get(&key);
            if stands != Some(&object.manifest) {
                difference.applied.push((id, object, stands.is_some()));
            }
            wanted.insert(key);
        }
        difference.removed = self.objects.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        // The kind of an object is removed after the object.
        difference.removed.sort_by_key(|(_, kind, _, _)| kind == "CustomResourceDefinition");
        difference
    }

    /// Applies the objects that are new or changed, removes those that are not made any more, and waits until the fixtures
    /// with changed objects are ready. Returns whether something was changed. The error is the answer to the request. The
    /// next call then goes on where this one ended.
    pub(super) async fn follow(
        &mut self,
        stage: &Stage<'_>,
        made: &BTreeMap<String, Contributions>,
    ) -> Result<bool, Answer> {
        let namespace = &stage.scene.plan.namespace;
        let Difference { applied, removed } = self.difference(namespace, made);
        if applied.is_empty() && removed.is_empty() && self.unsettled.is_empty() {
            return Ok(false);
        }
        all(made).for_each(|(_, it)| concealed::register(&stage.context.redactor, &it.manifest));
        let words = in_words(&applied, &removed);
        let setup =
            stage.context.sink.setup(format!("objects/{namespace}"), "applies what helm and kustomize make".to_owned());
        let result = self.carry_out(stage, (&applied, &removed), made).await;
        match &result {
            Ok(()) => setup.done(words),
            Err(_) => setup.done(format!("{words}; not all of it took effect")),
        }
        result.map(|()| true)
    }

    async fn carry_out(
        &mut self,
        stage: &Stage<'_>,
        (applied, removed): (&[(&str, &Object, bool)], &[Key]),
        made: &BTreeMap<String, Contributions>,
    ) -> Result<(), Answer> {
        let (namespace, certificates) = (&stage.scene.plan.namespace, &stage.scene.environment.certificates);
        for &(id, object, stands) in applied {
            self.unsettled.insert(id.to_owned());
            let key = key(&object.manifest, namespace);
            if stands && REPLACED.contains(&key.1.as_str()) {
                self.remove(stage, &key).await?;
            }
            // Until the object is applied, only its version is known.
            self.objects.insert(key, json!({ "apiVersion": object.manifest["apiVersion"] }));
        }
        let former = Former::of(stage.applier.client()).await.map_err(answer)?;
        let manifests: Vec<(Value, String)> =
            applied.iter().map(|(_, it, _)| (it.manifest.clone(), it.place.clone())).collect();
        apply::in_order(stage.applier, namespace, certificates, &manifests).await.map_err(answer)?;
        for (manifest, _) in manifests {
            self.objects.insert(key(&manifest, namespace), manifest);
        }
        for key in removed {
            self.remove(stage, key).await?;
        }
        for (_, object, stands) in applied {
            if *stands && object.manifest["kind"] == "StatefulSet" {
                former.replace(stage.applier.client(), namespace, &object.manifest).await.map_err(answer)?;
            }
        }
        let fixtures = made.iter().filter(|(id, _)| self.unsettled.contains(*id));
        let unready = apply::unready(stage.applier, namespace, fixtures, &Declared::without_pods(former))
            .await
            .map_err(answer)?;
        if !unready.is_empty() {
            let each = unready.iter().map(|it| {
                let reason = format!("{} did not become ready: {}", it.what, it.cause);
                iter::once(reason)
                    .chain(it.evidence.iter().map(|line| format!("    {line}")))
                    .collect::<Vec<_>>()
                    .join("\n")
            });
            return Err(Answer::No(each.collect::<Vec<_>>().join("\n")));
        }
        reach(stage).await?;
        self.unsettled.clear();
        Ok(())
    }

    /// Deletes an object that stands, with its dependents, and waits until it is gone.
    async fn remove(&mut self, stage: &Stage<'_>, key: &Key) -> Result<(), Answer> {
        let (group, kind, namespace, name) = key;
        let version = self.objects.get(key).and_then(|it| it["apiVersion"].as_str()).map(str::to_owned);
        let version = version.unwrap_or_else(|| format!("{group}/v1").trim_start_matches('/').to_owned());
        match stage.applier.locate(&version, kind, namespace, name).await {
            // The definition of its kind is gone, and the object with it.
            Err(ApplyError::Api { source, .. }) if apply::is_unknown(&source) => {}
            Err(error) => return Err(answer(error)),
            Ok((title, api)) => {
                let there = api.get_opt(name).await;
                let there = there.map_err(|error| Answer::Failed(format!("get {title}: {}", in_full(&error))))?;
                if there.is_some() {
                    let scope = Scope { cluster: stage.scene.cluster, namespace, within: GONE_WITHIN };
                    match Box::pin(act::delete(&scope, &api, &title, name)).await {
                        Ok(_) => {}
                        Err(ActError::Cause(cause)) => return Err(Answer::No(cause.to_string())),
                        Err(other) => return Err(Answer::Failed(other.to_string())),
                    }
                }
            }
        }
        self.objects.remove(key);
        Ok(())
    }
}

/// Waits until the vantages in pods reach the Services. The nodes need a moment to learn the new pods of a Service.
async fn reach(stage: &Stage<'_>) -> Result<(), Answer> {
    let client = stage.applier.client();
    let services: Api<Service> = Api::namespaced(client.clone(), &stage.scene.plan.namespace);
    let listed = services.list(&ListParams::default()).await;
    let listed = listed.map_err(|error| Answer::Failed(format!("list the Services: {}", in_full(&error))))?;
    let unreached = reached::applied(client, &stage.pods, &listed.items).await;
    for it in unreached.map_err(|error| Answer::Failed(error.to_string()))? {
        stage.context.sink.warn(it.to_string());
    }
    Ok(())
}

/// The objects of the fixtures that have a chart or a kustomization, each with the id of its fixture.
fn all(fixtures: &BTreeMap<String, Contributions>) -> impl Iterator<Item = (&str, &Object)> {
    let made = fixtures.iter().filter(|(_, it)| !it.sources.is_empty());
    made.flat_map(|(id, it)| it.cluster_objects.iter().chain(&it.objects).map(move |object| (id.as_str(), object)))
}

fn key(manifest: &Value, namespace: &str) -> Key {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = word(&manifest["apiVersion"]);
    let (group, _) = version.split_once('/').unwrap_or_default();
    let of = manifest["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned();
    (group.to_owned(), word(&manifest["kind"]), of, word(&manifest["metadata"]["name"]))
}

/// Describes what is done: `new Service a; changed Deployment b; removed Job c`.
fn in_words(applied: &[(&str, &Object, bool)], removed: &[Key]) -> String {
    let names = |stands: bool| {
        let some = applied.iter().filter(move |(_, _, it)| *it == stands);
        some.map(|(_, it, _)| key(&it.manifest, "")).collect::<Vec<_>>()
    };
    let parts = [("new", names(false)), ("changed", names(true)), ("removed", removed.to_vec())];
    let words = parts.iter().filter(|(_, keys)| !keys.is_empty()).map(|(what, keys)| {
        let names: Vec<String> = keys.iter().map(|(_, kind, _, name)| format!("{kind} {name}")).collect();
        format!("{what} {}", names.join(", "))
    });
    let words = words.collect::<Vec<_>>().join("; ");
    if words.is_empty() { "waits again until they are ready".to_owned() } else { words }
}

fn answer(error: ApplyError) -> Answer {
    match error {
        ApplyError::Refused { .. } | ApplyError::NotAnObject { .. } | ApplyError::NoImage { .. } => {
            Answer::No(error.to_string())
        }
        other => Answer::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use parallax_language::fixture::Source;
    use serde_json::json;

    use super::*;

    fn made(objects: &[Value]) -> BTreeMap<String, Contributions> {
        let source = json!({ "folder": { "path": "app", "at": "" }, "maker": { "kustomize": { "within": "app" } },
            "images": [], "cluster-wide": false });
        let source: Source = serde_json::from_value(source).expect("a source");
        let objects = objects.iter().map(|it| Object { manifest: it.clone(), place: String::new() }).collect();
        let it = Contributions { sources: vec![source], objects, ..Contributions::default() };
        // Objects of other fixtures do not follow.
        let other = Object { manifest: json!({ "kind": "ConfigMap" }), place: String::new() };
        let other = Contributions { objects: vec![other], ..Contributions::default() };
        BTreeMap::from([("app".to_owned(), it), ("other".to_owned(), other)])
    }

    fn object(version: &str, kind: &str, name: &str, more: &str) -> Value {
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name }, "more": more })
    }

    #[test]
    fn only_what_differs_is_applied_and_what_is_not_made_any_more_is_removed() {
        let same = object("v1", "ConfigMap", "same", "");
        let before = [
            same.clone(),
            object("apps/v1", "Deployment", "a", "1"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "zones", ""),
            object("example.com/v1", "Zone", "z", ""),
        ];
        let stands = Stands::of("n", &made(&before));
        assert_eq!(stands.difference("n", &made(&before)), Difference::default());
        // An object with the variant's namespace is the same as one without.
        let mut elsewhere = same.clone();
        elsewhere["metadata"]["namespace"] = "m".into();
        let now = made(&[same, object("apps/v1", "Deployment", "a", "2"), elsewhere]);
        let difference = stands.difference("n", &now);
        assert_eq!(
            in_words(&difference.applied, &difference.removed),
            "new ConfigMap same; changed Deployment a; removed Zone z, CustomResourceDefinition zones"
        );
        assert!(difference.applied.iter().all(|(id, _, _)| *id == "app"));
        // A newer version of the same kind is the same object.
        let newer = made(&[object("apps/v2", "Deployment", "a", "1")]);
        assert!(stands.difference("n", &newer).applied[0].2);
    }
}
