//! What the run's own outside world is told, and what it says: names, edge rules, and its log.
//!
//! The world is one container on the engine's network. It answers for the run's names, denies the rest, and passes TLS
//! through to the backend that the server name chooses. It reads its configuration from [`CONFIG_ENV`] and writes one
//! JSON document ([`Entry`]) a line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The environment variable that holds a [`WorldConfig`] as JSON.
pub const CONFIG_ENV: &str = "PARALLAX_WORLD";

/// All that the world knows. There is no upstream, ever: a verdict must not depend on the network a laptop sits in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// Host name (lower case, no trailing dot) to what it resolves to. Every other name does not exist.
    pub names: BTreeMap<String, NameTarget>,
    /// Where TLS connections go.
    #[serde(default)]
    pub edge: Vec<EdgeRule>,
    /// The container (name or address) in which the cluster runs: for questions that come from it, names of the edge do
    /// not exist. Pods must reach the store by the cluster's own rule; a way round by the edge would hide that the rule
    /// is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The edge's own address, as clients reach it. Absent: the address of the container's first interface that is not
    /// loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Address to listen at; all interfaces where absent.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameTarget {
    /// The world's own edge.
    Edge,
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// These addresses, and to the cluster's questions no such name: pods know it by the cluster's own rule, or not.
    Outside(Vec<IpAddr>),
}

/// One route of the edge: TLS for `host` that arrives at `port` is passed through, unopened, to `backend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeRule {
    /// Server name (SNI) that chooses this rule.
    pub host: String,
    /// Port that the edge listens on.
    pub port: u16,
    /// `name-or-address:port`, resolved by the container's own resolver at each connection.
    pub backend: String,
}

/// One line of the world's log. Instants are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// Name server and edge accept from now on.
    Listening {
        /// When.
        at: u64,
        /// Address of the name server.
        dns: SocketAddr,
        /// Ports of the edge, in the order of the rules, each once.
        edge: Vec<u16>,
        /// Address that edge names resolve to.
        address: IpAddr,
    },
    /// A question was answered.
    Dns {
        /// When.
        at: u64,
        /// Who asked.
        from: SocketAddr,
        /// Name, lower case, no trailing dot.
        name: String,
        /// `A`, `AAAA`, …
        #[serde(rename = "type")]
        kind_asked: String,
        /// Addresses joined by a space, `no-address` or `no-such-name`.
        answer: String,
    },
    /// A connection at the edge ended.
    Edge {
        /// When it was accepted.
        at: u64,
        /// Who connected.
        from: SocketAddr,
        /// Port it arrived at.
        port: u16,
        /// Server name it asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sni: Option<String>,
        /// Backend it was passed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backend: Option<String>,
        /// Bytes from client to backend.
        bytes_in: u64,
        /// Bytes from backend to client.
        bytes_out: u64,
        /// Why it ended badly.
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
