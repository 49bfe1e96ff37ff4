//! A TCP port of a step: a number, or a text whose references yield one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::{Parts, See};
use super::template::{Template, Words};

/// A TCP port. It is kept as a text, because a reference in it is replaced only while the variant runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Port(Template);

impl Port {
    /// The port of HTTPS.
    pub(crate) fn https() -> Self {
        Self("443".into())
    }

    /// The number. The references must be replaced before.
    ///
    /// # Errors
    /// Returns a message if the text is not the number of a TCP port.
    pub fn number(&self) -> Result<u16, String> {
        let number = self.0.parse().ok().filter(|it| *it != 0);
        number.ok_or_else(|| format!("`{}` is not a TCP port, which is a number from 1 to 65535", self.0))
    }
}

impl TryFrom<Value> for Port {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Number(number) => Ok(Self(number.to_string().into())),
            Value::String(text) => Ok(Self(text.into())),
            other => Err(format!("`{other}` is not a TCP port")),
        }
    }
}

impl From<Port> for Value {
    fn from(port: Port) -> Self {
        port.number().map_or_else(|_| Self::from(port.0.as_str()), Self::from)
    }
}

impl Parts for Port {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        self.0.see(at, to);
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(Self(self.0.filled(words)?))
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": u16::MAX },
                {
                    "type": "string",
                    "pattern": r"\{\{",
                    "description": "Write the number without quotes, or a reference that yields it."
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_a_number_or_a_reference_that_yields_one() {
        let words: &Words<'_> = &|reference| match reference.path().as_str() {
            "service.port" => Ok("30443".to_owned()),
            _ => Ok("https".to_owned()),
        };
        for (written, number) in [
            (json!(8443), Ok(8443)),
            (json!("{{ service.port }}"), Ok(30443)),
            (json!("3{{ service.port }}"), Err("`330443` is not a TCP port, which is a number from 1 to 65535")),
            (json!("{{ service.name }}"), Err("`https` is not a TCP port, which is a number from 1 to 65535")),
            (json!(0), Err("`0` is not a TCP port, which is a number from 1 to 65535")),
        ] {
            let port: Port = serde_json::from_value(written.clone()).expect("a port");
            let filled = Parts::filled(&port, words).expect("has only known references");
            assert_eq!(filled.number().as_ref().map_err(String::as_str).copied(), number, "{written}");
            if number.is_ok() {
                assert_eq!(serde_json::to_value(&port).expect("plain data"), written);
            }
        }
        assert!(serde_json::from_value::<Port>(json!(true)).is_err());
    }
}
