//! `s3`: does one S3 operation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts, Signed, refusal};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// The store's endpoint and the client's credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Access {
    /// The URL of the endpoint: `https://host[:port]`.
    pub endpoint: String,
    /// The region for which requests are signed.
    pub region: String,
    /// The id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// Session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

/// One S3 operation, path style.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Question {
    /// The store and the credentials.
    pub access: S3Access,
    /// The operation to execute.
    pub operation: S3Operation,
    /// Further headers. They are signed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// S3 operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum S3Operation {
    /// The operation `CreateBucket`. If the bucket already exists and belongs to the caller, this counts as success.
    CreateBucket {
        /// The name of the bucket.
        bucket: String,
    },
    /// The operation `PutBucketPolicy`.
    PutBucketPolicy {
        /// The name of the bucket.
        bucket: String,
        /// The policy as JSON.
        policy: String,
    },
    /// The operation `PutObject`.
    Put {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The content, which is UTF-8 text.
        body: String,
    },
    /// The operation `GetObject`.
    Get {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `HeadObject`.
    Head {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `DeleteObject`.
    Delete {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `CreateMultipartUpload`.
    CreateUpload {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `CompleteMultipartUpload`.
    CompleteUpload {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The id of the upload.
        upload: String,
        /// The `ETag` of each part, in the order of the parts.
        parts: Vec<String>,
    },
    /// The operation `ListObjectsV2`. All pages are read, up to a limit. A longer listing is an error.
    List {
        /// The name of the bucket.
        bucket: String,
        /// The prefix of the keys.
        #[serde(default)]
        prefix: String,
    },
    /// The operation `ListObjectsV2` over all pages. The reply contains only the totals.
    Survey {
        /// The name of the bucket.
        bucket: String,
        /// The prefix of the keys.
        #[serde(default)]
        prefix: String,
    },
}

impl S3Operation {
    /// Whether the operation may change the contents of a store.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Get { .. } | Self::Head { .. } | Self::List { .. } | Self::Survey { .. } => false,
            Self::CreateBucket { .. }
            | Self::PutBucketPolicy { .. }
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::CreateUpload { .. }
            | Self::CompleteUpload { .. } => true,
        }
    }
}

impl Asked for S3Question {
    fn in_words(&self) -> String {
        let operation = serde_json::to_value(&self.operation).unwrap_or_default();
        let (name, at) = operation.as_object().and_then(|fields| fields.iter().next()).map_or(
            (String::new(), String::new()),
            |(name, fields)| {
                let part = |key: &str| fields.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
                (name.clone(), [part("bucket"), part("key")].join("/"))
            },
        );
        format!("s3 {name} {} at {}", at.trim_end_matches('/'), self.access.endpoint)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Url(&self.access.endpoint),
            names: Names::Question,
            http: None,
            signed: Some(Signed::S3(self)),
            token: None,
            signs: None,
            exchange: None,
            is_program: false,
            may_write: self.operation.writes(),
        }
    }
}

/// An S3 error document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Error {
    /// The error code, for example `SignatureDoesNotMatch`.
    pub code: String,
    /// The message of the server.
    pub message: String,
}

/// An S3 answer: a success or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Reply {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The server's error, if it refused the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<S3Error>,
    /// The content from `GetObject`, cut after [`BODY_LIMIT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The keys that `ListObjectsV2` returned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The totals of the objects with the prefix, for a survey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
    /// The ETag of the object, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The length in bytes, for get and head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Id of the upload that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// The `x-amz-request-id`. It identifies the request in the store's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Totals of the objects with a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// The number of objects.
    pub objects: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
    /// Key of the newest object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_key: Option<String>,
    /// The time at which the newest object was written, in milliseconds since the Unix epoch, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_unix_ms: Option<i64>,
    /// The age of the newest object at the time of the question, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_age_ms: Option<u64>,
}

impl Replied for S3Reply {
    fn facts(&self) -> ReplyFacts<'_> {
        // If a store refuses a listing, the empty list of keys has no meaning.
        let listed = self.error.is_none() && (200..300).contains(&self.status);
        ReplyFacts {
            status: Some(self.status),
            s3_error: self.error.as_ref(),
            sts: None,
            addresses: None,
            headers: None,
            body: self.body.as_deref(),
            body_cut_from: self.size_bytes.filter(|it| *it > super::BODY_LIMIT_BYTES as u64),
            keys: listed.then_some(self.keys.as_slice()),
            survey: self.survey.as_ref(),
            jwt: None,
            run: None,
            request_id: self.request_id.as_deref(),
            is_refusal_to_show: self.status >= 400,
            is_of_a_store: true,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: None, json: None }
    }

    fn with_entry(&self, entry: &str) -> Option<Reply> {
        let reply = || Self { keys: vec![entry.to_owned()], ..self.clone() };
        self.keys.is_empty().then(|| Reply::S3(reply()))
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let error = self.error.as_ref().map(|it| (it.code.as_str(), it.message.as_str()));
        vec![("server", refusal(self.status, error))]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
