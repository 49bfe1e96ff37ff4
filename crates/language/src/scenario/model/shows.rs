//! What a step shows of a store, for the table of stores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the step shows of a store. `parallax stores` makes the table of stores from it. Without `otherwise` and `missing`, the
/// store does it as S3 does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shows {
    /// The id of the store's fixture.
    pub store: String,
    /// What the store is asked to do: a row of `scenarios/stores/table.yaml`.
    pub capability: String,
    /// How the store does it, if it does it otherwise than S3 does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// What the store answers, if it does not do it at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
