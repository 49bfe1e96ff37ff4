//! The answers of a vantage to questions.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::cause::Cause;
pub use crate::probes::{
    BODY_LIMIT_BYTES, DnsReply, FORM_SIGNATURE, HttpReply, JwtReply, PresignReply, Reply, S3Error, S3Reply, Signature,
    StsError, StsReply, Survey, TemporaryCredentials, TlsReply,
};

/// The answer to one question: a reply, or the cause of the failure, with evidence in both cases.
///
/// On the wire and in the record it is an object with `evidence` and one of `reply` and `cause`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
pub struct Answer {
    /// The response, whatever its status (an HTTP 403 is a reply), or the cause if there was no response.
    pub outcome: Result<Reply, Cause>,
    /// Timings, addresses and certificates, as far as the probe came.
    pub evidence: Evidence,
}

impl Answer {
    /// The response, if there was one.
    pub fn reply(&self) -> Option<&Reply> {
        self.outcome.as_ref().ok()
    }

    /// The cause if there was no response.
    pub fn cause(&self) -> Option<&Cause> {
        self.outcome.as_ref().err()
    }
}

/// An answer as it is serialised.
#[derive(Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Start, milliseconds since the Unix epoch, by the clock of the vantage.
    pub started_unix_ms: u64,
    /// The total duration in microseconds.
    pub took_us: u64,
    /// The duration of the name resolution in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    /// The duration of the TCP connection set-up in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The duration of the TLS handshake in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// Addresses that the name resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The address to which the name resolved, before any redirection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The address that was dialled, if a redirection (detour) changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<SocketAddr>,
    /// The local address of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The TLS version, for example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// The chain that the server sent, leaf first. The chain is recorded even if it was not accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
}

/// A summary of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The subject of the certificate, in the format of RFC 4514.
    pub subject: String,
    /// The issuer of the certificate, in the format of RFC 4514.
    pub issuer: String,
    /// The serial number, in lower-case hexadecimal.
    pub serial: String,
    /// Subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    /// The beginning of the certificate's validity, in the format of RFC 3339.
    pub not_before: String,
    /// The end of the certificate's validity, in the format of RFC 3339.
    pub not_after: String,
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub sha256: String,
}
