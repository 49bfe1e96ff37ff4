//! The answer of a vantage to a question.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::cause::Cause;
pub use crate::probes::{
    BODY_LIMIT_BYTES, DnsReply, FORM_SIGNATURE, HttpReply, JwtReply, PresignReply, Reply, S3Error, S3Reply, Signature,
    StsError, StsReply, Survey, TemporaryCredentials, TlsReply, meant,
};

/// The answer to one question: a reply or the cause of the failure, and the evidence.
///
/// In frames and in the record, an answer is a JSON object with `evidence` and either `reply` or `cause`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
pub struct Answer {
    /// The reply, whatever its status (an HTTP 403 is a reply too). If there was no reply, the cause of the failure.
    pub outcome: Result<Reply, Cause>,
    /// What the probe observed until it ended or failed: times, addresses and certificates.
    pub evidence: Evidence,
}

impl Answer {
    /// The reply; `None` if there was none.
    pub fn reply(&self) -> Option<&Reply> {
        self.outcome.as_ref().ok()
    }

    /// The cause of the failure; `None` if there was a reply.
    pub fn cause(&self) -> Option<&Cause> {
        self.outcome.as_ref().err()
    }
}

/// The form in which an answer is read from JSON: exactly one of `reply` and `cause` is present.
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

/// What a probe observed. A request passes the layers in the order DNS, TCP, TLS. If one of them fails, the fields of
/// the later layers stay empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The time at which the probe started, in milliseconds since the Unix epoch, by the clock of the vantage.
    pub started_unix_ms: u64,
    /// The duration from the start of the probe to its end, in microseconds.
    pub took_us: u64,
    /// The duration of the name resolution, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    /// The name servers that the probe `dns` uses for the question, in their order. Empty for other probes. Also empty
    /// if the vantage's own name servers cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<SocketAddr>,
    /// The duration of the TCP connection set-up in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The duration of the TLS handshake in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// The addresses to which the host name in the question resolved. If the question contains an address instead of a
    /// name, this address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The address to which the probe meant to connect. A detour may have replaced this address. `None` if no
    /// connection was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The address to which the probe connected instead of `peer`, because of a detour. `None` if no detour applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<SocketAddr>,
    /// The address and port of the connection on the side of the vantage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The TLS version of the connection, for example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// The certificate chain that the server sent, leaf first. It is recorded even if the probe did not accept it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
}

/// The recorded facts about one certificate of the chain that a server sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The subject of the certificate, in the format of RFC 4514.
    pub subject: String,
    /// The issuer of the certificate, in the format of RFC 4514.
    pub issuer: String,
    /// The serial number of the certificate, in lower-case hexadecimal.
    pub serial: String,
    /// The subject alternative names (SANs) of the certificate: DNS names and IP addresses.
    pub names: Vec<String>,
    /// The beginning of the certificate's validity, in the format of RFC 3339.
    pub not_before: String,
    /// The end of the certificate's validity, in the format of RFC 3339.
    pub not_after: String,
    /// The SHA-256 of the certificate's DER encoding, in lower-case hexadecimal.
    pub sha256: String,
}
