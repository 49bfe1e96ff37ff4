//! The external network of a cluster (the *world*): a name server and an edge in one container of the harness.
//!
//! The container is the upstream of the cluster's CoreDNS and the resolver of outside clients. Its name server knows
//! the names of the run, answers NXDOMAIN for all other names, and logs every question. Therefore verdicts do not
//! depend on the machine's network, and the log shows if a client uses a wrong name.

mod log;
mod neighbour;
pub mod outside;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parallax_vocab::question::Detour;
use parallax_vocab::world::{CONFIG_ENV, EdgeRule, NameTarget, WorldConfig};

pub use self::log::questions;
pub use self::neighbour::{Neighbour, Provisioned};
use parallax_engine::{Container, ContainerSpec, EngineError, Port, Ready, Site};
use parallax_plan::{ClusterPlan, EdgePlan};

/// The port of the world's name server.
const DNS_PORT: u16 = 53;
/// The port of the apiserver. The node and the edge use the same port.
const API_PORT: u16 = 6443;
/// A part of the log line by which the world reports that it is ready (`crates/vocab/src/world.rs`,
/// `Entry::Listening`).
const READY_LINE: &str = "\"kind\":\"listening\"";

/// A running world: the container of a cluster's external network.
#[derive(Clone, Debug)]
pub struct World {
    container: Container,
    ports: Vec<u16>,
    neighbours: Vec<Neighbour>,
}

impl World {
    /// Starts the world of a cluster. Its edge forwards connections to `node`, which is the name of a container on the
    /// same network. The node need not exist yet.
    pub async fn start(
        site: &Site,
        cluster: &ClusterPlan,
        image: &str,
        network: &str,
        node: &str,
        neighbours: Vec<Neighbour>,
    ) -> Result<Self, EngineError> {
        let config = config(cluster, node, &neighbours);
        let json = as_json(&config);
        let mut ports: Vec<u16> = config.edge.iter().map(|rule| rule.port).collect();
        ports.sort_unstable();
        ports.dedup();
        let mut spec = ContainerSpec::new(Self::of(cluster), image, network);
        spec.command = vec!["world".to_owned()];
        // Containers outside the cluster resolve this host name to the edge, which forwards their connections to the
        // apiserver.
        spec.hostname.clone_from(&cluster.traits.published);
        spec.env = BTreeMap::from([(CONFIG_ENV.to_owned(), json)]);
        spec.ports = ports.iter().map(|port| Port::tcp(*port)).collect();
        spec.ports.extend([Port::udp(DNS_PORT), Port::tcp(DNS_PORT)]);
        spec.ready = Ready::LogLine(READY_LINE.to_owned());
        spec.ready_within = Duration::from_secs(30);
        Ok(Self { container: site.start(spec).await?, ports, neighbours })
    }

    /// Returns the name of the world's container. In the engine, the id of the run is put before this name.
    pub fn of(cluster: &ClusterPlan) -> String {
        format!("{}-world", cluster.name)
    }

    /// The name of the world's container in the engine.
    pub fn container(&self) -> &str {
        &self.container.name
    }

    /// The address of the world's container on the engine's network. The cluster's CoreDNS forwards questions to the
    /// name server at this address. The host names of the edge also resolve to this address.
    pub fn address(&self) -> IpAddr {
        self.container.address
    }

    /// Returns the address at which the harness reaches the world's name server: a published port on this machine.
    pub fn name_server(&self) -> SocketAddr {
        self.published(Port::udp(DNS_PORT))
    }

    /// Returns the address at which containers of the cluster's network reach the world's name server.
    pub fn name_server_within(&self) -> SocketAddr {
        SocketAddr::new(self.address(), DNS_PORT)
    }

    /// The neighbours: the containers that fixtures run outside the cluster.
    pub fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }

    /// Returns the redirections through which the harness reaches the edge and the fixtures' containers outside the
    /// cluster. If the harness connects to the address of such a container, the connection goes to a published port on
    /// loopback instead.
    pub fn detours(&self) -> Vec<Detour> {
        let detour =
            |port: &u16| Detour { from: SocketAddr::new(self.address(), *port), to: self.published(Port::tcp(*port)) };
        let neighbours = self.neighbours.iter().flat_map(Neighbour::detours);
        self.ports.iter().map(detour).chain(neighbours).collect()
    }

    fn published(&self, port: Port) -> SocketAddr {
        let at = self.container.ports.get(&(port.container, port.protocol));
        *at.expect("the port was asked for when the container was started")
    }
}

fn as_json(config: &WorldConfig) -> String {
    serde_json::to_string(config).expect("a configuration of strings and numbers is JSON")
}

/// Returns the configuration of a cluster's world: the host names with their addresses, and the rules of the edge.
fn config(cluster: &ClusterPlan, node: &str, neighbours: &[Neighbour]) -> WorldConfig {
    let mut names: BTreeMap<String, NameTarget> =
        cluster.edges().flat_map(EdgePlan::names).map(|name| (name, NameTarget::Edge)).collect();
    for it in neighbours.iter().filter(|it| !it.late) {
        match names.entry(it.host.to_lowercase()).or_insert_with(|| NameTarget::Outside(Vec::new())) {
            NameTarget::Outside(addresses) => addresses.push(it.container.address),
            NameTarget::Edge | NameTarget::Addresses(_) => {}
        }
    }
    let edge = cluster.edges().flat_map(|edge| {
        let backend = format!("{node}:{}", edge.node_port);
        edge.names().map(move |host| EdgeRule { host, port: edge.port, backend: backend.clone() })
    });
    let published = cluster.traits.published.as_ref().map(|name| EdgeRule {
        host: name.to_lowercase(),
        port: API_PORT,
        backend: format!("{node}:{API_PORT}"),
    });
    names.extend(published.iter().map(|rule| (rule.host.clone(), NameTarget::Edge)));
    WorldConfig {
        names,
        edge: edge.chain(published).collect(),
        cluster: Some(node.to_owned()),
        dns_port: DNS_PORT,
        ..WorldConfig::default()
    }
}
