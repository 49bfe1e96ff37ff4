//! Steps that ask the apiserver, from no vantage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StepRef;

/// Look at a Kubernetes object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceStep {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Service`, `Deployment`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Read what containers wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogStep {
    /// Whose: `deployment/minio`, `stateful-set/db`, `pod/db-0`; `beside/store`, the container that this fixture put beside the
    /// cluster; or `world`, the name server that knows what is outside the cluster, with a line for each question:
    /// `10.89.0.3 asked for sts.us-east-1.amazonaws.com A: no-such-name`. Every pod of the cluster asks it, through CoreDNS.
    pub of: String,
    /// Name of the container; where pods have one only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What the container's instance before the present one wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous: bool,
    /// Only what was written after this earlier step had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<StepRef>,
}

/// Look at the events that Kubernetes recorded of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventStep {
    /// Kind and name, or kind and labels: `Deployment/minio`, `Pod/app=minio`.
    pub of: String,
    /// Only events of this reason: `FailedMount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The object's namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
