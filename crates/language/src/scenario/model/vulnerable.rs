//! Known vulnerabilities: attacks that succeed against the version under test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A known vulnerability: the step performs an attack that succeeds against the version under test. The step passes as
/// long as the attack succeeds, and fails as soon as a version refuses the attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vulnerable {
    /// The advisory (`CVE-…`, `GHSA-…`), or a link to a description of the vulnerability.
    pub advisory: String,
    /// What the vulnerability means for users of this version, in one sentence.
    pub means: String,
    /// What users should do instead, in one sentence.
    pub instead: String,
}
