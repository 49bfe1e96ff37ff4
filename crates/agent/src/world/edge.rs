//! The edge: passes TLS connections through to a backend, without decryption. The port and the server name (SNI) select
//! the backend. The edge has no key, so a client sees the store's own certificate. For a connection with plain HTTP,
//! the `Host` header of the first request selects the backend.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::world::{EdgeRule, Entry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::containers::Containers;
use super::host::{self, Head};
use super::log::Log;
use super::sni::{self, Hello};

/// The time limit for receiving the client's TLS hello, or the head of its HTTP request.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// The time limit for resolving a backend's name and connecting to the backend. It is longer than the time limits of
/// clients. So if the machine is slow, the client's own limit ends the attempt, and the client reports a timeout.
const DIAL_LIMIT: Duration = Duration::from_secs(20);
/// The bytes of the fatal TLS alert "unrecognized name" (RFC 8446, 6): record type, version, length, level,
/// description. The edge sends this alert if no rule has the client's server name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The rules of one port. The key is a server name, which may begin with `*.`; the value is a backend (`name:port`).
pub(crate) type Routes = BTreeMap<String, String>;

/// Groups the rules of the edge by the port that they apply to.
pub(crate) fn by_port(rules: &[EdgeRule]) -> BTreeMap<u16, Routes> {
    let mut ports: BTreeMap<u16, Routes> = BTreeMap::new();
    for rule in rules {
        ports.entry(rule.port).or_default().insert(super::zone::plain(&rule.host), rule.backend.clone());
    }
    ports
}

/// Accepts connections on one port of the edge until the process ends.
pub(crate) async fn serve(listener: TcpListener, routes: Routes, containers: Arc<Containers>, log: Log) {
    let routes = Arc::new(routes);
    let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
    loop {
        let (client, from) = parallax_probe::accept(&listener, crate::cannot_accept).await;
        let (routes, containers, log) = (routes.clone(), containers.clone(), log.clone());
        tokio::spawn(async move {
            let mut passed = Passed { at: parallax_probe::unix_ms(), ..Passed::default() };
            let error = pass(client, &routes, &containers, &mut passed).await.err().map(|why| why.to_string());
            log.write(&passed.entry(from, port, error));
        });
    }
}

/// The log entry about one connection through the edge. The edge writes it when the connection ends.
#[derive(Default)]
struct Passed {
    at: u64,
    sni: Option<String>,
    backend: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Passed {
    fn entry(self, from: SocketAddr, port: u16, error: Option<String>) -> Entry {
        let Self { at, sni, backend, bytes_in, bytes_out } = self;
        Entry::Edge { at, from, port, sni, backend, bytes_in, bytes_out, error }
    }
}

async fn pass(mut client: TcpStream, routes: &Routes, containers: &Containers, passed: &mut Passed) -> io::Result<()> {
    let (name, hello) = match tokio::time::timeout(HELLO_LIMIT, hello(&mut client)).await {
        Ok(said) => said?,
        Err(_) => return Err(io::Error::other(format!("no hello in {} s", HELLO_LIMIT.as_secs()))),
    };
    passed.bytes_in = hello.len() as u64;
    passed.sni.clone_from(&name);
    let Some(backend) = name.as_ref().and_then(|name| applies(routes, name)).map(|(_, backend)| backend) else {
        if !host::is_http(&hello) {
            client.write_all(&UNRECOGNIZED_NAME).await?;
        }
        client.shutdown().await?;
        return Err(io::Error::other("no rule for this server name"));
    };
    passed.backend = Some(backend.clone());
    let mut upstream = match tokio::time::timeout(DIAL_LIMIT, dial(backend, containers)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::Error::other(format!("{backend} did not accept in {} s", DIAL_LIMIT.as_secs()))),
    };
    upstream.write_all(&hello).await?;
    let (bytes_in, bytes_out) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    passed.bytes_in += bytes_in;
    passed.bytes_out = bytes_out;
    Ok(())
}

/// Returns the rule that applies to a server name: the rule of the name itself, or else the rule of the wildcard one
/// label above. As in certificates, a wildcard stands for exactly one label.
fn applies<'a, T>(table: &'a BTreeMap<String, T>, name: &str) -> Option<(&'a String, &'a T)> {
    let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
    table.get_key_value(name).or_else(|| table.get_key_value(&wildcard()?))
}

/// Reads the TLS `ClientHello` or the head of an HTTP request. Returns the server name or the host, together with all
/// bytes that were read, because the backend needs these bytes too.
async fn hello(client: &mut TcpStream) -> io::Result<(Option<String>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other(format!("closed after {} bytes, before the hello was complete", bytes.len())));
        }
        if host::is_http(&bytes) {
            match host::read(&bytes) {
                Head::Asks(name) => return Ok((name, bytes)),
                Head::Incomplete if bytes.len() > sni::HELLO_LIMIT_BYTES => {
                    return Err(io::Error::other(format!("head longer than {} bytes", sni::HELLO_LIMIT_BYTES)));
                }
                Head::Incomplete => continue,
            }
        }
        match sni::read(&bytes) {
            Hello::Asks(name) => return Ok((name, bytes)),
            Hello::NotTls(why) => return Err(io::Error::other(format!("not TLS: {why}"))),
            Hello::Incomplete if bytes.len() > sni::HELLO_LIMIT_BYTES => {
                return Err(io::Error::other(format!("hello longer than {} bytes", sni::HELLO_LIMIT_BYTES)));
            }
            Hello::Incomplete => {}
        }
    }
}

/// Connects to a backend, given as `name:port` or `address:port`. The name is resolved again for each connection,
/// because a container's address may change. The agent's own DNS code resolves the name, because a static binary
/// cannot depend on the resolver of the C library.
async fn dial(backend: &str, containers: &Containers) -> io::Result<TcpStream> {
    let bad = || io::Error::other(format!("backend {backend} is not name:port"));
    let (host, port) = backend.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let addresses = containers.addresses(host, Duration::ZERO, DIAL_LIMIT / 2).await;
    let addresses = addresses.map_err(|cause| io::Error::other(format!("backend {backend}: {cause}")))?;
    let mut last = bad();
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = io::Error::new(why.kind(), format!("backend {backend} at {address}: {why}")),
        }
    }
    Err(last)
}
