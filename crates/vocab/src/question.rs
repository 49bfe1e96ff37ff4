//! Questions to a vantage. A question contains everything that the answer depends on. The process that answers takes
//! nothing from its own environment.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::probes::{
    Addressing, DnsQuestion, Form, FormFile, HttpQuestion, JwtQuestion, PostPolicy, PresignQuestion, Probe, S3Access,
    S3Operation, S3Question, StsQuestion, TlsQuestion, TokenSource,
};
use crate::secret::Secret;

/// One question to one vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// How the vantage sees the network for this question.
    pub view: View,
    /// The time limit until the complete answer, in milliseconds.
    pub deadline_ms: u64,
    /// What the vantage must do, by the kind of probe.
    pub probe: Probe,
}

/// How a vantage sees the network: the certificates that it trusts, its name servers, and its detours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The trusted certificates in PEM format. If the list is empty, no server certificate is accepted.
    #[serde(default)]
    pub trust: Vec<String>,
    /// The only leaf certificate that is accepted, in DER format. No other property of the server is verified. The
    /// harness uses it for its own set-up connections, which must work even if a break makes the server's certificate
    /// invalid. The steps of a scenario never set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// The name servers that the probe asks. If the list is empty, it asks those of `/etc/resolv.conf` at the vantage,
    /// with the search path and `ndots` of that file.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// The detours: a connection to an address `from` is made to `to` instead. URL, `Host` and SNI do not change. With
    /// detours, a vantage outside the cluster reaches a port that the engine published on loopback.
    #[serde(default)]
    pub detours: Vec<Detour>,
    /// How an application's own programs find the address of a name. `None` if the probe asks DNS for the absolute name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_resolver: Option<OwnResolver>,
    /// The client certificate that the probe presents if the server asks for one; `None` for no certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// How the programs of an application find the address of a name, by the settings of their container. The search list and
/// `ndots` are read at the vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnResolver {
    /// The addresses of names that no question to DNS is asked for (`/etc/hosts`), by the name in lower case.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Whether DNS is asked for all other names.
    pub asks_dns: bool,
}

/// A client certificate with its private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The client certificate and its intermediates, in PEM format.
    pub chain: String,
    /// The private key in PEM format.
    pub key: Secret,
}

/// A detour: a TCP connection that is made to another address than the resolved one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detour {
    /// The address to which the name resolved.
    pub from: SocketAddr,
    /// The address to which the connection is made.
    pub to: SocketAddr,
}
