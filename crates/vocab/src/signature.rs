//! What was found out about a signature that a store refused, while the run still held the secrets.
//!
//! The record holds no secret, so nobody can verify a signature from it. The run verifies (`crates/explain/src/signature`) and
//! writes down what it found; the sentence is made from that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::StepId;

/// What a signature was right for, and what differs from that in the request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFinding {
    /// Where the signature was.
    pub form: SignatureForm,
    /// Whose view of the request was examined.
    pub seen_by: SeenBy,
    /// The step that signed, where a step of the variant did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<StepId>,
    /// Whether the signature is right for the request as it was signed, with the store's own secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_signed: Option<bool>,
    /// Whether the signature is right for the request as it was seen, with the store's own secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_as_seen: Option<bool>,
    /// The fewest parts that differ from what was signed.
    pub differs: Vec<Difference>,
    /// Whether the signer's secret key is the store's.
    pub secret: SecretFinding,
    /// Whether the signature is right once exactly these parts are put back (with the signer's secret key, where that is
    /// another): then nothing else is wrong. Without it `differs` is what the texts show, and may not be all.
    pub proven: bool,
    /// How many combinations were verified.
    pub tried: u32,
}

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureForm {
    /// In the query of a presigned URL.
    Url,
    /// In the `Authorization` header.
    Header,
}

/// Whose view of a request was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The store's, by its own trace.
    Store,
    /// The sender's: what happened on the way is not known.
    Sender,
}

/// What is known of the signer's secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFinding {
    /// It is the store's.
    Same,
    /// It is not the store's.
    Other,
    /// Not known: nothing that was tried makes the signature right.
    Unknown,
}

/// One part of the request that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Which part.
    pub part: Part,
    /// What was signed; empty where it was absent.
    pub signed: String,
    /// What was seen; empty where it was absent.
    pub seen: String,
    /// Whether it was already sent so. `false`: something on the way changed it.
    pub sent_so: bool,
}

/// The parts of a request that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The method.
    Method,
    /// The name in `Host`, with or without its port.
    Host,
    /// Only the port in `Host`.
    Port,
    /// The path, decoded.
    Path,
    /// The query's own parameters.
    Query,
    /// A signed header.
    Header(String),
    /// The hash of the payload that the request declares.
    Payload,
    /// The signing instant, `X-Amz-Date`.
    Date,
    /// Date, region and service in the credential.
    Scope,
    /// The access key in the credential.
    AccessKey,
    /// `X-Amz-Expires`.
    Expires,
    /// The list of signed headers.
    SignedHeaders,
    /// The session token: never shown, only whether it is there.
    Token,
    /// The signature itself: never shown.
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
