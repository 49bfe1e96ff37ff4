//! A scenario as it is written: one strict YAML file, typed.
//!
//! These types are the language. The JSON Schema that editors use and the loader checks against is generated from
//! them, so a field's documentation here is what a person sees at the keyboard.

use indexmap::IndexMap;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::Span;

/// The word for the cluster's own certificate authority, which signs what the apiserver serves. No fixture may have it as
/// its id.
pub const CLUSTER_AUTHORITY: &str = "cluster";

/// A scenario: a baseline in which every expectation holds, and breaks, each of which says what must then fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Name of the scenario: the same as its folder.
    pub name: String,
    /// One line that says what holds when the scenario passes.
    pub summary: String,
    /// Words to select scenarios by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What the cluster must be like. Scenarios that ask for the same share one.
    #[serde(default)]
    pub cluster: ClusterTraits,
    /// The environment, by id: reusable parts with their parameters.
    #[serde(default)]
    pub fixtures: IndexMap<String, FixtureUse>,
    /// The places to look from, by id.
    #[serde(default)]
    pub vantages: IndexMap<String, VantageSpec>,
    /// What is done and expected, in order.
    pub flow: Vec<Step>,
    /// Small declared changes, by id, each with what must then fail and why.
    #[serde(default)]
    pub breaks: IndexMap<String, Break>,
}

/// What a scenario needs of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterTraits {
    /// Arguments of the kube-apiserver, `flag=value` without dashes, as `--kube-apiserver-arg` takes them.
    #[serde(default)]
    pub apiserver_args: Vec<String>,
    /// Arguments of the kubelet, as `--kubelet-arg` takes them.
    #[serde(default)]
    pub kubelet_args: Vec<String>,
    /// Further names or addresses in the apiserver's certificate, as `--tls-san` takes them.
    #[serde(default)]
    pub tls_san: Vec<String>,
}

/// A fixture and its parameters: `{ use: minio, host: minio.example.com }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>", into = "serde_json::Map<String, Value>")]
pub struct FixtureUse {
    /// Name of the fixture, a folder in `fixtures/`.
    pub fixture: String,
    /// Its parameters; checked against what the fixture declares.
    pub parameters: serde_json::Map<String, Value>,
}

impl TryFrom<serde_json::Map<String, Value>> for FixtureUse {
    type Error = String;

    fn try_from(mut map: serde_json::Map<String, Value>) -> Result<Self, Self::Error> {
        match map.shift_remove("use") {
            Some(Value::String(fixture)) => Ok(Self { fixture, parameters: map }),
            _ => Err("a fixture needs `use: NAME`".to_owned()),
        }
    }
}

impl From<FixtureUse> for serde_json::Map<String, Value> {
    fn from(it: FixtureUse) -> Self {
        let mut map = Self::new();
        map.insert("use".to_owned(), Value::String(it.fixture));
        map.extend(it.parameters);
        map
    }
}

impl JsonSchema for FixtureUse {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FixtureUse".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A fixture and its parameters: `{ use: minio, host: minio.example.com }`.",
            "type": "object",
            "required": ["use"],
            "properties": { "use": { "type": "string", "description": "Name of the fixture, a folder in `fixtures/`." } }
        })
    }
}

/// A place to look from: exactly one of `pod` and `outside`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VantageSpec {
    /// Inside: an agent in a pod of the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodVantage>,
    /// Outside the cluster: the harness itself. URL and Host stay as they are; the connection goes to the port that
    /// the engine published on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideVantage>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodVantage {
    /// Ids of the certificate authorities that its probes trust, and `cluster` for the cluster's own; nothing else is
    /// trusted.
    #[serde(default)]
    pub trust: Vec<String>,
}

/// Outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutsideVantage {
    /// Ids of the certificate authorities that its probes trust, and `cluster` for the cluster's own; nothing else is
    /// trusted.
    #[serde(default)]
    pub trust: Vec<String>,
}

/// One step: an id and exactly one thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Id, unique in the flow: what it yields is `{{ id }}` for later steps, and breaks name it.
    pub id: String,
    /// The vantage that a probe looks from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Steps that must have passed, beyond those that are named in `{{ }}`: if one fails, this one is blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,

    /// Resolve a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsStep>,
    /// Do a TLS handshake and read the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStep>,
    /// Send one HTTP request: no redirects, no retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpStep>,
    /// One S3 operation by the AWS SDK for Rust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Step>,
    /// Sign a URL; the step's value is the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presign: Option<PresignStep>,
    /// Look at a Kubernetes object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceStep>,
    /// Apply Kubernetes objects (server-side).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<ApplyStep>,

    /// What must hold. Each key is a matcher, and each must be proven by a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Ask again until the expectation holds, at most this long: for what takes effect in its own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eventually: Option<Span>,
}

/// Resolve a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsStep {
    /// The host name.
    pub name: String,
}

/// Do a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsStep {
    /// Name to resolve, connect to and verify.
    pub host: String,
    /// TCP port.
    #[serde(default = "https_port")]
    pub port: u16,
    /// Server name to send and verify instead of `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

fn https_port() -> u16 {
    443
}

/// Send one HTTP request: exactly one of the methods, with its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpStep {
    /// GET this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<String>,
    /// PUT to this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<String>,
    /// HEAD this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// POST to this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
    /// DELETE this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
    /// Send this as `Host` (`name` or `name:port`) to the place that the URL names: what a proxy on the way does that rewrites it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Further headers.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// One S3 operation: exactly one of the operations. Objects are written `bucket/key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3Step {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Put an object: `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<String>,
    /// Get an object: `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<String>,
    /// Head an object: `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Delete an object: `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
    /// List `bucket` or `bucket/prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Create a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_bucket: Option<String>,
    /// Content to put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Sign a URL: exactly one of the methods, with `bucket/key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PresignStep {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// A URL to GET `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<String>,
    /// A URL to PUT `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<String>,
    /// A URL to HEAD `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// A URL to DELETE `bucket/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
    /// How long the URL is valid, for example `5m`.
    pub expires: Span,
    /// When it is signed, relative to now: `-1h` is an hour ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Span>,
    /// Sign for this `https://host[:port]` instead of the store's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Sign for this region instead of the store's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Further query parameters to sign.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, String>,
}

/// Look at a Kubernetes object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceStep {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Service`, `Deployment`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Apply Kubernetes objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApplyStep {
    /// The objects. Those without a namespace go into the variant's.
    pub objects: Vec<Value>,
}

/// What must hold: every key that is given. Which keys a step takes depends on what it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// HTTP status code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// S3 error code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// The whole body (`http`, `s3 get`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers of the answer (`http`), names in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<IndexMap<String, String>>,
    /// The name must not resolve, and the resolver must say this (`dns`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsFault>,
    /// The only address that the name has (`dns`), or that was connected to (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The chain that the server sends is the one that this earlier `tls` or `http` step saw: same leaf, same issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_chain_as: Option<String>,
    /// A name in the server's leaf certificate (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<String>,
    /// How many certificates the server sends (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_length: Option<usize>,
    /// Keys that a listing holds, exactly (`s3 list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// A part of the object: every field given must be there and equal (`resource`). Entries of a list that have a
    /// `type` or `name` are found by it, wherever they stand; other lists are compared whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    /// `true`: there must be no such object (`resource`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
}

/// A break: a change, and what must then be so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Break {
    /// One line that says what is wrong in this variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What is changed.
    pub change: Change,
    /// The steps that must fail, each with its cause.
    pub fails: IndexMap<String, CauseSpec>,
    /// The steps that are not reached because one they need failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
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
    /// This matcher does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// The object is missing or refused; the words that must be in the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The client refuses to send; the words that must be in the reason.
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
