//! A common interface to Deployments and `StatefulSets`: the desired state, the current state, and the pods.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio::time::{Instant, timeout_at};

use super::{ActError, Scope};
use crate::apply::unrecoverable::{self, ANOTHER_TRY};
use crate::cluster::{Ended, selector, until, until_none};

/// A Deployment or a `StatefulSet`, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A Deployment.
    Deployment(String),
    /// A `StatefulSet`.
    StatefulSet(String),
}

impl Workload {
    /// The name of the Deployment or `StatefulSet`.
    pub fn name(&self) -> &str {
        match self {
            Self::Deployment(name) | Self::StatefulSet(name) => name,
        }
    }

    /// The workload in words, for messages.
    pub fn title(&self, namespace: &str) -> String {
        format!("{} {} in namespace {namespace}", self.kind(), self.name())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::StatefulSet(_) => "StatefulSet",
        }
    }

    /// The API for the workload's kind. The objects are untyped, because `scale` and `restart` change the same fields
    /// in a Deployment and in a `StatefulSet`.
    pub(super) fn api(&self, scope: &Scope<'_>) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", self.kind()));
        Api::namespaced_with(scope.cluster.client.clone(), scope.namespace, &resource)
    }

    /// Waits until the workload has reached the desired state of the generation `generation` or of a newer generation.
    /// In this state, the number of pods is right, all pods come from the newest template and are available, and no
    /// older pod exists.
    ///
    /// `concerns` selects the pods whose permanent failure ends the wait early. The other pods will be replaced, so
    /// their state does not matter.
    pub(super) async fn settled(
        &self,
        scope: &Scope<'_>,
        generation: i64,
        concerns: impl Fn(&Pod) -> bool + Send,
    ) -> Result<(), ActError> {
        let title = self.title(scope.namespace);
        let deadline = Instant::now() + scope.within;
        let selector = self.selector(scope).await?;
        let only = watcher::Config::default().labels(&selector);
        let settled = async {
            let rolled = match self {
                Self::Deployment(name) => {
                    let api: Api<Deployment> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
                    let rolled = move |it: Option<&Deployment>| {
                        it.is_some_and(|it| State::of_deployment(it).is_settled(generation))
                    };
                    is_met(until(&api, name, rolled, deadline).await)
                }
                Self::StatefulSet(name) => {
                    let api: Api<StatefulSet> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
                    let rolled =
                        move |it: Option<&StatefulSet>| it.is_some_and(|it| State::of_set(it).is_settled(generation));
                    is_met(until(&api, name, rolled, deadline).await)
                }
            };
            // If the older pods are not gone in time, or if they cannot be watched, the result is false. `missing` then
            // finds out what the workload lacks.
            Ok::<bool, String>(rolled? && timeout_at(deadline, pods_gone(scope, &only)).await.is_ok())
        };
        // The future is boxed, because otherwise the buffers of the watches would enlarge every enclosing future.
        let ended = Box::pin(async {
            tokio::select! {
                settled = settled => Ok(settled),
                why = unrecoverable::pod(scope.cluster.client.clone(), scope.namespace, only.clone(), &concerns, ANOTHER_TRY, None) => Err(why),
            }
        });
        match ended.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => match self.missing(scope, &selector, generation).await? {
                None => Ok(()),
                Some(missing) => Err(ActError::cause(&title, missing)),
            },
            Ok(Err(reason)) => Err(ActError::unseen(&title, reason)),
            Err(why) => Err(ActError::cause(&title, why)),
        }
    }

    /// The label selector of the workload's pods, in the format of an apiserver query.
    async fn selector(&self, scope: &Scope<'_>) -> Result<String, ActError> {
        let title = self.title(scope.namespace);
        let object = self.api(scope).get(self.name()).await.map_err(ActError::of(&title, "get"))?;
        let of = serde_json::from_value(object.data["spec"]["selector"].clone()).unwrap_or_default();
        selector(of).map_err(|why| ActError::cause(&title, format!("{why}, so its pods cannot be found")))
    }

    /// Describes which part of the desired state is missing at the deadline. `None` if the workload has reached the
    /// state although the watch did not show this.
    async fn missing(&self, scope: &Scope<'_>, selector: &str, generation: i64) -> Result<Option<String>, ActError> {
        let title = self.title(scope.namespace);
        let counts = match self {
            Self::Deployment(name) => {
                let api: Api<Deployment> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
                api.get_opt(name).await.map(|it| it.as_ref().map(State::of_deployment))
            }
            Self::StatefulSet(name) => {
                let api: Api<StatefulSet> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
                api.get_opt(name).await.map(|it| it.as_ref().map(State::of_set))
            }
        };
        let counts = counts.map_err(ActError::of(&title, "get"))?;
        let within = within(scope.within);
        let Some(state) = counts else { return Ok(Some(format!("it does not exist, {within}"))) };
        let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
        let pods = pods.list(&ListParams::default().labels(selector)).await;
        let pods = pods.map_err(ActError::of(&title, "list the pods of"))?.items;
        let ends: Vec<String> =
            pods.iter().filter(|it| it.metadata.deletion_timestamp.is_some()).map(ResourceExt::name_any).collect();
        if state.is_settled(generation) && ends.is_empty() {
            return Ok(None);
        }
        let ends = if ends.is_empty() { String::new() } else { format!(", and still there: {}", ends.join(", ")) };
        // Until the controller has observed the new generation, the counts describe pods of the old generation.
        let new = if state.observed >= generation { state.updated } else { 0 };
        let State { wanted, available, .. } = state;
        let said = format!("{wanted} replicas are wanted; {new} are new and {available} available {within}{ends}");
        Ok(Some(said))
    }
}

/// Whether a wait ended because its condition was met. Returns an error with the reason if the workload could no
/// longer be observed.
fn is_met<K>(ended: Ended<K>) -> Result<bool, String> {
    match ended {
        Ended::Met(_) => Ok(true),
        Ended::NotMet(_) => Ok(false),
        Ended::Unseen(reason) => Err(reason),
    }
}

fn within(limit: Duration) -> String {
    format!("after {} s", limit.as_secs())
}

/// The current state of a workload: the generation that the controller has observed, and the numbers of its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    observed: i64,
    wanted: i32,
    all: i32,
    updated: i32,
    available: i32,
}

impl State {
    fn of_deployment(it: &Deployment) -> Self {
        let status = it.status.clone().unwrap_or_default();
        Self {
            observed: status.observed_generation.unwrap_or(0),
            wanted: it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            all: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }

    fn of_set(it: &StatefulSet) -> Self {
        let status = it.status.clone().unwrap_or_default();
        // If all pods of a `StatefulSet` have the same revision, its status omits the number of updated pods.
        let same = status.current_revision == status.update_revision;
        Self {
            observed: status.observed_generation.unwrap_or(0),
            wanted: it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            all: status.replicas,
            updated: if same { status.replicas } else { status.updated_replicas.unwrap_or(0) },
            available: status.available_replicas.unwrap_or(0),
        }
    }

    fn is_settled(self, generation: i64) -> bool {
        let Self { observed, wanted, all, updated, available } = self;
        observed >= generation && all == wanted && updated == wanted && available == wanted
    }
}

/// Waits until no selected pod is being deleted. The status of a workload does not count pods that are being deleted,
/// so it cannot show that the old pods are gone.
async fn pods_gone(scope: &Scope<'_>, selected: &watcher::Config) {
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), scope.namespace);
    let is_deleted = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    Box::pin(until_none(pods, selected.clone(), is_deleted, "pods")).await;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_deployment_is_settled_when_all_of_it_is_new_and_there() {
        let table = [
            (json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), true),
            (json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), false),
            (json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}), false),
            (json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}), false),
            (json!({}), false),
        ];
        for (status, settled) in table {
            let object = deployment(1, &status);
            assert_eq!(State::of_deployment(&object).is_settled(2), settled, "{status}");
        }
        let none = deployment(0, &json!({"observedGeneration": 2}));
        assert!(State::of_deployment(&none).is_settled(2));
    }

    fn deployment(replicas: i32, status: &Value) -> Deployment {
        let object = json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}, "status": status});
        serde_json::from_value(object).expect("a Deployment")
    }

    #[test]
    fn a_stateful_set_is_settled_when_its_pods_are_of_the_newest_revision() {
        let table = [
            (
                json!({"observedGeneration": 2, "replicas": 1, "availableReplicas": 1, "currentRevision": "b", "updateRevision": "b"}),
                true,
            ),
            (
                json!({"observedGeneration": 2, "replicas": 1, "availableReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
                false,
            ),
            (
                json!({"observedGeneration": 2, "replicas": 1, "availableReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
                true,
            ),
            (json!({"observedGeneration": 2, "replicas": 1, "currentRevision": "b", "updateRevision": "b"}), false),
        ];
        for (status, settled) in table {
            let object =
                json!({"spec": {"replicas": 1, "selector": {}, "serviceName": "s", "template": {}}, "status": status});
            let object: StatefulSet = serde_json::from_value(object).expect("a StatefulSet");
            assert_eq!(State::of_set(&object).is_settled(2), settled, "{status}");
        }
    }
}
