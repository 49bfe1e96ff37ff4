//! Vantages: the places from which questions are asked.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::duration::Span;

/// A place from which questions are asked: exactly one of `pod`, `attach` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// A vantage in a pod: an agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// A vantage in an application's own pod: the agent is a guest in a container of a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<AttachVantage>,
    /// A vantage outside the cluster: the harness itself, or a container on the cluster's network. The harness sends
    /// the URL and the header `Host` unchanged, but connects to the loopback port under which the container engine
    /// publishes the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideVantage>,
}

/// A vantage in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodVantage {
    /// The ids of the certificate authorities that the probes of this vantage trust. `cluster` is the cluster's own
    /// authority. The probes trust nothing else.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The ServiceAccount of the pod. The harness creates the ServiceAccount if it does not exist. Its token for
    /// `audience` is projected into the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The audience of the token that is projected into the pod. The default is `sts.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The lifetime of the projected token, at least 10m. The default is a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Span>,
    /// The user id with which the pod's containers run (`runAsUser`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// The id of the group that owns the pod's volumes (`fsGroup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_group: Option<u32>,
    /// The user id of a second, idle container. If the containers of a pod run as different users, the kubelet makes
    /// none of these users the owner of the token's file. Then `token-mode` and `fs-group` decide who can read the
    /// file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_user: Option<u32>,
    /// The mode of the projected token (`defaultMode`), in the form of `chmod`: `"0400"`. The default is `"0644"`. The
    /// mode has no effect if all containers run as one user or if there is an `fs-group`, because the kubelet then sets
    /// the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0[0-7]{3}$"))]
    pub token_mode: Option<String>,
    /// The ids of certificate authorities. `cluster` is the cluster's own authority. The certificates of these
    /// authorities are written to `/etc/parallax/ca-bundle.pem`, for programs that read a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_bundle: Vec<String>,
    /// Environment variables of the pod's container, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The node on which the pod runs: `node`, or one of the cluster's `agents`. By default, the scheduler chooses the
    /// node, and it never chooses an agent node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The image of the pod (`images/images.lock`), with the programs that steps run in the pod: `clients`, `browser`.
    /// The default is the agent's image, which contains only the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A vantage in an application's own pod.
///
/// The agent is written through exec into a folder of the application's container and runs there, so that it has the
/// network and the resolver of the application. The agent is written when the first step asks, and is removed at the
/// end of the environment. If the workload has replaced its pod, the next step asks from the new pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AttachVantage {
    /// The workload whose pod asks: `deploy/NAME`, `statefulset/NAME`, `daemonset/NAME` or `pod/NAME`, in the namespace
    /// of the variant. A fixture or an `apply` step creates the workload, unless `existing` is true.
    pub to: String,
    /// The container of the pod. It may be left out if the pod has only one container, or if the annotation
    /// `kubectl.kubernetes.io/default-container` of the pod names a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The ids of the certificate authorities that the probes of this vantage trust. `cluster` is the cluster's own
    /// authority. The probes trust nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<String>,
    /// How the questions are asked. With `application`, names resolve as in the application's own programs
    /// (`/etc/hosts`, `/etc/nsswitch.conf`, search list and `ndots`), and the probes trust the certificates that these
    /// programs trust. By default, the probes ask DNS for the absolute name, and trust only the authorities in `trust`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub asks_as: Option<AsksAs>,
    /// The image of an ephemeral container that runs the agent (`images/images.lock`: `agent`). The container is
    /// created only if the application's container has no shell or no folder for the agent. Kubernetes never removes an
    /// ephemeral container from its pod. If an ephemeral container is needed and this field is missing, the vantage
    /// cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether the workload exists before the run, in the namespace that `--namespace` names. Without `--namespace`,
    /// the scenario is skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existing: bool,
}

/// Whose resolver and certificates the questions of an [`AttachVantage`] use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AsksAs {
    /// The resolver and the certificates of the application's own programs.
    Application,
}

impl AttachVantage {
    /// Returns the kind and the name of the workload. `None` if `to` does not have the documented form `KIND/NAME`.
    pub fn workload(&self) -> Option<(AttachKind, &str)> {
        let (kind, name) = self.to.split_once('/')?;
        Some((AttachKind::of(kind)?, name))
    }
}

/// The kind of a workload from whose pod questions can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachKind {
    /// A Deployment.
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
    /// A `DaemonSet`.
    DaemonSet,
    /// A single pod.
    Pod,
}

impl AttachKind {
    /// Returns the kind that a word on the command line or in a scenario means. The word is the short name of the kind,
    /// its singular or its plural, as in kubectl. `None` for another word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "deploy" | "deployment" | "deployments" => Some(Self::Deployment),
            "sts" | "statefulset" | "statefulsets" => Some(Self::StatefulSet),
            "ds" | "daemonset" | "daemonsets" => Some(Self::DaemonSet),
            "po" | "pod" | "pods" => Some(Self::Pod),
            _ => None,
        }
    }
}

impl PodVantage {
    /// Whether the same pod can serve both vantages. Vantages that share a pod may differ only in the authorities that
    /// their probes trust.
    pub fn same_pod(&self, other: &Self) -> bool {
        Self { trust: Vec::new(), ..self.clone() } == Self { trust: Vec::new(), ..other.clone() }
    }
}

impl VantageSpec {
    /// Returns the name of the image with the programs that steps run at the vantage. `None` for a pod with the agent's
    /// own image, for an application's own pod, and for the harness itself.
    pub fn image(&self) -> Option<&str> {
        let pod = self.pod.as_ref().and_then(|it| it.image.as_deref());
        pod.or_else(|| self.outside.as_ref().and_then(|it| it.image.as_deref()))
    }

    /// Whether questions are asked from within a pod: a pod of the harness, or an application's own pod.
    pub fn is_inside(&self) -> bool {
        self.pod.is_some() || self.attach.is_some()
    }

    /// Returns the ids of the certificate authorities that the probes of the vantage trust.
    pub fn trust(&self) -> &[String] {
        let pod = self.pod.as_ref().map(|it| &it.trust).or_else(|| self.attach.as_ref().map(|it| &it.trust));
        pod.or_else(|| self.outside.as_ref().map(|it| &it.trust)).map_or(&[], Vec::as_slice)
    }

    /// Returns the image of an outside vantage that is a container. `None` for the harness itself and for a pod.
    pub fn outside_image(&self) -> Option<&str> {
        self.outside.as_ref().and_then(|it| it.image.as_deref())
    }
}

/// A vantage outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutsideVantage {
    /// The ids of the certificate authorities that the probes of this vantage trust. `cluster` is the cluster's own
    /// authority. The probes trust nothing else.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The image of the vantage (`images/images.lock`), with the programs that steps run there: `clients`, `browser`.
    /// With an image, the vantage is a container on the cluster's network. In this container, names resolve as they do
    /// outside the cluster. Without an image, the vantage is the harness itself, and a `script` runs on the user's
    /// machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}
