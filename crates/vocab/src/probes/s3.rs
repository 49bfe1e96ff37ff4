//! The probe `s3`: does one S3 operation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts, Signed, refusal};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// The endpoint of a store, and the credentials with which the client signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Access {
    /// The URL of the endpoint: `https://host[:port]`.
    pub endpoint: String,
    /// The region in the signature of the requests.
    pub region: String,
    /// The id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// The session token of temporary credentials; `None` for permanent credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
    /// Whether the name of the bucket is in the path or in the host name of a URL.
    #[serde(default, skip_serializing_if = "Addressing::is_path")]
    pub addressing: Addressing,
}

/// Where a URL contains the name of the bucket. The AWS CLI and boto3 call this setting `addressing_style`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// Path style: the bucket is the first segment of the path, `https://host/bucket/key`.
    #[default]
    Path,
    /// Virtual-host style: the bucket is the first label of the host name, `https://bucket.host/key`.
    Virtual,
}

impl Addressing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_path(&self) -> bool {
        *self == Self::Path
    }
}

impl S3Access {
    /// Returns a URL whose host gets the requests for a bucket. In virtual-host style, the host name begins with the
    /// bucket.
    pub(super) fn url_of(&self, bucket: &str) -> Cow<'_, str> {
        match self.addressing {
            Addressing::Path => Cow::Borrowed(&self.endpoint),
            Addressing::Virtual => Cow::Owned(self.bucket_url(bucket)),
        }
    }

    /// Returns the URL of a bucket without a slash at its end. The function does not encode `bucket`, so the caller
    /// must percent-encode characters that a URL does not allow.
    pub fn bucket_url(&self, bucket: &str) -> String {
        let endpoint = self.endpoint.trim_end_matches('/');
        match (self.addressing, endpoint.split_once("://")) {
            (Addressing::Virtual, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => format!("{endpoint}/{bucket}"),
        }
    }
}

/// The allowed lengths of a bucket's name in characters, by S3's rules for names. The limit of 63 characters also
/// applies to each label of a host name.
const BUCKET_NAME: std::ops::RangeInclusive<usize> = 3..=63;

impl S3Access {
    /// Returns the reason why a request cannot use virtual-host style although `addressing` requires it. There are
    /// three reasons: the endpoint is an IP address, a host name cannot begin with the bucket, or no wildcard
    /// certificate covers the host name. The AWS SDKs then use path style without a warning. `None` if the request can
    /// use virtual-host style, or if `addressing` is path style.
    pub fn cannot_be_virtual(&self, bucket: &str) -> Option<String> {
        if self.addressing == Addressing::Path {
            return None;
        }
        let (scheme, rest) = self.endpoint.split_once("://")?;
        let host = rest.split('/').next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if host.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() {
            return Some(format!("{host} is an address, and only a host name can begin with a bucket"));
        }
        let is_letter = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        let is_label =
            |it: &str| !it.is_empty() && it.bytes().all(is_letter) && !it.starts_with('-') && !it.ends_with('-');
        if !BUCKET_NAME.contains(&bucket.len()) || !bucket.split('.').all(is_label) {
            return Some(format!("`{bucket}` cannot begin a host name; SDKs use path style for it"));
        }
        (scheme == "https" && bucket.contains('.')).then(|| {
            format!(
                "`{bucket}` has a dot, and no wildcard of a certificate covers two labels; SDKs use path style for it"
            )
        })
    }
}

/// One S3 operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Question {
    /// The endpoint of the store, and the credentials that sign the request.
    pub access: S3Access,
    /// The operation that the probe does.
    pub operation: S3Operation,
    /// Headers that are sent in addition to the headers of the SDK. The signature covers the additional headers too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The S3 operations that the probe can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum S3Operation {
    /// The operation `CreateBucket`. It also succeeds if the bucket already exists and belongs to the caller.
    CreateBucket {
        /// The name of the bucket.
        bucket: String,
    },
    /// The operation `PutBucketPolicy`, which replaces the policy of a bucket.
    PutBucketPolicy {
        /// The name of the bucket.
        bucket: String,
        /// The policy, as a JSON text.
        policy: String,
    },
    /// The operation `PutObject`, which writes an object.
    Put {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The content of the object, as UTF-8 text.
        body: String,
    },
    /// The operation `GetObject`, which reads an object.
    Get {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `HeadObject`, which reads the metadata of an object.
    Head {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `DeleteObject`, which deletes an object.
    Delete {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `CreateMultipartUpload`, which begins an upload in parts.
    CreateUpload {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
    },
    /// The operation `CompleteMultipartUpload`, which makes an object of the uploaded parts.
    CompleteUpload {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The id of the multipart upload.
        upload: String,
        /// The `ETag` of each uploaded part, in the order of the parts.
        parts: Vec<String>,
    },
    /// The operation `ListObjectsV2`, which lists the keys with a prefix. The probe reads all pages. A listing that is
    /// too long for one frame is an error.
    List {
        /// The name of the bucket.
        bucket: String,
        /// The prefix of the keys; an empty prefix means all keys.
        #[serde(default)]
        prefix: String,
    },
    /// The operation `ListObjectsV2` over all pages. The reply contains only totals ([`Survey`]), and not the keys.
    Survey {
        /// The name of the bucket.
        bucket: String,
        /// The prefix of the keys; an empty prefix means all keys.
        #[serde(default)]
        prefix: String,
    },
}

impl S3Operation {
    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        match self {
            Self::CreateBucket { bucket }
            | Self::PutBucketPolicy { bucket, .. }
            | Self::Put { bucket, .. }
            | Self::Get { bucket, .. }
            | Self::Head { bucket, .. }
            | Self::Delete { bucket, .. }
            | Self::CreateUpload { bucket, .. }
            | Self::CompleteUpload { bucket, .. }
            | Self::List { bucket, .. }
            | Self::Survey { bucket, .. } => bucket,
        }
    }

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
        let style = if self.access.addressing == Addressing::Virtual { " (virtual-host style)" } else { "" };
        format!("s3 {name} {} at {}{style}", at.trim_end_matches('/'), self.access.endpoint)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Url(self.access.url_of(self.operation.bucket())),
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

/// The error that a store reports in S3's XML format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Error {
    /// The error code, for example `SignatureDoesNotMatch`.
    pub code: String,
    /// The error message of the store.
    pub message: String,
}

impl S3Error {
    /// The standard S3 error code for this error. It differs from `code` if the store uses a less precise code
    /// ([`meant`]).
    pub fn meant(&self) -> &str {
        meant(&self.code, &self.message)
    }
}

/// Returns the standard S3 error code for an error with this code and this message. In some cases for which S3 has a
/// more precise code, Garage answers `AccessDenied`. Only the message distinguishes these cases
/// (docs/facts.md#other-s3-stores).
pub fn meant<'code>(code: &'code str, message: &str) -> &'code str {
    match code {
        "AccessDenied" if message.contains("Invalid signature") => "SignatureDoesNotMatch",
        "AccessDenied" if message.contains("No such key: ") => "InvalidAccessKeyId",
        _ => code,
    }
}

/// The reply to an S3 operation: a success or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Reply {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The error that the store reported; `None` if the operation succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<S3Error>,
    /// The content that `GetObject` read, cut after `BODY_LIMIT_BYTES` (64 KiB). `None` for other operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The keys that the operation `list` found; empty for other operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The totals that the operation `survey` counted; `None` for other operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
    /// The ETag of the object, without its quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The length of the object in bytes, for `GetObject` and `HeadObject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The id of the upload that `CreateMultipartUpload` began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// The response header `x-amz-request-id`. The store's trace contains the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Totals of the objects whose keys have a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// The number of objects whose keys have the prefix.
    pub objects: u64,
    /// The sum of the objects' lengths, in bytes.
    pub bytes: u64,
    /// The key of the object that was written last; `None` if there is no object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_key: Option<String>,
    /// The time at which the newest object was written, in milliseconds since the Unix epoch, by the clock of the
    /// store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_unix_ms: Option<i64>,
    /// The age of the newest object at the start of the survey, in milliseconds. It is the time by the clock of the
    /// vantage minus `newest_unix_ms`. It is 0 if the store's time is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_age_ms: Option<u64>,
}

impl Replied for S3Reply {
    fn facts(&self) -> ReplyFacts<'_> {
        // If the store refused the listing, the list of keys is empty too. This empty list must not count as a listing
        // that found no keys.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_can_begin_a_host_in_virtual_host_style() {
        for (endpoint, bucket, says) in [
            ("https://s3.example.com", "photos", None),
            ("https://s3.example.com:9000/base", "my-photos-2026", None),
            ("http://s3.example.com", "my.photos", None),
            ("https://s3.example.com", "my.photos", Some("has a dot")),
            ("https://s3.example.com", "Photos", Some("`Photos` cannot begin")),
            ("https://s3.example.com", "ab", Some("`ab` cannot begin")),
            ("http://s3.example.com", "my..photos", Some("cannot begin")),
            ("https://10.0.0.1:9000", "photos", Some("10.0.0.1:9000 is an address")),
            ("http://[fd00::1]:9000", "photos", Some("is an address")),
        ] {
            let access = |addressing| S3Access {
                endpoint: endpoint.to_owned(),
                region: "us-east-1".to_owned(),
                access_key: "key".to_owned(),
                secret_key: Secret::new("secret"),
                session_token: None,
                addressing,
            };
            let why = access(Addressing::Virtual).cannot_be_virtual(bucket);
            assert_eq!(why.is_some(), says.is_some(), "{endpoint} {bucket}: {why:?}");
            assert!(why.unwrap_or_default().contains(says.unwrap_or_default()), "{endpoint} {bucket}");
            assert_eq!(access(Addressing::Path).cannot_be_virtual(bucket), None, "{endpoint} {bucket}");
        }
    }
}
