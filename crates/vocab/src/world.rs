//! The external network of a cluster ("world" in scenario files and records): its DNS names, its edge rules, and its
//! log.
//!
//! The external network is one container on the engine's network, with a name server and a proxy (the edge). The name
//! server answers for the run's names, and answers NXDOMAIN for all others. The edge passes TLS connections through to
//! the backend that the server name selects. It passes plain HTTP connections to the backend that the `Host` header
//! selects. The container reads its configuration from [`CONFIG_ENV`], and writes one JSON document ([`Entry`]) per
//! line to its log.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The environment variable that holds a [`WorldConfig`] as JSON.
pub const CONFIG_ENV: &str = "PARALLAX_WORLD";

/// The configuration of the external network. It has no upstream name server, because no verdict may depend on the
/// network to which a laptop is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// Maps each host name (lower case, no trailing dot) to what it resolves to. Other names get NXDOMAIN. The name
    /// `*.HOST` stands for each name below `HOST`, except for a name that the map itself contains, and except for the
    /// names below such a name.
    pub names: BTreeMap<String, NameTarget>,
    /// The rules by which the edge passes connections on to backends.
    #[serde(default)]
    pub edge: Vec<EdgeRule>,
    /// The name or the address of the container in which the cluster runs. A DNS question from this container gets
    /// NXDOMAIN for a name that resolves to the edge. Pods must reach the store by the cluster's own DNS rule. If pods
    /// could also reach the store through the edge, nobody would notice that the rule is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The address at which clients reach the edge. `None` means the address of the container's first interface that is
    /// not loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The address on which the name server and the edge listen. `None` means that they listen on all interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<IpAddr>,
    /// The port of the name server.
    #[serde(default = "dns_port")]
    pub dns_port: u16,
}

fn dns_port() -> u16 {
    53
}

/// What a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NameTarget {
    /// The name resolves to the address of the edge.
    Edge,
    /// The name resolves to these addresses.
    Addresses(Vec<IpAddr>),
    /// The name resolves to these addresses for clients outside the cluster. Questions from the cluster get NXDOMAIN,
    /// so pods can resolve the name only by the cluster's own DNS rule.
    Outside(Vec<IpAddr>),
}

/// One rule of the edge: a connection for `host` that arrives at `port` is passed to `backend`. TLS is not decrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgeRule {
    /// The host that selects this rule: the server name (SNI) of a TLS connection, or the `Host` header of plain HTTP.
    /// `*.HOST` stands for each name that has one label more than `HOST` and has no rule of its own.
    pub host: String,
    /// The port on which the edge listens.
    pub port: u16,
    /// The backend, as `name-or-address:port`. The edge resolves a name again for each connection, with the DNS
    /// settings of the world's container.
    pub backend: String,
}

/// One line of the log of the external network. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// The name server and the edge have started, and accept connections from now on.
    Listening {
        /// The time at which the servers began to accept connections.
        at: u64,
        /// The address on which the name server listens.
        dns: SocketAddr,
        /// The ports on which the edge listens, in the order of the rules, without duplicates.
        edge: Vec<u16>,
        /// The address of the edge. The name server gives it as the answer for names that lead to the edge.
        address: IpAddr,
    },
    /// The name server answered a question.
    Dns {
        /// The time of the answer.
        at: u64,
        /// The address of the client that asked.
        from: SocketAddr,
        /// The name in the question, in lower case, without a trailing dot.
        name: String,
        /// The record type in the question: `A`, `AAAA` or another.
        #[serde(rename = "type")]
        kind_asked: String,
        /// What the name server answered: the addresses, separated by spaces, or `no-address` or `no-such-name`.
        answer: String,
    },
    /// A connection through the edge has ended.
    Edge {
        /// The time at which the connection was accepted.
        at: u64,
        /// The address of the client that connected.
        from: SocketAddr,
        /// The port of the edge at which the connection arrived.
        port: u16,
        /// The host that the client asked for: the server name (SNI) of TLS, or the `Host` header of plain HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sni: Option<String>,
        /// The backend to which the edge passed the connection; `None` if no rule of the edge fits the connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backend: Option<String>,
        /// The number of bytes from the client to the backend.
        bytes_in: u64,
        /// The number of bytes from the backend to the client.
        bytes_out: u64,
        /// The reason why the connection failed; `None` if it did not fail.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_short_to_write() {
        let text = r#"{"names":{"minio.example.com":"edge","x.example.com":{"addresses":["10.0.0.1"]}},
            "edge":[{"host":"minio.example.com","port":443,"backend":"store:9000"}]}"#;
        let config: WorldConfig = serde_json::from_str(text).expect("valid");
        assert_eq!(config.dns_port, 53);
        assert_eq!(config.names["minio.example.com"], NameTarget::Edge);
        assert!(serde_json::from_str::<WorldConfig>(r#"{"names":{},"upstream":"8.8.8.8"}"#).is_err());
    }
}
