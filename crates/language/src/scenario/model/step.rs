//! One step of the flow, and what each kind of step says.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    After, BackgroundStep, ClientStep, DeleteStep, EndStep, EventStep, Expect, FiguresStep, JwtStep, KillStep, LogStep,
    MeasureStep, PatchStep, ProberStep, RepeatStep, ReplicaStep, ResourceStep, RestartStep, RotateStep, ScaleStep,
    ScriptStep, SessionToken, SqliteStep, StepRef, StsStep, Vulnerable,
};
use crate::scenario::duration::Span;

/// One step: an id and exactly one thing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Id, unique in the flow: what it yields is `{{ id }}` for later steps, and breaks name it.
    pub id: String,
    /// The vantage that a probe looks from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Steps that must have passed, beyond those that are named in `{{ }}`: if one fails, this one is blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepRef>,

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
    /// Exchange a web identity token for credentials, for later steps' `as`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<StsStep>,
    /// Look at a web identity token, and check its signature against the keys that its issuer publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtStep>,
    /// Run a program of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptStep>,
    /// Let a client that applications use sign, speak S3, or open a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientStep>,
    /// Look at an SQLite database, through the container that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteStep>,
    /// Look at the objects of a replica, and at the age of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaStep>,
    /// Look at a Kubernetes object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceStep>,
    /// Read what containers wrote. With `eventually` the log is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStep>,
    /// Look at the events that Kubernetes recorded of an object. With `eventually` they are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventStep>,

    /// Apply Kubernetes objects (server-side).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<ApplyStep>,
    /// Change fields of a Kubernetes object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchStep>,
    /// Delete a Kubernetes object, and wait until it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<DeleteStep>,
    /// Set the number of replicas, and wait until there are that many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleStep>,
    /// Replace every pod of a Deployment or `StatefulSet`, and wait for the new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartStep>,
    /// End a container's main process through the node's container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillStep>,
    /// End a pod, as a crash does or as `kubectl delete` does, and keep what its containers said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndStep>,
    /// Put a new leaf into the Secret of a fixture's certificate; the step's value is its serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<RotateStep>,
    /// Start a prober: one question at a fixed rate, from here on until a `prober` step stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<BackgroundStep>,
    /// Count what a prober has seen so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prober: Option<ProberStep>,
    /// Run a group of steps in rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<RepeatStep>,
    /// Measure a number that was captured, or how far two are apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<MeasureStep>,
    /// Judge numbers that the rounds of a repeat captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<FiguresStep>,

    /// What must hold. Each key is a matcher, and each must be proven by a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Ask again until the expectation holds, at most this long: for what takes effect in its own time. In a break whose
    /// declared failure is seen on the way there too (no connection, a 5xx answer), all of it is waited out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eventually: Option<Span>,
    /// The expectation must hold in every try during this span. With `eventually` it must first come to hold within that
    /// time, and then stay so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistently: Option<Span>,
    /// Values for later steps, by name: JSON pointers into the whole answer as the record has it, for example
    /// `/evidence/chain/0/serial` or `/reply/http/status`; an HTTP body that is JSON lies at `/reply/http/json`. Later
    /// steps write `{{ id.name }}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub capture: IndexMap<String, String>,
    /// What the step shows is an attack, and that it succeeds is a known hole of this build: a finding of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerable: Option<Vulnerable>,
    /// When a step within a `repeat` begins: `2s` after the step before it, or at a moment drawn from the repeat's seed,
    /// `{ random: 3s }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
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
    /// Send this path instead of the URL's: what a proxy on the way does that adds a prefix, takes one off, or encodes anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
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
    /// Begin a multipart upload of an object: `bucket/key`. Its id is `/reply/s3/upload_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_upload: Option<String>,
    /// Complete a multipart upload of an object: `bucket/key`, with `upload` and `parts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_upload: Option<String>,
    /// The id of the upload to complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The `ETag` of each part of the upload, the first part first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Content to put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Ask with the credentials that this earlier `sts` step gained, instead of the store's own.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_step: Option<StepRef>,
    /// What becomes of the session token of `as`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SessionToken>,
    /// Further headers, signed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Sign with this secret key instead of the store's: a client whose Secret is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
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
    /// Sign with this secret key instead of the store's: a signer whose Secret is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// Further query parameters to sign.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, String>,
    /// Sign with the credentials that this earlier `sts` step gained, instead of the store's own.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_step: Option<StepRef>,
}

/// Apply Kubernetes objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApplyStep {
    /// The objects. Those without a namespace go into the variant's. A container's `image` without registry and tag is the
    /// name of one in `images/images.lock`, which is on the node then.
    pub objects: Vec<Value>,
}
