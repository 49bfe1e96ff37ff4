//! The places to look from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place to look from: exactly one of `pod` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// Inside: an agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// Outside the cluster: the harness itself. URL and Host stay as they are; the connection goes to the port that
    /// the engine published on loopback.
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
}

/// Outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutsideVantage {
    /// Ids of the certificate authorities that its probes trust, and `cluster` for the cluster's own; nothing else is
    /// trusted.
    #[serde(default)]
    pub trust: Vec<String>,
}
