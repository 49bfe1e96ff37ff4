//! Answers of a vantage.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::cause::Cause;
use crate::program::RunReply;
use crate::secret::Secret;

/// The answer to one question: a reply, or the cause of the failure, with evidence in both cases.
///
/// On the wire and in the record it is an object with `evidence` and one of `reply` and `cause`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Answer {
    /// The response, whatever its status (an HTTP 403 is a reply), or the cause why there was none.
    pub outcome: Result<Reply, Cause>,
    /// Timings, addresses and certificates, as far as the probe got.
    pub evidence: Evidence,
}

impl Answer {
    /// The response, if there was one.
    pub fn reply(&self) -> Option<&Reply> {
        self.outcome.as_ref().ok()
    }

    /// Why there was no response.
    pub fn cause(&self) -> Option<&Cause> {
        self.outcome.as_ref().err()
    }
}

/// An answer as it is serialised.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    reply: Option<Reply>,
    #[serde(default)]
    cause: Option<Cause>,
    evidence: Evidence,
}

impl TryFrom<Written> for Answer {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let outcome = match (written.reply, written.cause) {
            (Some(reply), None) => Ok(reply),
            (None, Some(cause)) => Err(cause),
            (Some(_), Some(_)) => return Err("an answer has a reply or a cause, and this one has both"),
            (None, None) => return Err("an answer has a reply or a cause, and this one has neither"),
        };
        Ok(Self { outcome, evidence: written.evidence })
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_struct("Answer", 2)?;
        match &self.outcome {
            Ok(reply) => written.serialize_field("reply", reply)?,
            Err(cause) => written.serialize_field("cause", cause)?,
        }
        written.serialize_field("evidence", &self.evidence)?;
        written.end()
    }
}

/// What a probe observed on its way. Fields of the layers after the one that failed stay empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Start, milliseconds since the Unix epoch, by the clock of the vantage.
    pub started_unix_ms: u64,
    /// Total duration in microseconds.
    pub took_us: u64,
    /// Name resolution in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    /// TCP connect in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// TLS handshake in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// Addresses that the name resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The address before any detour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The address that was dialled, if a detour changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<SocketAddr>,
    /// The local address of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// `TLSv1.3`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// The chain that the server sent, leaf first; it is recorded even if it was not accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
}

/// A summary of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    /// Validity, RFC 3339.
    pub not_before: String,
    /// Validity, RFC 3339.
    pub not_after: String,
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub sha256: String,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Addresses of a name.
    Dns(DnsReply),
    /// A finished handshake; the chain is in the evidence.
    Tls(TlsReply),
    /// An HTTP answer.
    Http(HttpReply),
    /// An S3 answer.
    S3(S3Reply),
    /// A signed URL.
    Presign(PresignReply),
    /// Credentials for a token, or a refusal.
    Sts(StsReply),
    /// The claims of a token, and whether its issuer's keys verify it.
    Jwt(JwtReply),
    /// A program that ended.
    Run(RunReply),
}

impl Reply {
    /// The id that the store gave the request. Its trace has the same id.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::S3(s3) => s3.request_id.as_deref(),
            Self::Sts(sts) => sts.request_id.as_deref(),
            Self::Http(http) => http.headers.get("x-amz-request-id").map(String::as_str),
            Self::Dns(_) | Self::Tls(_) | Self::Presign(_) | Self::Jwt(_) | Self::Run(_) => None,
        }
    }

    /// Whether it is a refusal whose request may be recorded as the store saw it.
    pub fn is_refusal_to_show(&self) -> bool {
        match self {
            Self::S3(s3) => s3.status >= 400,
            Self::Http(http) => http.status >= 400,
            // The query of an STS request may contain a token.
            Self::Sts(_) | Self::Dns(_) | Self::Tls(_) | Self::Presign(_) | Self::Jwt(_) | Self::Run(_) => false,
        }
    }

    /// The store's error document.
    pub fn s3_error(&self) -> Option<&S3Error> {
        match self {
            Self::Http(http) => http.s3_error.as_ref(),
            Self::S3(s3) => s3.error.as_ref(),
            Self::Sts(_) | Self::Dns(_) | Self::Tls(_) | Self::Presign(_) | Self::Jwt(_) | Self::Run(_) => None,
        }
    }

    /// Whether only a store, or its token service, gives such a reply.
    pub fn is_of_a_store(&self) -> bool {
        match self {
            Self::S3(_) | Self::Sts(_) => true,
            Self::Http(_) | Self::Dns(_) | Self::Tls(_) | Self::Presign(_) | Self::Jwt(_) | Self::Run(_) => false,
        }
    }

    /// Secrets in the reply that neither a pattern nor a field name reveals.
    pub fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Sts(StsReply { credentials: Some(it), .. }) => {
                // The access key is registered too, like the access keys that the harness creates.
                vec![Secret::new(it.access_key.clone()), it.secret_key.clone(), it.session_token.clone()]
            }
            // A pattern finds the signature of a URL. The signature of a form is found only where its field is named.
            Self::Presign(PresignReply { url: _, headers: _, method: _, fields }) => {
                fields.get(FORM_SIGNATURE).map(Secret::new).into_iter().collect()
            }
            Self::Sts(_) | Self::Dns(_) | Self::Tls(_) | Self::Http(_) | Self::S3(_) | Self::Jwt(_) | Self::Run(_) => {
                Vec::new()
            }
        }
    }
}

/// Addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsReply {
    /// A and AAAA records, sorted.
    pub addresses: Vec<IpAddr>,
    /// Canonical names (CNAME) in the answer.
    #[serde(default)]
    pub cnames: Vec<String>,
    /// The smallest TTL in seconds.
    pub ttl_s: u32,
    /// What the vantage's search path gives for the same name, if it differs from the absolute answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<String>,
}

/// A finished handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsReply {
    /// The name that the certificate was verified for.
    pub server_name: String,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Headers, lower-case names; values of equal names joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, at most [`BODY_LIMIT_BYTES`]; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Full length of the body in bytes.
    pub body_bytes: u64,
    /// SHA-256 of the full body, lower-case hexadecimal.
    pub body_sha256: String,
    /// The S3 error, if the body is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_error: Option<S3Error>,
}

/// An answer carries at most this much of a body.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// An S3 error document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Error {
    /// For example `SignatureDoesNotMatch`.
    pub code: String,
    /// The server's sentence.
    pub message: String,
}

/// An S3 answer: a success or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Reply {
    /// HTTP status code.
    pub status: u16,
    /// The server's error, when it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<S3Error>,
    /// Content of `GetObject`, at most [`BODY_LIMIT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Keys of `ListObjectsV2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// For a survey: the totals of the objects with the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
    /// ETag, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// For get and head: the length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Id of the upload that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// `x-amz-request-id`: it identifies the request in the store's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Totals of the objects with a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// How many objects.
    pub objects: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
    /// Key of the newest object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_key: Option<String>,
    /// When the newest object was written, in milliseconds since the Unix epoch, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_unix_ms: Option<i64>,
    /// The age of the newest object at the time of the question, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_age_ms: Option<u64>,
}

/// A signed URL, or a signed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresignReply {
    /// The signed URL. For a form: the URL to which it is sent.
    pub url: String,
    /// Headers that the client which opens the URL must send.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Method that was signed.
    pub method: String,
    /// The fields that a form must send. The policy may allow more fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// The field of a form that holds its signature.
pub const FORM_SIGNATURE: &str = "x-amz-signature";

impl PresignReply {
    /// A signed URL that needs no additional headers.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: BTreeMap::new(), fields: BTreeMap::new() }
    }
}

/// An answer of the security token service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StsReply {
    /// HTTP status code.
    pub status: u16,
    /// The server's error, when it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StsError>,
    /// The credentials that the token was exchanged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<TemporaryCredentials>,
    /// The token's subject, as the server read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `x-amz-request-id`: it identifies the request in the store's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The error of a security token service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StsError {
    /// For example `InvalidParameterValue`.
    pub code: String,
    /// The server's sentence.
    pub message: String,
}

/// Temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporaryCredentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// Session token.
    pub session_token: Secret,
    /// When they expire, RFC 3339.
    pub expires: String,
}

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtReply {
    /// The claims.
    pub claims: serde_json::Value,
    /// Signature algorithm, for example `RS256`.
    pub algorithm: String,
    /// The key id (`kid`) in the token's header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whether the published keys verify its signature.
    pub signature: Signature,
    /// The key set's URL, from the issuer's discovery document.
    pub jwks_uri: String,
    /// Ids of the published keys.
    pub published: Vec<String>,
}

/// Whether a token's signature is its issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// A published key made it.
    Valid,
    /// The key that it names is published and did not make it.
    Invalid,
    /// The key that it names is not published.
    UnknownKey,
}

impl Signature {
    /// The word as scenarios write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::UnknownKey => "unknown-key",
        }
    }
}
