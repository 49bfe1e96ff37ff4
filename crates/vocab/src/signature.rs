//! The result of examining a signature that a store refused. The run examines the signature while it still has the
//! secrets.
//!
//! The record contains no secrets, so the signature cannot be verified from the record later. Therefore the run
//! verifies it (`crates/explain/src/signature`) and records the result. Reports make their sentences from this result.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::StepId;

/// Why a store refused a signature: how the request that arrived differs from the request that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureFinding {
    /// Where the request carries the signature.
    pub form: SignatureForm,
    /// Who saw the request in the form that was examined: the store, its sender, or a program on the way.
    pub seen_by: SeenBy,
    /// The id of the step that made the signature; `None` if no step of the variant made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<StepId>,
    /// Whether the signature is valid for the request as it was signed, with the store's secret key. `None` if the
    /// signed request or the key is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_signed: Option<bool>,
    /// Whether the signature is valid for the request as it was seen, with the store's secret key. `None` if the key is
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_seen: Option<bool>,
    /// The parts of the request that differ from what was signed. If `proven` is true, this is the smallest set of
    /// parts that explains the refusal.
    pub differs: Vec<Difference>,
    /// Whether the signer used the secret key that the store has.
    pub secret: SecretFinding,
    /// Whether the signature becomes valid if exactly the parts in `differs` are restored to their signed values. If
    /// the store has another secret key, the signature is verified with the signer's. If `true`, nothing else is wrong.
    /// If `false`, `differs` is only the result of comparing the two requests, and may be incomplete.
    pub proven: bool,
    /// The number of combinations of restored parts with which the signature was verified.
    pub tried: u32,
}

/// Where a request carries its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureForm {
    /// The signature is in the query of the URL (presigned URL).
    Url,
    /// The signature is in the `Authorization` header.
    Header,
}

/// Who saw the request that was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The store saw the request, and reported it in its trace.
    Store,
    /// Only its sender saw the request, so it was examined as it was sent. It is not known whether the request changed
    /// on its way.
    Sender,
    /// A program on the way, such as a proxy, wrote the request to its log. It is not known whether the request changed
    /// on its way from there to the store.
    Log,
}

/// Whether the signer used the secret key that the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFinding {
    /// The signer used the store's secret key.
    Same,
    /// The signer used another secret key.
    Other,
    /// It is not known whether the keys are the same. Either no combination of parts makes the signature valid, or the
    /// signature is valid with the signer's key, but the store's key is not known.
    Unknown,
}

/// One part of a request: the request that arrived has another value for this part than the signed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The part of the request that differs.
    pub part: Part,
    /// The value of this part in the signed request; empty if the signed request did not have the part.
    pub signed: String,
    /// The value of this part in the request that arrived; empty if that request did not have the part.
    pub seen: String,
    /// Whether the client already sent the value that arrived. If `false`, something on the way changed the value, or
    /// it is not known what the client sent.
    pub sent_so: bool,
}

/// A part of a request that the signature covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The HTTP method.
    Method,
    /// The host name in the header `Host`, with or without its port.
    Host,
    /// The port in the header `Host`. This part is used if the host names are the same.
    Port,
    /// The path of the URL, after decoding.
    Path,
    /// The query parameters, except those that belong to the signature.
    Query,
    /// A signed header, given by its name.
    Header(String),
    /// The hash of the body, as the request declares it.
    Payload,
    /// The signing time (`X-Amz-Date`).
    Date,
    /// The date, the region and the service in the credential.
    Scope,
    /// The access key in the credential.
    AccessKey,
    /// The validity of a presigned URL (`X-Amz-Expires`).
    Expires,
    /// The list of signed headers.
    SignedHeaders,
    /// The session token. Reports never contain its value, but only say whether there is one.
    Token,
    /// The signature itself. Reports never contain it.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Host => "host",
            Self::Port => "port",
            Self::Path => "path",
            Self::Query => "query",
            Self::Header(name) => return write!(f, "header {name}"),
            Self::Payload => "payload hash",
            Self::Date => "date",
            Self::Scope => "region",
            Self::AccessKey => "access key",
            Self::Expires => "expiry",
            Self::SignedHeaders => "list of signed headers",
            Self::Token => "session token",
            Self::Signature => "signature",
        })
    }
}
