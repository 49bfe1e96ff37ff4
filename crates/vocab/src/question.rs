//! Questions to a vantage. A question is complete: the process that answers it uses nothing from its own environment.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::probes::{
    DnsQuestion, Form, FormFile, HttpQuestion, JwtQuestion, PostPolicy, PresignQuestion, Probe, S3Access, S3Operation,
    S3Question, StsQuestion, TlsQuestion, TokenSource,
};
use crate::secret::Secret;

/// One question to one vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The vantage's view of the network.
    pub view: View,
    /// The time limit for the whole answer, in milliseconds.
    pub deadline_ms: u64,
    /// The probe that the vantage runs.
    pub probe: Probe,
}

/// How a vantage sees the network: the certificates it trusts, its name servers, and redirected connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The trusted certificates, PEM. If the list is empty, no server is trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The only accepted leaf certificate (DER). Nothing else about the server is verified. The harness uses this for
    /// its own set-up connections, which must work even when a break makes the certificate invalid. A scenario's steps
    /// never set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// The name servers to ask. If the list is empty, those of `/etc/resolv.conf` at the vantage are asked, with its
    /// search path and `ndots`.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// Redirections: connections to `from` are made to `to` instead. The URL, `Host` and SNI stay unchanged. With them,
    /// an outside vantage reaches a port that the engine published on loopback.
    #[serde(default)]
    pub detours: Vec<Detour>,
    /// The client certificate that is presented if the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The certificate and its intermediates, PEM.
    pub chain: String,
    /// The private key in PEM format.
    pub key: Secret,
}

/// A redirected TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detour {
    /// The address that the name resolved to.
    pub from: SocketAddr,
    /// The address that is dialled.
    pub to: SocketAddr,
}
