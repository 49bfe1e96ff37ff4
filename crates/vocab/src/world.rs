//! The external network of a cluster ("world" in scenario files and records): its DNS names, its edge rules, and its
//! log.
//!
//! The external network is one container on the engine's network, with a name server and a proxy (the edge). The name
//! server answers for the run's names and denies all others. The edge passes TLS connections through to the backend
//! that the server name selects, and plain HTTP connections to the backend that `Host` selects. The container reads its
//! configuration from [`CONFIG_ENV`] and writes one JSON document ([`Entry`]) per line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The environment variable that holds a [`WorldConfig`] as JSON.
pub const CONFIG_ENV: &str = "PARALLAX_WORLD";

/// The whole configuration. There is never an upstream name server: a verdict must not depend on the network that a
/// laptop is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// The target of each host name (lower case, no trailing dot). All other names do not exist.
    pub names: BTreeMap<String, NameTarget>,
    /// The routes of the edge.
    #[serde(default)]
    pub edge: Vec<EdgeRule>,
    /// The container (name or address) in which the cluster runs. Questions from it get NXDOMAIN for names of the edge.
    /// Pods must reach the store by the cluster's own DNS rule, and a way through the edge would hide that the rule is
    /// missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The edge's address, as clients reach it. If it is absent, the address of the container's first interface that is
    /// not loopback is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The address to listen on. If it is absent, the servers listen on all interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<IpAddr>,
    /// Port of the name server.
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
    /// The name resolves to these addresses, but questions from the cluster get NXDOMAIN. So pods can resolve the name
    /// only by the cluster's own DNS rule.
    Outside(Vec<IpAddr>),
}

/// One route of the edge: TLS for `host` that arrives at `port` is passed through to `backend` without decryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgeRule {
    /// The host that selects this rule: the server name (SNI) of a TLS connection, or the `Host` of plain HTTP.
    pub host: String,
    /// Port that the edge listens on.
    pub port: u16,
    /// The backend as `name-or-address:port`. The container's own resolver resolves the name for each connection.
    pub backend: String,
}

/// One line of the log. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// The name server and the edge accept connections from now on.
    Listening {
        /// The time of the event.
        at: u64,
        /// Address of the name server.
        dns: SocketAddr,
        /// Ports of the edge, in the order of the rules, without duplicates.
        edge: Vec<u16>,
        /// The address to which edge names resolve.
        address: IpAddr,
    },
    /// The name server answered a question.
    Dns {
        /// The time of the event.
        at: u64,
        /// The address of the client.
        from: SocketAddr,
        /// Name, lower case, no trailing dot.
        name: String,
        /// The type of the question: `A`, `AAAA` or another.
        #[serde(rename = "type")]
        kind_asked: String,
        /// Addresses joined by a space, `no-address` or `no-such-name`.
        answer: String,
    },
    /// A connection at the edge ended.
    Edge {
        /// The time at which the connection was accepted.
        at: u64,
        /// The address of the client.
        from: SocketAddr,
        /// Port on which it arrived.
        port: u16,
        /// The server name that the client requested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sni: Option<String>,
        /// The backend to which the connection was passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backend: Option<String>,
        /// Bytes from client to backend.
        bytes_in: u64,
        /// Bytes from backend to client.
        bytes_out: u64,
        /// The reason of a failure; `None` if there was none.
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
