//! A single pod that `parallax check` creates in a namespace of somebody else's cluster. The pod runs the agent,
//! complies with the profile `restricted` of the Pod Security Standards, and is removed in every case.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::objects::{TOKEN_FOLDER, restrict};
use super::unrecoverable;
use crate::cluster::{Ended, until};
use crate::probe::AGENT_PATH;
use parallax_record::in_full;

/// The time limit for the created pod to start running.
const RUNS_WITHIN: Duration = Duration::from_secs(20);
/// The kubelet's next try may repair a failed start of the pod. Therefore a failed start counts only after it has
/// lasted for this time. The time is short, because a person waits for the result of `parallax check`.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time limit of each request that removes the created pod.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);
/// The lifetime of the created pod, in seconds. The kubelet ends the pod after this time, even if the harness cannot
/// remove it.
const LIVES_S: i64 = 300;

/// The pod that `parallax check` creates.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// The namespace in which the pod is created.
    pub namespace: String,
    /// The name of the pod.
    pub name: String,
    /// The reference of the image that contains the agent.
    pub image: String,
    /// The `ServiceAccount` whose token is projected into the pod, and the audience of the token. `None` if the pod
    /// needs no token.
    pub identity: Option<(String, String)>,
    /// The DNS policy of the pod; `None` for the default policy of Kubernetes.
    pub dns_policy: Option<String>,
    /// The DNS settings of the pod, in addition to those of its policy.
    pub dns_config: Option<PodDNSConfig>,
}

/// The error of a pod that does not run.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// The reason why the pod does not run, in the words of the apiserver or the kubelet.
    pub why: String,
    /// Whether it is certain that the pod does not exist: it was never created, or it has been removed.
    pub nothing_made: bool,
}

impl Guest {
    /// Creates the pod and waits until it runs. If the pod does not run in time or cannot run, removes it again.
    pub async fn make(&self, client: &Client) -> Result<(), Refused> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let pod: Pod = serde_json::from_value(self.manifest())
            .map_err(|error| Refused { why: error.to_string(), nothing_made: true })?;
        pods.create(&PostParams::default(), &pod).await.map_err(|error| Refused {
            why: in_full(&error),
            // A status of 400 to 499 means that the apiserver refused the pod. After any other error, the apiserver may
            // still have created the pod.
            nothing_made: matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code)),
        })?;
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let why = tokio::select! {
            ended = until(&pods, &self.name, runs, Instant::now() + RUNS_WITHIN) => match ended {
                Ended::Met(Some(_)) => return Ok(()),
                Ended::Met(None) => "it was removed by somebody else".to_owned(),
                Ended::NotMet(pod) => format!("it does not run after {} s: {}", RUNS_WITHIN.as_secs(), waits(pod.as_ref())),
                Ended::Unseen(why) => format!("whether it runs is not known: {why}"),
            },
            why = unrecoverable::pod(client.clone(), &self.namespace, only, |_| true, PATIENCE, None) => why,
        };
        match self.remove(client).await {
            Ok(()) => Err(Refused { why, nothing_made: true }),
            Err(remains) => Err(Refused { why: format!("{why}; {remains}"), nothing_made: false }),
        }
    }

    /// Removes the pod, and waits until it is gone. If the pod remains, the error says how to remove it.
    pub async fn remove(&self, client: &Client) -> Result<(), String> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let remains = |why: String| {
            format!(
                "remove it by `kubectl -n {} delete pod {}`: it could not be removed ({why})",
                self.namespace, self.name
            )
        };
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        match tokio::time::timeout(REMOVED_WITHIN, pods.delete(&self.name, &at_once)).await {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(()),
            Ok(Err(error)) => return Err(remains(in_full(&error))),
            Err(_) => return Err(remains("the apiserver does not answer".to_owned())),
        }
        match until(&pods, &self.name, |pod: Option<&Pod>| pod.is_none(), Instant::now() + REMOVED_WITHIN).await {
            Ended::Met(_) => Ok(()),
            Ended::NotMet(_) => Err(remains("it is still being deleted".to_owned())),
            Ended::Unseen(why) => Err(remains(why)),
        }
    }

    /// The manifest of the pod. It complies with the profile `restricted` of the Pod Security Standards. It sets
    /// requests and limits, because a quota of the namespace may require them.
    fn manifest(&self) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": self.name,
                "labels": { "app.kubernetes.io/name": "parallax-check", "app.kubernetes.io/managed-by": "parallax" },
            },
            "spec": {
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 0,
                "activeDeadlineSeconds": LIVES_S,
                "restartPolicy": "Never",
                "containers": [{
                    "name": "agent", "image": self.image, "imagePullPolicy": "IfNotPresent",
                    "command": [AGENT_PATH], "args": ["hold"],
                    "resources": {
                        "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "cpu": "1", "memory": "256Mi" },
                    },
                }],
            },
        });
        restrict(&mut pod);
        if let Some(policy) = &self.dns_policy {
            pod["spec"]["dnsPolicy"] = json!(policy);
        }
        if let Some(config) = &self.dns_config {
            pod["spec"]["dnsConfig"] = json!(config);
        }
        if let Some((account, audience)) = &self.identity {
            let token = json!({ "audience": audience, "expirationSeconds": 3600, "path": "token" });
            let spec = &mut pod["spec"];
            spec["serviceAccountName"] = json!(account);
            spec["volumes"] =
                json!([{ "name": "token", "projected": { "sources": [{ "serviceAccountToken": token }] } }]);
            spec["containers"][0]["volumeMounts"] =
                json!([{ "name": "token", "mountPath": TOKEN_FOLDER, "readOnly": true }]);
        }
        pod
    }
}

fn runs(pod: Option<&Pod>) -> bool {
    let status = pod.and_then(|it| it.status.as_ref());
    let containers = status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default();
    containers.iter().any(|it| it.state.as_ref().is_some_and(|it| it.running.is_some()))
}

/// The reason why the pod does not run yet.
fn waits(pod: Option<&Pod>) -> String {
    let Some(status) = pod.and_then(|it| it.status.as_ref()) else { return "it does not exist".to_owned() };
    let waiting = status.container_statuses.iter().flatten().find_map(|it| it.state.as_ref()?.waiting.clone());
    let container = waiting.and_then(|it| it.message.or(it.reason));
    let mut conditions = status.conditions.iter().flatten().filter(|it| it.status == "False");
    let condition = conditions.find_map(|it| it.message.clone());
    container.or(condition).or_else(|| status.phase.clone()).unwrap_or_else(|| "nothing is said".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{apiserver, status};

    fn guest(identity: Option<(String, String)>) -> Guest {
        let (dns_policy, dns_config) =
            (None, Some(PodDNSConfig { searches: Some(vec!["a.example".to_owned()]), ..PodDNSConfig::default() }));
        let (namespace, name, image) = ("foo".to_owned(), "p".to_owned(), "agent:1".to_owned());
        Guest { namespace, name, image, identity, dns_policy, dns_config }
    }

    #[test]
    fn the_pod_fulfils_the_restricted_profile() {
        let pod = guest(Some(("app".to_owned(), "sts.amazonaws.com".to_owned()))).manifest();
        let _: Pod = serde_json::from_value(pod.clone()).expect("a pod");
        let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["serviceAccountName"], "app");
        assert_eq!(spec["dnsConfig"]["searches"], json!(["a.example"]));
        assert_eq!(
            spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"],
            "sts.amazonaws.com"
        );
        assert!(guest(None).manifest()["spec"].get("volumes").is_none());
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_apiservers_words_and_a_pod_that_is_gone_is_removed() {
        let says = "pods \"p\" is forbidden: exceeded quota: small, requested: pods=1";
        let (client, _server) = apiserver(Duration::from_secs(5), move |_, _| status(403, says)).await;
        let refused = guest(None).make(&client).await.expect_err("a quota");
        assert!(refused.why.contains("exceeded quota") && refused.nothing_made, "{refused}");
        // An apiserver that answers 500 may have created the pod.
        let (client, _server) = apiserver(Duration::from_secs(5), |_, _| status(500, "etcd")).await;
        assert!(!guest(None).make(&client).await.expect_err("a fault").nothing_made);
        let (client, _server) = apiserver(Duration::from_secs(5), |_, _| status(404, "pods \"p\" not found")).await;
        assert_eq!(guest(None).remove(&client).await, Ok(()));
        let (client, _server) = apiserver(Duration::from_secs(5), |_, _| status(403, "forbidden")).await;
        let remains = guest(None).remove(&client).await.expect_err("it may not be removed");
        assert!(remains.contains("kubectl -n foo delete pod p"), "{remains}");
    }
}
