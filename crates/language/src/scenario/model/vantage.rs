//! Vantages: the places from which questions are asked.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::duration::Span;

/// A place from which questions are asked: exactly one of `pod` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// An agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// Outside the cluster: the harness itself, or a container on the cluster's network. The harness keeps URL and
    /// `Host` unchanged, but connects to the port that the container engine published on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideVantage>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodVantage {
    /// The ids of the certificate authorities that its probes trust. `cluster` is the cluster's own authority. Nothing
    /// else is trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The ServiceAccount of the pod. It is created if it does not exist. Its token for `audience` is projected into
    /// the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The audience of the projected token. The default is `sts.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The lifetime of the projected token, at least 10m. The default is a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Span>,
    /// The user id of the pod (`runAsUser`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// The group that owns its volumes (`fsGroup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_group: Option<u32>,
    /// The user id of a second, idle container. If the containers of a pod run as different users, the kubelet makes
    /// none of them the owner of the token. Then `token-mode` and `fs-group` decide who can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_user: Option<u32>,
    /// The mode of the projected token (`defaultMode`), in the form of `chmod`: `"0400"`. The default is `"0644"`. It
    /// has no effect if all containers run as one user or if there is an `fs-group`, because the kubelet then sets the
    /// mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0[0-7]{3}$"))]
    pub token_mode: Option<String>,
    /// The ids of the certificate authorities (`cluster` is the cluster's own) whose certificates are written to
    /// `/etc/parallax/ca-bundle.pem`, for programs that read a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_bundle: Vec<String>,
    /// Environment variables of its container.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The node on which the pod runs: `node`, or one of the cluster's `agents`. By default the scheduler decides; it
    /// places no pod on an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The image of the pod (`images/images.lock`), with the programs that steps run there: `clients`, `browser`. The
    /// default is the agent's image, which has no other program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl PodVantage {
    /// Whether one pod can serve both vantages. The vantages may differ only in what their probes trust.
    pub fn same_pod(&self, other: &Self) -> bool {
        Self { trust: Vec::new(), ..self.clone() } == Self { trust: Vec::new(), ..other.clone() }
    }
}

impl VantageSpec {
    /// The name of the vantage's image. `None` for a pod with the agent's own image, and for the harness itself.
    pub fn image(&self) -> Option<&str> {
        let pod = self.pod.as_ref().and_then(|it| it.image.as_deref());
        pod.or_else(|| self.outside.as_ref().and_then(|it| it.image.as_deref()))
    }

    /// The image of the container of an outside vantage, if it runs in a container.
    pub fn outside_image(&self) -> Option<&str> {
        self.outside.as_ref().and_then(|it| it.image.as_deref())
    }
}

/// Outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutsideVantage {
    /// The ids of the certificate authorities that its probes trust. `cluster` is the cluster's own authority. Nothing
    /// else is trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The image of the vantage (`images/images.lock`), with the programs that steps run there: `clients`, `browser`.
    /// With an image, the vantage is a container on the cluster's network, in which names resolve as outside the
    /// cluster. Without it, the vantage is the harness itself, and a `script` runs on the user's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}
