//! Secret values, such as keys and tokens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret value, which is sent to the probe that needs it. Its `Debug` text is `[redacted]`.
///
/// Serialising a secret writes its value, because a message to the agent in a pod must contain the value. The writer of
/// the record (`crates/record`) therefore removes the text of every secret of the run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text as a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value of the secret. A caller may pass it to a client or to a Kubernetes Secret, and must never put it into
    /// a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
