//! An HTTP proxy on loopback. Programs that use it see the network as an outside vantage sees it.
//!
//! With the proxy, the user's own programs can use a standing environment. The host names of an environment exist only
//! in the name server of the external network (the world), and its ports are reached only through the ports that the
//! engine published. Without the proxy, the user would have to configure each program for this. The proxy needs only
//! one setting, because almost every program understands `HTTPS_PROXY`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::View;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The time limit for reading a client's request, and for opening the connection that the client requests.
const WITHIN: Duration = Duration::from_secs(15);
/// The largest size of the head of a request, in bytes.
const HEAD_LIMIT: usize = 8 * 1024;
const NOT_ALLOWED: &[u8] = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A running proxy. It ends when this value is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    _running: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy on a free port of loopback. `view` says how the proxy resolves names and which addresses it
    /// connects to.
    pub async fn start(view: View) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut running = JoinSet::new();
        running.spawn(serve(listener, Arc::new(view)));
        Ok(Self { address, _running: running })
    }

    /// The address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, view: Arc<View>) {
    let mut connections = JoinSet::new();
    let failed = |error: &io::Error| tracing::warn!(%error, "the proxy cannot accept a connection");
    loop {
        tokio::select! {
            (client, _) = parallax_probe::accept(&listener, failed) => {
                drop(connections.spawn(pass(client, Arc::clone(&view))));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(mut client: TcpStream, view: Arc<View>) {
    if let Err(error) = tunnel(&mut client, &view).await {
        tracing::debug!(%error, "a connection through the proxy ended");
    }
}

async fn tunnel(client: &mut TcpStream, view: &View) -> io::Result<()> {
    let head = tokio::time::timeout(WITHIN, head(client)).await??;
    let Some((host, port)) = target(&head) else { return client.write_all(NOT_ALLOWED).await };
    match parallax_probe::connect(view, host, port, WITHIN).await {
        Ok(mut server) => {
            client.write_all(ESTABLISHED).await?;
            copy_bidirectional(client, &mut server).await.map(drop)
        }
        Err(cause) => {
            let body = format!("{cause}\n");
            let head = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n", body.len());
            client.write_all((head + &body).as_bytes()).await
        }
    }
}

/// Reads a request up to the empty line that ends the request's head.
async fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_LIMIT {
            return Err(io::Error::other("the head of the request is too long"));
        }
        head.push(client.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// The host and the port of a `CONNECT` request. `None` for any other request.
fn target(head: &str) -> Option<(&str, u16)> {
    let (host, port) = head.strip_prefix("CONNECT ")?.split(' ').next()?.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tunnel_has_a_target() {
        assert_eq!(target("CONNECT a.example.com:443 HTTP/1.1\r\n\r\n"), Some(("a.example.com", 443)));
        assert_eq!(target("CONNECT [::1]:9000 HTTP/1.1\r\n\r\n"), Some(("::1", 9000)));
        for head in ["GET http://a/ HTTP/1.1\r\n", "CONNECT a HTTP/1.1\r\n", "CONNECT a:x HTTP/1.1\r\n", "", "CONNECT "]
        {
            assert_eq!(target(head), None, "{head:?}");
        }
    }

    #[tokio::test]
    async fn a_tunnel_carries_bytes_and_nothing_else_is_served() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let to = server.local_addr().expect("an address");
        let proxy = Proxy::start(View::default()).await.expect("starts");
        let mut client = TcpStream::connect(proxy.address()).await.expect("connects");
        client.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: x\r\n\r\nhello").as_bytes()).await.expect("asks");
        let (mut met, _) = server.accept().await.expect("comes");
        let mut seen = [0; 5];
        met.read_exact(&mut seen).await.expect("reads");
        assert_eq!(&seen, b"hello");
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.expect("reads");
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut other = TcpStream::connect(proxy.address()).await.expect("connects");
        other.write_all(b"GET http://192.0.2.1/ HTTP/1.1\r\n\r\n").await.expect("asks");
        other.read_exact(&mut answer).await.expect("reads");
        assert_eq!(&answer, b"HTTP/1.1 405");
    }
}
