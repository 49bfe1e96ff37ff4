//! Questions to a vantage, a place from which questions are asked. For each setting, such as the trusted certificates
//! or the name servers, a question contains the value, or says that the vantage's own value is used. The process that
//! answers takes no other setting from its environment.

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
    /// The only leaf certificate that the probe accepts, in DER format. With a pin, the probe does not verify the name,
    /// the validity and the issuer of the certificate. The harness pins its own set-up connections, which must work
    /// even if a break makes the server's certificate invalid. The steps of a scenario never set a pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<u8>>,
    /// The name servers that the probe asks. If the list is empty, the probe asks the name servers of
    /// `/etc/resolv.conf` at the vantage, with the search path and `ndots` of that file.
    #[serde(default)]
    pub name_servers: Vec<SocketAddr>,
    /// The detours: instead of an address `from`, the probe connects to the address `to`. URL, `Host` and SNI do not
    /// change. A vantage outside the cluster needs a detour: the engine publishes the edge at a port on loopback, and
    /// the vantage can reach the edge only there.
    #[serde(default)]
    pub detours: Vec<Detour>,
    /// How an application's own programs find the address of a name; the probe then finds addresses in the same way. If
    /// this is `None`, the probe asks DNS for the absolute name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_resolver: Option<OwnResolver>,
    /// The client certificate that the probe presents if the server asks for one; `None` for no certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// How the programs of an application find the address of a name, by the settings of their container. The probe itself
/// reads the search list and `ndots` from `/etc/resolv.conf` of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnResolver {
    /// The addresses that `/etc/hosts` has for each name (in lower case). DNS is not asked for these names.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Whether the programs ask DNS for the names that are not in `hosts`.
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

/// A detour: a name resolved to one address, and the probe makes its TCP connection to another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detour {
    /// The address to which the server's host name resolved. The probe does not connect to it.
    pub from: SocketAddr,
    /// The address to which the probe connects instead.
    pub to: SocketAddr,
}
