//! The task that a client reads as JSON from its standard input.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The task that the harness gives to a client. Exactly one of the fields is set.
#[derive(Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) presign: Option<Presign>,
    pub(crate) s3: Option<S3>,
    pub(crate) http: Option<Http>,
}

/// The endpoint of the store and the credentials for it. If a task does not contain them, the client finds them with
/// the AWS SDK's default chain.
#[derive(Debug, Deserialize)]
pub(crate) struct Access {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    #[serde(rename = "access_key")]
    pub(crate) key_id: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
    #[serde(default)]
    pub(crate) addressing: Addressing,
}

/// The part of a URL that contains the name of the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Addressing {
    /// The path contains the name of the bucket.
    #[default]
    Path,
    /// The host name contains the name of the bucket.
    Virtual,
}

/// A task: sign a URL.
#[derive(Debug, Deserialize)]
pub(crate) struct Presign {
    pub(crate) access: Option<Access>,
    pub(crate) method: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) expires_s: u64,
    #[serde(default)]
    pub(crate) signed_at_s: i64,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
}

/// A task: execute one S3 operation.
#[derive(Debug, Deserialize)]
pub(crate) struct S3 {
    pub(crate) access: Option<Access>,
    pub(crate) operation: Operation,
}

/// The S3 operations that a task may request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    CreateBucket { bucket: String },
    Put { bucket: String, key: String, body: String },
    Get { bucket: String, key: String },
    Head { bucket: String, key: String },
    Delete { bucket: String, key: String },
    List { bucket: String, prefix: String },
}

/// A task: send one HTTP request.
#[derive(Debug, Deserialize)]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
}
