//! Breaks: each has a change, and the causes with which certain steps must fail after the change.

use indexmap::IndexMap;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A break: a change, and the failures that it must cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Break {
    /// One line that says what is wrong in the environment because of this break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The change to the baseline.
    pub change: Change,
    /// What must fail, each with its cause. A key is the id of a step, a readiness condition of a fixture, or
    /// `cluster.ready`. A readiness condition such as `store.ready` consists of the fixture's id, a dot, and the name
    /// of an entry of its `ready` section. `cluster.ready` means that the cluster must not become ready; its cause
    /// quotes a line of the node's log. If a readiness condition fails, the flow is not run.
    pub fails: IndexMap<String, CauseSpec>,
    /// The steps that are not run because a step that they depend on fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// The reason why no step can hold after the first failing step. A step that holds there is the control of the
    /// break: it shows that the change caused the failure, and not another fault of the environment. `parallax lint`
    /// warns of a break that has neither a control nor this reason. Some failures need no control, because only a
    /// working server can cause them: an error code of a store or of a token service, a fault of a certificate, or a
    /// name that a name server does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub no_control: Option<String>,
}

/// A change with which every expectation of the baseline must still hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alternative {
    /// One line that says what is different in this variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The change to the baseline.
    pub change: Change,
}

/// Changes to the entries of a scenario, by the ids of the entries. A mapping is merged into the entry, `null` removes
/// a field, and the word `remove` removes the whole entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Changes to fixtures, by the fixture's id: the parameters to set.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub fixtures: IndexMap<String, Value>,
    /// Changes to vantages, by the vantage's id: the fields to set.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub vantages: IndexMap<String, Value>,
    /// Changes to steps, by the step's id: the fields to set.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub flow: IndexMap<String, Value>,
    /// Changes to the properties of the cluster (`cluster`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Value>,
}

/// The cause with which a step must fail: the first layer that fails, with details. All keys that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CauseSpec {
    /// The host name cannot be resolved, and the resolver gives this answer, or one of these answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<OneOrMore<DnsFault>>,
    /// No TCP connection can be made, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectFault>,
    /// The TLS handshake fails, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFault>,
    /// The answer has this HTTP status instead of the expected status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// The answer has this S3 error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// The answer has this error code of the security token service (STS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
    /// The matcher with this name does not hold, for example `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// A Kubernetes object is missing or is not as expected, or the apiserver refuses the change. The reason must
    /// contain this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The program of the step ends with this exit code instead of the expected exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit: Option<i32>,
    /// The client refuses to send the request, is missing, or returns an error text instead of an answer. The error
    /// text must contain the text given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A text that the message of the server or the library must contain. Give it in addition to another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One value, or a list of values of which one must hold.
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
    /// Returns the names of all fields that the scenario sets, such as `dns` or `status`, without `message`. The field
    /// `message` only adds a detail to a cause.
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
