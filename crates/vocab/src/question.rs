//! Questions to a vantage. A question is complete: the process that answers it takes nothing from its own environment.

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
    /// How this vantage sees the network.
    pub view: View,
    /// The whole question must be answered within this time, in milliseconds.
    pub deadline_ms: u64,
    /// What to do.
    pub probe: Probe,
}

/// How a vantage sees the network: the certificates it trusts, its name servers, and redirected connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Trusted certificates, PEM. Nothing else is trusted. If the list is empty, no server is trusted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Accept exactly this leaf certificate (DER) and verify nothing else. The harness uses it for its own set-up
    /// traffic, which must work even when a break makes the certificate invalid. A scenario's steps never set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// Name servers to ask; if empty, those of `/etc/resolv.conf` at the vantage, with its search path and `ndots`.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// Connections to `from` are made to `to` instead. URL, `Host` and SNI stay unchanged. This is how an outside
    /// vantage reaches a port that the engine published on loopback.
    #[serde(default)]
    pub detours: Vec<Detour>,
    /// What is presented to a server that asks for a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The certificate and its intermediates, PEM.
    pub chain: String,
    /// The private key, PEM.
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
