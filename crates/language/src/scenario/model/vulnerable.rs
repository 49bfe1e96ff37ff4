//! Known vulnerabilities: attacks that succeed against the build under test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A known vulnerability: the step performs an attack that succeeds against this build. The step passes as long as the
/// attack succeeds, and fails as soon as a build refuses the attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vulnerable {
    /// The advisory (`CVE-…`, `GHSA-…`), or a place that describes the vulnerability.
    pub advisory: String,
    /// What the vulnerability means for users of this build, in one sentence.
    pub means: String,
    /// What to do instead, in one sentence.
    pub instead: String,
}
