//! Removes a run's objects from somebody else's cluster, and waits until they are gone. The cluster itself stays.
//!
//! Each object that a run creates in such a cluster has a label with the run's id. A search for this label needs only
//! the id and no other data of the run. Therefore the run itself, its reaper and `parallax gc` can all remove the same
//! objects. A controller may create further objects for a labelled object. These further objects name the labelled
//! object as their owner (owner references). Kubernetes deletes them before their owner (foreground deletion).

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions, PropagationPolicy};
use kube::discovery::{Scope, verbs};
use kube::{Api, Client, ResourceExt as _};
use parallax_vocab::RunId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::ApplyError;
use super::objects::RUN_LABEL;
use super::server_side::discovered;
use super::take_down::held_by;
use super::{Applier, take_down};
use crate::cluster::{Ended, until};
use parallax_record::in_full;

/// The time limit until all objects of a run are gone. The limit is long, because Kubernetes gives a pod 30 seconds to
/// end by default, and a manifest may give it more.
const GONE_WITHIN: Duration = Duration::from_mins(3);
/// The pause between two searches for the run's objects. The code polls, because the alternative is one watch for each
/// kind of the cluster, and these watches would cost the apiserver more than a few list requests.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The time after which a search that found nothing is repeated. If the run was stopped while a request was under way,
/// the apiserver may still create the object of this request. No event shows that the apiserver will not create that
/// object any more. So a second search is needed.
const QUIET: Duration = Duration::from_secs(1);
/// The number of kinds whose objects are listed at the same time.
const LISTED_AT_ONCE: usize = 8;

/// The parts of somebody else's cluster in which a run may have created objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The existing namespace that all environments use. `None` if the run creates a namespace for each environment.
    pub namespace: Option<String>,
    /// Whether the run may create objects outside its namespaces (`--allow-cluster-changes`).
    pub wide: bool,
}

/// The result of removing a run's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The objects that were removed, each as `KIND NAME`. The contents of a removed namespace are not listed.
    pub removed: BTreeSet<String>,
    /// One line for each object that may still exist: a command that removes it, and the reason.
    pub remaining: Vec<String>,
}

/// A kind of objects that is searched for the run's label. If `namespace` is `None`, the whole cluster is searched,
/// otherwise only this namespace.
#[derive(Clone)]
struct Searched {
    resource: ApiResource,
    scope: Scope,
    namespace: Option<String>,
}

struct Found {
    kind: Searched,
    object: DynamicObject,
}

impl Found {
    fn title(&self) -> String {
        format!("{} {}", self.kind.resource.kind, self.object.name_any())
    }

    fn command(&self) -> String {
        let place = self.object.namespace().map(|it| format!(" -n {it}")).unwrap_or_default();
        format!("kubectl{place} delete {} {}", self.kind.resource.plural, self.object.name_any())
    }

    async fn delete(&self, client: &Client) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = match (self.kind.scope.clone(), self.object.namespace()) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(client.clone(), &namespace, &self.kind.resource)
            }
            _ => Api::all_with(client.clone(), &self.kind.resource),
        };
        let same = Preconditions { uid: self.object.uid(), ..Preconditions::default() };
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(same),
            ..DeleteParams::default()
        };
        match api.delete(&self.object.name_any(), &parameters).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Removes every object with the label of the run, and waits until each is gone.
pub async fn clear(client: &Client, run: &RunId, reach: &Reach) -> Cleared {
    let mut cleared = Cleared::default();
    if let Err(why) = look_and_remove(client, run, reach, &mut cleared).await {
        let place = reach.namespace.as_ref().map_or_else(|| "-A".to_owned(), |it| format!("-n {it}"));
        let command = format!("kubectl get all,secret,configmap {place} -l {RUN_LABEL}={run}");
        cleared.remaining.push(format!("{command}  # the search for what is left failed: {why}"));
    }
    cleared
}

async fn look_and_remove(client: &Client, run: &RunId, reach: &Reach, cleared: &mut Cleared) -> Result<(), String> {
    let deadline = Instant::now() + GONE_WITHIN;
    let all = searched(client, reach).await.map_err(|error| error.to_string())?;
    let mut kinds = all.clone();
    let mut empty_looks = 0;
    loop {
        let found = match look(client, run, &kinds).await {
            Ok(found) => found,
            Err(error) if Instant::now() < deadline => {
                tracing::debug!(error = in_full(&error), "the search for a run's objects is repeated");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
            Err(error) => return Err(in_full(&error)),
        };
        if found.is_empty() {
            // After a search that found objects, `kinds` contains only the kinds of these objects. A search of these
            // kinds shows only that these objects are gone. Only a search of all kinds shows that nothing is left.
            empty_looks += usize::from(kinds.len() == all.len());
            if empty_looks == 2 {
                return Ok(());
            }
            kinds.clone_from(&all);
            if empty_looks == 1 {
                tokio::time::sleep(QUIET).await;
            }
            continue;
        }
        empty_looks = 0;
        let mut refused = Vec::new();
        for it in &found {
            if it.object.metadata.deletion_timestamp.is_none() {
                match it.delete(client).await {
                    Ok(()) => drop(cleared.removed.insert(it.title())),
                    Err(error) => refused.push(format!("{}  # {}", it.command(), in_full(&error))),
                }
            }
        }
        if Instant::now() >= deadline {
            let late = format!("not gone after {} s", GONE_WITHIN.as_secs());
            let under_way = found.iter().filter(|it| it.object.metadata.deletion_timestamp.is_some());
            let lines = under_way.map(|it| format!("{}  # {late}", it.command()));
            cleared.remaining = refused.into_iter().chain(lines).collect();
            return Ok(());
        }
        kinds = found.into_iter().map(|it| (it.kind.resource.clone(), it.kind)).fold(Vec::new(), |mut kinds, it| {
            if kinds.iter().all(|other: &Searched| other.resource != it.0) {
                kinds.push(it.1);
            }
            kinds
        });
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Returns the kinds of which the run may have objects, each with the namespace to search.
async fn searched(client: &Client, reach: &Reach) -> Result<Vec<Searched>, ApplyError> {
    let namespaces =
        Searched { resource: ApiResource::erase::<Namespace>(&()), scope: Scope::Cluster, namespace: None };
    if reach.namespace.is_none() && !reach.wide {
        return Ok(vec![namespaces]);
    }
    let kinds = discovered(client).await?;
    // All versions of an API group are searched and not only the preferred version, because a scenario may apply an
    // object of any version.
    let kinds = kinds.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability);
    let kinds = kinds.filter(|(_, it)| it.supports_operation(verbs::LIST) && it.supports_operation(verbs::DELETE));
    // Events are left out, because Kubernetes removes them itself after an hour, and few users have the right to delete
    // events.
    let kinds = kinds.filter(|(resource, _)| resource.kind != "Event");
    let kinds = kinds.filter(|(_, it)| reach.wide || it.scope == Scope::Namespaced);
    let searched = kinds.flat_map(|(resource, it)| {
        let within = reach.namespace.clone().filter(|_| it.scope == Scope::Namespaced);
        // A user may have the right to create cluster-wide objects, and have all other rights only in the namespace
        // `within`. Then the apiserver refuses the search of the whole cluster. So this namespace is also searched by
        // itself.
        let everywhere = (within.is_none() || reach.wide).then_some(None);
        let places = [within.map(Some), everywhere].into_iter().flatten();
        let search = move |namespace| Searched { resource: resource.clone(), scope: it.scope.clone(), namespace };
        places.map(search).collect::<Vec<_>>()
    });
    Ok(searched.collect())
}

/// Returns the existing objects of these kinds that have the label of the run.
async fn look(client: &Client, run: &RunId, kinds: &[Searched]) -> Result<Vec<Found>, kube::Error> {
    let only = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let lists = kinds.iter().map(|kind| async {
        let api: Api<DynamicObject> = match &kind.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource),
            None => Api::all_with(client.clone(), &kind.resource),
        };
        match api.list(&only).await {
            Ok(list) => Ok(list.items.into_iter().map(|object| Found { kind: kind.clone(), object }).collect()),
            // The user has no right to list this kind, or the kind no longer exists. In both cases the run has no
            // object of this kind: before a run creates an object, it checks that the user has the right to list
            // objects of that kind.
            Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    });
    let mut found = Vec::new();
    let mut lists = stream::iter(lists).buffer_unordered(LISTED_AT_ONCE);
    while let Some(list) = lists.next().await {
        let list: Vec<Found> = list?;
        found.extend(list);
    }
    Ok(found)
}

/// Removes one environment from somebody else's cluster, and waits until it is gone. If the run created the
/// environment's namespace, removes the namespace. Otherwise, removes only the run's objects in the namespace. Returns
/// the number of the removed namespaces or objects.
pub async fn take_away(applier: &Applier, run: &RunId, namespace: &str) -> Result<usize, ApplyError> {
    let client = applier.client();
    if applier.visit().is_some_and(|it| it.namespace.is_some()) {
        let reach = Reach { namespace: Some(namespace.to_owned()), wide: false };
        let cleared = clear(client, run, &reach).await;
        return match cleared.remaining.first() {
            None => Ok(cleared.removed.len()),
            Some(line) => Err(ApplyError::Remains {
                what: format!("the removal from namespace {namespace}"),
                reason: line.clone(),
            }),
        };
    }
    take_down(applier, namespace).await?;
    let api: Api<Namespace> = Api::all(client.clone());
    let what = format!("the removal of namespace {namespace}");
    match until(&api, namespace, |it: Option<&Namespace>| it.is_none(), Instant::now() + GONE_WITHIN).await {
        Ended::Met(_) => Ok(1),
        Ended::Unseen(reason) => Err(ApplyError::Watch { what, reason }),
        Ended::NotMet(_) => {
            let held = held_by(client, namespace).await?;
            let reason = if held.is_empty() { "it still exists".to_owned() } else { held.join("; ") };
            Err(ApplyError::Remains { what, reason })
        }
    }
}
