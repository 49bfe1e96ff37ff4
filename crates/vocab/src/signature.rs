//! The finding about a signature that a store refused. The run determines the finding while it still has the secrets.
//!
//! The record contains no secret, so nobody can verify a signature from the record. Therefore the run verifies the
//! signature (`crates/explain/src/signature`) and records the result. Reports build their sentences from the result.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::StepId;

/// The request for which a signature is valid, compared with the request that the store refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureFinding {
    /// The place of the signature in the request.
    pub form: SignatureForm,
    /// The observer whose view of the request was examined.
    pub seen_by: SeenBy,
    /// The step that created the signature, if a step of the variant did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<StepId>,
    /// Whether the signature is valid for the request as it was signed, with the store's own secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_signed: Option<bool>,
    /// Whether the signature is valid for the request as it arrived, with the store's own secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_seen: Option<bool>,
    /// The smallest set of parts that differ from what was signed.
    pub differs: Vec<Difference>,
    /// Whether the signer's secret key equals the store's.
    pub secret: SecretFinding,
    /// Whether the signature is valid after exactly these parts are restored (with the signer's secret key, if it
    /// differs from the store's). If `true`, nothing else is wrong. If `false`, `differs` comes from a comparison of
    /// texts and may be incomplete.
    pub proven: bool,
    /// The number of combinations that were verified.
    pub tried: u32,
}

/// Where a request carries its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureForm {
    /// The signature is in the query of a presigned URL.
    Url,
    /// The signature is in the `Authorization` header.
    Header,
}

/// Whose view of a request was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The store, according to its own trace.
    Store,
    /// The sender. Changes on the way to the store are not known.
    Sender,
    /// A log on the way. Changes after that log are not known.
    Log,
}

/// Whether the signer used the store's secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFinding {
    /// The signer used the store's key.
    Same,
    /// The signer used another key.
    Other,
    /// The secret is unknown, because no combination that was tried makes the signature valid.
    Unknown,
}

/// One part of the request that differs from what was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The part that differs.
    pub part: Part,
    /// The value that was signed; empty if absent.
    pub signed: String,
    /// The value that arrived; empty if absent.
    pub seen: String,
    /// Whether the client already sent this value. If not, the value was changed on the way.
    pub sent_so: bool,
}

/// The parts of a request that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The method differs.
    Method,
    /// The name in `Host`, with or without its port.
    Host,
    /// Only the port in `Host` differs.
    Port,
    /// The decoded path differs.
    Path,
    /// Query parameters other than those of the signature.
    Query,
    /// A signed header differs.
    Header(String),
    /// The hash of the payload that the request declares.
    Payload,
    /// The signing time (`X-Amz-Date`) differs.
    Date,
    /// Date, region and service in the credential.
    Scope,
    /// The access key in the credential.
    AccessKey,
    /// The value of `X-Amz-Expires` differs.
    Expires,
    /// The list of signed headers.
    SignedHeaders,
    /// The session token. Its value is never shown, only whether there is one.
    Token,
    /// The signature itself. It is never shown.
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
