//! The probe `presign`: signs a URL or a form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::s3::S3Access;
use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Asks a vantage to sign a URL (SigV4 in its query), or a form (SigV4 in its fields). This needs no network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresignQuestion {
    /// The endpoint of the store, and the credentials that sign.
    pub access: S3Access,
    /// The HTTP method that the URL allows: `GET`, `PUT`, `HEAD` or `DELETE`. For a form (with a `policy`), the method
    /// is `POST`.
    pub method: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The key of the object. For a form whose policy allows every key with a certain prefix, this prefix.
    pub key: String,
    /// How long the URL or the form is valid, in seconds. The SDK refuses to sign a URL for more than seven days. For a
    /// longer time, the probe signs with the crate `aws-sigv4` instead, so that a scenario can show how the server
    /// refuses the URL.
    pub expires_s: u64,
    /// The difference of the signing time from the time of the vantage's clock, in seconds. A negative value means a
    /// signing time in the past.
    #[serde(default)]
    pub signed_at_s: i64,
    /// Further query parameters that are signed, for example `response-content-disposition`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The policy of a form. With a policy, the probe signs the policy, and the reply is a form. Without a policy, the
    /// probe signs a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PostPolicy>,
}

/// What a form may contain (S3 POST policy), in addition to the bucket and the expiry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostPolicy {
    /// The smallest and the largest allowed length of the file, in bytes. `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length_range: Option<[u64; 2]>,
    /// The form fields that must have exactly this value. The signed form contains them already.
    #[serde(default)]
    pub equals: BTreeMap<String, String>,
    /// The form fields whose value must begin with this text.
    #[serde(default)]
    pub starts_with: BTreeMap<String, String>,
}

impl PresignQuestion {
    /// Makes a question that signs a URL at the present time, without further query parameters.
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
            address: Addressed::Url(self.access.url_of(&self.bucket)),
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
    /// The signed URL. For a form, the URL to which the form is sent.
    pub url: String,
    /// The headers that a client must send with the URL, because they are signed.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The method that was signed.
    pub method: String,
    /// The fields that the form must contain; empty for a URL. The policy may allow more fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// The name of the form field that contains the signature of the form.
pub const FORM_SIGNATURE: &str = "x-amz-signature";

impl PresignReply {
    /// Creates the reply for a signed URL that needs no further signed headers.
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
        // The redactor finds the signature in a URL by a pattern. No pattern finds the signature of a form, because it
        // is a plain field value. So it is in this list.
        let Self { url: _, headers: _, method: _, fields } = self;
        fields.get(FORM_SIGNATURE).map(Secret::new).into_iter().collect()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![("url", self.url.clone())]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
