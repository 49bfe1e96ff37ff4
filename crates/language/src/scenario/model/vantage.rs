//! The places to look from.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::duration::Span;

/// A place to look from: exactly one of `pod` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// Inside: an agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// Outside the cluster: the harness itself, or a container beside the cluster. To the harness's own connections URL and
    /// Host stay as they are, and lead to the port that the engine published on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideVantage>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodVantage {
    /// Ids of the certificate authorities that its probes trust, and `cluster` for the cluster's own; nothing else is
    /// trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The ServiceAccount that it runs as, made where there is none; its token for `audience` is projected into the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Who the projected token is for; `sts.amazonaws.com` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long the projected token lives, 10m or more; a day where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<Span>,
    /// User id that it runs as (`runAsUser`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Group that owns its volumes (`fsGroup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_group: Option<u32>,
    /// User id of a second container, which does nothing. Where the users of a pod's containers differ, the kubelet gives the
    /// token to none of them: then `token-mode` and `fs-group` say who may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_user: Option<u32>,
    /// Mode of the projected token (`defaultMode`), as `chmod` takes it: `"0400"`. Left out, `"0644"`. It does not matter where
    /// all containers run as one user, or where there is an `fs-group`: the kubelet then chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0[0-7]{3}$"))]
    pub token_mode: Option<String>,
    /// Ids of the certificate authorities (`cluster` for the cluster's own) whose certificates lie in
    /// `/etc/parallax/ca-bundle.pem`, for programs that read a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_bundle: Vec<String>,
    /// Environment of its container.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The image that it is in (`images/images.lock`), for the programs that steps run there: `clients`, `browser`. Left out, it
    /// is the agent's, with no other program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl PodVantage {
    /// Whether a pod of this kind serves for the other: they differ at most in what their probes trust.
    pub fn same_pod(&self, other: &Self) -> bool {
        Self { trust: Vec::new(), ..self.clone() } == Self { trust: Vec::new(), ..other.clone() }
    }
}

impl VantageSpec {
    /// The image that the vantage is in; none where it is the agent's, or the harness itself.
    pub fn image(&self) -> Option<&str> {
        let pod = self.pod.as_ref().and_then(|it| it.image.as_deref());
        pod.or_else(|| self.outside.as_ref().and_then(|it| it.image.as_deref()))
    }

    /// The image of the container that an outside vantage is.
    pub fn outside_image(&self) -> Option<&str> {
        self.outside.as_ref().and_then(|it| it.image.as_deref())
    }
}

/// Outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutsideVantage {
    /// Ids of the certificate authorities that its probes trust, and `cluster` for the cluster's own; nothing else is
    /// trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The image that it is in (`images/images.lock`), for the programs that steps run there: `clients`, `browser`. With it,
    /// the vantage is a container on the cluster's own network, where names resolve as they do for the world outside; left
    /// out, it is the harness itself, and a `script` runs on the user's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}
