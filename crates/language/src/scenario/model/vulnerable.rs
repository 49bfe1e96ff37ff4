//! Known holes: attacks that a build lets through.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A known hole: the step shows an attack that this build lets through. It passes while that is so, and is red from
/// the day on which a build refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vulnerable {
    /// The advisory (`CVE-…`, `GHSA-…`), or where the fault is described.
    pub advisory: String,
    /// What it means for who runs this build: one sentence.
    pub means: String,
    /// What to do instead: one sentence.
    pub instead: String,
}
