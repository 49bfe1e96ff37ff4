//! Breaks: a change, and the causes with which steps must then fail.

use indexmap::IndexMap;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A break: a change, and what must then be so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Break {
    /// One line that says what is wrong in this variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What is changed.
    pub change: Change,
    /// The steps that must fail, each with its cause; or the readiness of a fixture, `store.ready`: its id, a dot, and the
    /// name of an entry of its `ready`; or `cluster.ready`, whose words are the node's. Where a readiness fails, the flow is
    /// not run.
    pub fails: IndexMap<String, CauseSpec>,
    /// The steps that are not reached because one they need failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
}

/// A change under which everything must hold as it does in the baseline: another way to the same end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alternative {
    /// One line that says what is otherwise in this variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What is changed.
    pub change: Change,
}

/// Changes of typed places by id. A mapping is merged into what stands there, `null` takes a field away, and the word
/// `remove` takes the whole thing away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Fixture parameters by fixture id.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub fixtures: IndexMap<String, Value>,
    /// Vantage fields by vantage id.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub vantages: IndexMap<String, Value>,
    /// Step fields by step id.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub flow: IndexMap<String, Value>,
    /// Cluster traits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Value>,
}

/// The cause that a step must fail with: the first layer that fails, and what is said there. Every key given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CauseSpec {
    /// The name cannot be resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<OneOrMore<DnsFault>>,
    /// No TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectFault>,
    /// The handshake fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFault>,
    /// This status instead of the expected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// This S3 error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// This error code of the security token service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
    /// This matcher does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// The object is missing or refused; the words that must be in the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The program ends with this exit code instead of the expected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit: Option<i32>,
    /// The client refuses to send, is not there, or tells no answer but words of its own; words that must be in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Words that the server's or library's message must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One word, or a list of which any will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T: Serialize> Serialize for OneOrMore<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            more => more.serialize(serializer),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(deserializer)? {
            Value::Array(values) => values,
            one => vec![one],
        };
        let parse = |value| serde_json::from_value(value).map_err(serde::de::Error::custom);
        values.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl CauseSpec {
    /// The layers that are given: everything but `message`.
    pub fn layers(&self) -> Vec<&'static str> {
        let Self { dns, connect, tls, status, s3, sts, mismatch, resource, exit, client, message: _ } = self;
        let all = [
            ("dns", dns.is_some()),
            ("connect", connect.is_some()),
            ("tls", tls.is_some()),
            ("status", status.is_some()),
            ("s3", s3.is_some()),
            ("sts", sts.is_some()),
            ("mismatch", mismatch.is_some()),
            ("resource", resource.is_some()),
            ("exit", exit.is_some()),
            ("client", client.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
