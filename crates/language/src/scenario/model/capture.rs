//! What a step captures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value for later steps: where it is, and whether it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// JSON pointer into the whole answer.
    pub path: String,
    /// Whether record and reports show only a digest of it.
    pub secret: bool,
}

/// A value for later steps that may be a secret.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaptureSpec {
    /// JSON pointer into the whole answer.
    path: String,
    /// Record and reports show only a digest of it, and it is redacted wherever else it appears. What is captured from the
    /// `data` of a Secret is so without this.
    #[serde(default)]
    secret: bool,
}

impl Serialize for Capture {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.secret {
            CaptureSpec { path: self.path.clone(), secret: true }.serialize(serializer)
        } else {
            self.path.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Capture {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(path) => Ok(Self { path, secret: false }),
            other => {
                let spec = CaptureSpec::deserialize(other).map_err(serde::de::Error::custom)?;
                Ok(Self { path: spec.path, secret: spec.secret })
            }
        }
    }
}

impl JsonSchema for Capture {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Capture".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let path = generator.subschema_for::<String>();
        let spec = generator.subschema_for::<CaptureSpec>();
        schemars::json_schema!({ "anyOf": [path, spec] })
    }
}
