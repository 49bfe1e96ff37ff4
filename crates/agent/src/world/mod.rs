//! The external network of a cluster: a name server and a TLS proxy (the edge), in one container.
//!
//! **Architecture Invariant:** the name server forwards no question. Only the names in its configuration exist,
//! whatever network the machine is connected to.

mod containers;
mod edge;
mod host;
mod log;
mod names;
mod sni;
mod zone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hickory_server::Server;
use parallax_vocab::world::{CONFIG_ENV, Entry, WorldConfig};
use tokio::net::{TcpListener, UdpSocket};

use crate::{addresses, hold};
use containers::Containers;
use log::Log;
use names::Names;
use zone::Zone;

/// The time after which an idle DNS connection over TCP is closed.
const DNS_IDLE: Duration = Duration::from_secs(10);
/// The largest number of answers that are queued for a slow TCP client.
const DNS_ANSWERS_QUEUED: usize = 32;

/// Runs the name server and the edge until SIGTERM. The environment variable `PARALLAX_WORLD` contains their
/// configuration.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let text = std::env::var(CONFIG_ENV).with_context(|| format!("{CONFIG_ENV} is not set"))?;
    let config: WorldConfig = serde_json::from_str(&text).with_context(|| format!("{CONFIG_ENV} is not valid"))?;
    let _running = start(&config, Log::stdout()).await?;
    hold::until_signal().await
}

/// The running servers. The name server stops when this value is dropped.
struct Running {
    _names: Server<Names>,
    /// The addresses at which the servers listen: first the address of the name server, then one address for each
    /// port of the edge, in the order of the ports.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests let the kernel choose the ports"))]
    at: (SocketAddr, Vec<SocketAddr>),
}

async fn start(config: &WorldConfig, log: Log) -> anyhow::Result<Running> {
    let own = config.address.or_else(|| addresses::own().first().copied());
    let address = own.context("this container has no address; give one in the configuration")?;
    let listen = config.listen.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    let containers = Arc::new(Containers::default());
    let mut server = Server::new(Names {
        zone: Zone::new(config, address),
        cluster: config.cluster.clone(),
        containers: containers.clone(),
        log: log.clone(),
    });
    let at = SocketAddr::new(listen, config.dns_port);
    let udp = UdpSocket::bind(at).await.with_context(|| format!("failed to listen for DNS at {at}/udp"))?;
    let at = udp.local_addr().context("the DNS socket has no address")?;
    let tcp = TcpListener::bind(at).await.with_context(|| format!("failed to listen for DNS at {at}/tcp"))?;
    server.register_socket(udp);
    server.register_listener(tcp, DNS_IDLE, DNS_ANSWERS_QUEUED);

    let mut edges = Vec::new();
    for (port, routes) in edge::by_port(&config.edge) {
        let at = SocketAddr::new(listen, port);
        let listener = TcpListener::bind(at).await.with_context(|| format!("failed to listen for TLS at {at}"))?;
        edges.push(listener.local_addr().context("the edge's socket has no address")?);
        tokio::spawn(edge::serve(listener, routes, containers.clone(), log.clone()));
    }
    let ports = edges.iter().map(SocketAddr::port).collect();
    log.write(&Entry::Listening { at: parallax_probe::unix_ms(), dns: at, edge: ports, address });
    Ok(Running { _names: server, at: (at, edges) })
}

#[cfg(test)]
mod tests;
