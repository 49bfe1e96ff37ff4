//! `presign`: signs a URL or a form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::s3::S3Access;
use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Sign a URL (SigV4 in the query), or a form (SigV4 in its fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresignQuestion {
    /// The store and the credentials.
    pub access: S3Access,
    /// The method: `GET`, `PUT`, `HEAD` or `DELETE`. With a `policy`, it is `POST`.
    pub method: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The object key. With a policy that leaves the rest of the key open, the prefix of the key.
    pub key: String,
    /// The validity in seconds. The SDK refuses more than seven days. The probe then signs with `aws-sigv4`, so that a
    /// scenario can show how the server refuses the URL.
    pub expires_s: u64,
    /// The signing time, relative to now, in seconds. A negative value is in the past.
    #[serde(default)]
    pub signed_at_s: i64,
    /// Further query parameters to sign, for example `response-content-disposition`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The policy of a form. If it is given, the permission to send a form is signed instead of a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PostPolicy>,
}

/// What a form may send (S3 POST policy), in addition to the bucket and the time limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostPolicy {
    /// The smallest and the largest length of the file, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length_range: Option<[u64; 2]>,
    /// Fields that must have exactly this value. The signed form contains them.
    #[serde(default)]
    pub equals: BTreeMap<String, String>,
    /// Fields whose value must begin with this text.
    #[serde(default)]
    pub starts_with: BTreeMap<String, String>,
}

impl PresignQuestion {
    /// A question that signs at the current time, without further query parameters and without a policy.
    pub fn new(
        access: S3Access,
        method: impl Into<String>,
        bucket: impl Into<String>,
        key: impl Into<String>,
        expires_s: u64,
    ) -> Self {
        let (method, bucket, key) = (method.into(), bucket.into(), key.into());
        Self { access, method, bucket, key, expires_s, signed_at_s: 0, query: BTreeMap::new(), policy: None }
    }
}

impl Asked for PresignQuestion {
    fn in_words(&self) -> String {
        let Self { access, method, bucket, key, policy, expires_s: _, signed_at_s: _, query: _ } = self;
        let what = if policy.is_some() { "a form" } else { "a URL" };
        format!("{what} for {method} {bucket}/{key} at {}", access.endpoint)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Url(&self.access.endpoint),
            names: Names::Question,
            http: None,
            signed: None,
            token: None,
            signs: Some(self),
            exchange: None,
            is_program: false,
            may_write: false,
        }
    }
}

/// A signed URL, or a signed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresignReply {
    /// The signed URL. For a form: the URL to which it is sent.
    pub url: String,
    /// The headers that a client must send when it opens the URL.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The method that was signed.
    pub method: String,
    /// The fields that a form must send. The policy may allow more fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// The name of the form field that contains the signature.
pub const FORM_SIGNATURE: &str = "x-amz-signature";

impl PresignReply {
    /// A signed URL that needs no additional headers.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: BTreeMap::new(), fields: BTreeMap::new() }
    }
}

impl Replied for PresignReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: None,
            s3_error: None,
            sts: None,
            addresses: None,
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: None,
            run: None,
            request_id: None,
            is_refusal_to_show: false,
            is_of_a_store: false,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: Some(self), credentials: None, json: None }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        // A pattern finds the signature in a URL. The signature of a form is found only by the name of its field.
        let Self { url: _, headers: _, method: _, fields } = self;
        fields.get(FORM_SIGNATURE).map(Secret::new).into_iter().collect()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![("url", self.url.clone())]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
