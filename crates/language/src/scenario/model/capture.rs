//! Captures: values of a step's answer that later steps can use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value for later steps: where it is in the answer, and whether it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// A JSON pointer into the whole answer of the step, for example `/reply/http/status`.
    pub path: String,
    /// Whether the record and the reports show only a digest of the captured value.
    pub secret: bool,
}

/// A value for later steps, which can be secret.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaptureSpec {
    /// A JSON pointer into the whole answer of the step, for example `/reply/http/status`.
    path: String,
    /// `true`: the record and the reports show only a digest of the captured value, and the value is redacted
    /// everywhere else. Values from the `data` of a Secret are always secret.
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
