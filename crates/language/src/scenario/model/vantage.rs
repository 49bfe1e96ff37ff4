//! Vantages: the places from which questions are asked.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::duration::Span;

/// A place from which questions are asked: exactly one of `pod` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// A vantage in a pod: an agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// A vantage outside the cluster: the harness itself, or a container on the cluster's network. The harness keeps
    /// URL and `Host` unchanged, but connects to the port that the container engine published on loopback.
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
    /// The ServiceAccount of the pod. The harness creates it if it does not exist. Its token for `audience` is
    /// projected into the pod.
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
    /// none of them the owner of the token. Then `token-mode` and `fs-group` decide who can read the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_user: Option<u32>,
    /// The mode of the projected token (`defaultMode`), in the form of `chmod`: `"0400"`. The default is `"0644"`. The
    /// mode has no effect if all containers run as one user or if there is an `fs-group`, because the kubelet then sets
    /// the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0[0-7]{3}$"))]
    pub token_mode: Option<String>,
    /// The ids of certificate authorities (`cluster` is the cluster's own). Their certificates are written to
    /// `/etc/parallax/ca-bundle.pem`, for programs that read a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_bundle: Vec<String>,
    /// Environment variables of the pod's container, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The node on which the pod runs: `node`, or one of the cluster's `agents`. By default the scheduler decides. It
    /// places no pod on an agent node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The image of the pod (`images/images.lock`), with the programs that steps run in the pod: `clients`, `browser`.
    /// The default is the agent's image, which contains only the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl PodVantage {
    /// Whether the same pod can serve both vantages. Two such vantages may differ only in the authorities that their
    /// probes trust.
    pub fn same_pod(&self, other: &Self) -> bool {
        Self { trust: Vec::new(), ..self.clone() } == Self { trust: Vec::new(), ..other.clone() }
    }
}

impl VantageSpec {
    /// Returns the name of the vantage's image. `None` for a pod with the agent's own image, and for the harness
    /// itself.
    pub fn image(&self) -> Option<&str> {
        let pod = self.pod.as_ref().and_then(|it| it.image.as_deref());
        pod.or_else(|| self.outside.as_ref().and_then(|it| it.image.as_deref()))
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
