//! Finds the pod of a workload in which the agent can be placed, so that questions are asked from this pod.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use parallax_language::scenario::model::AttachKind;
use serde::de::DeserializeOwned;

use crate::cluster::{api_message, is_transient, selector};

/// The reason why no question can be asked from a pod of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Absent {
    /// The reason why no question can be asked from a pod, as a sentence.
    pub why: String,
    /// Whether a later search for a pod may succeed.
    pub outlook: Outlook,
}

/// Whether the reason in an [`Absent`] may disappear by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// The apiserver did not answer, or failed itself. So nothing is known about the pod.
    Silent,
    /// The workload has no pod, or the container for the agent does not run. The workload may still start it.
    NotYet,
    /// The reason does not disappear by itself, so a later search for a pod fails too.
    Final,
}

impl Absent {
    /// Returns the error for a reason that does not disappear by itself.
    pub fn for_good(why: String) -> Self {
        Self { why, outlook: Outlook::Final }
    }

    /// Returns the error for a failed request to the apiserver. `why` describes the failure in one sentence. The
    /// outlook is [`Outlook::Silent`] if the failure is transient.
    pub fn by(error: &kube::Error, why: String) -> Self {
        Self { why, outlook: if is_transient(error) { Outlook::Silent } else { Outlook::Final } }
    }
}

/// Finds a pod of the workload `named` (`deploy/NAME`, `statefulset/NAME`, `daemonset/NAME` or `pod/NAME`), and prefers
/// a pod whose container runs. The caller needs a pod and not the workload's pod template, because only a pod has the
/// environment variables that an admission webhook added. `container` is the container that the user named. The text of
/// the error begins with `named`.
pub async fn pod_of(client: &Client, namespace: &str, named: &str, container: Option<&str>) -> Result<Pod, Absent> {
    let (kind, name) =
        named.split_once('/').ok_or_else(|| Absent::for_good(format!("{named}: write it as deploy/NAME")))?;
    let kind = AttachKind::of(kind).ok_or_else(|| {
        Absent::for_good(format!("{named}: the kind is `{kind}`, and not deploy, statefulset, daemonset or pod"))
    })?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let failed = |error: kube::Error| {
        Absent::by(&error, format!("{named} of namespace {namespace} cannot be read: {}", api_message(&error)))
    };
    let of = match kind {
        AttachKind::Pod => return pods.get(name).await.map_err(failed),
        AttachKind::Deployment => {
            get::<Deployment>(client, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
        AttachKind::StatefulSet => {
            get::<StatefulSet>(client, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
        AttachKind::DaemonSet => {
            get::<DaemonSet>(client, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
    };
    let of: LabelSelector = of.unwrap_or_default();
    let of = selector(of).map_err(|why| Absent::for_good(format!("{named}: {why}")))?;
    let listed = pods.list(&ListParams::default().labels(&of)).await.map_err(failed)?;
    let none = || Absent { why: format!("{named} of namespace {namespace} has no pod"), outlook: Outlook::NotYet };
    best(listed.items, container).ok_or_else(none)
}

/// Returns the pod in which the agent can best be placed: if possible, one that is not being deleted and whose
/// container runs. The phase `Running` is not enough, because a pod whose program crashes again and again has this
/// phase, too.
fn best(pods: Vec<Pod>, container: Option<&str>) -> Option<Pod> {
    pods.into_iter().min_by_key(|pod| {
        let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
        let stays = phase == Some("Running") && pod.metadata.deletion_timestamp.is_none();
        match (stays, can_attach(pod, container)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    })
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<K, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), namespace).get(name).await
}

/// The name of the container that the user wants: `container`, or else the container that kubectl's annotation names.
/// `None` if neither the user nor the annotation names a container.
pub(super) fn wanted<'a>(pod: &'a Pod, container: Option<&'a str>) -> Option<&'a str> {
    let annotated = pod.metadata.annotations.as_ref().and_then(|it| it.get("kubectl.kubernetes.io/default-container"));
    container.or(annotated.map(String::as_str))
}

/// Whether the container in which the agent would be placed is running. If it is not known which container this is, all
/// containers of the pod must run.
pub fn can_attach(pod: &Pod, container: Option<&str>) -> bool {
    let names = pod.spec.iter().flat_map(|it| &it.containers).map(|it| it.name.as_str());
    let wanted = wanted(pod, container);
    { names }.filter(|it| wanted.is_none_or(|wanted| wanted == *it)).all(|it| is_running(pod, it))
}

pub(super) fn is_running(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|it| &it.container_statuses).flatten();
    { statuses }.any(|it| it.name == container && it.state.as_ref().is_some_and(|it| it.running.is_some()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_whose_container_runs_is_preferred() {
        let pod = |name: &str, deleted: Option<&str>, phase: &str, states: [&str; 2]| -> Pod {
            let names = ["app", "proxy"];
            let statuses: Vec<_> = { names.iter().zip(states) }
                .map(|(name, state)| {
                    json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { state: {} } })
                })
                .collect();
            let spec = json!({ "containers": names.map(|name| json!({ "name": name })) });
            let metadata = json!({ "name": name, "deletionTimestamp": deleted });
            let status = json!({ "phase": phase, "containerStatuses": statuses });
            serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).expect("a pod")
        };
        let gone = pod("gone", Some("2026-01-01T00:00:00Z"), "Running", ["running", "running"]);
        let waits = pod("waits", None, "Pending", ["waiting", "waiting"]);
        let crashes = pod("crashes", None, "Running", ["waiting", "running"]);
        let runs = pod("runs", None, "Running", ["running", "waiting"]);
        let whole = pod("whole", None, "Running", ["running", "running"]);
        for (pods, container, expected) in [
            (vec![&gone, &waits, &crashes, &runs, &whole], None, Some("whole")),
            (vec![&gone, &waits, &crashes, &runs], Some("app"), Some("runs")),
            (vec![&gone, &waits, &crashes, &runs], Some("proxy"), Some("crashes")),
            (vec![&gone, &crashes, &runs], None, Some("crashes")),
            (vec![&gone, &waits], None, Some("gone")),
            (vec![], None, None),
        ] {
            let found = best(pods.into_iter().cloned().collect(), container);
            assert_eq!(found.and_then(|it| it.metadata.name).as_deref(), expected, "{container:?}");
        }
    }
}
