//! Steps that look at a database and at its replica.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Look at an SQLite database through the container that holds it, by `parallax-writer look`: rows, highest row,
/// `integrity_check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqliteStep {
    /// Name of the pod.
    pub pod: String,
    /// Name of the container, one of the image `writer`.
    pub container: String,
    /// Path of the database in it.
    pub database: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Look at a replica from the vantage: the objects below a prefix of a bucket, and the age of the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReplicaStep {
    /// `bucket` or `bucket/prefix`.
    pub of: String,
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}
