//! References to steps, as a type: what follows a step (a matrix, what is blocked) finds them by it, whatever their key is
//! called.

use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keyword with which the unpublished schema marks a [`StepRef`].
pub const STEP_REFERENCE: &str = "x-step-reference";

/// The id of another step.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepRef(pub String);

impl StepRef {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for StepRef {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<String> for StepRef {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

impl PartialEq<StepRef> for String {
    fn eq(&self, other: &StepRef) -> bool {
        *self == other.0
    }
}

impl JsonSchema for StepRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StepRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", STEP_REFERENCE: true })
    }
}
