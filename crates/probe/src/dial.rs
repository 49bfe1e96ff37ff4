//! The dialler: opens a new connection to a host for each question. If this fails, the cause names the first layer
//! that failed: DNS, TCP or TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parallax_vocab::{Cause, Certificate, ConnectFault, TlsFault, View};
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::target::literal;
use crate::trail::{Trail, micros};
use crate::{certificate, invalid, names, trust};

/// The time limit for a connection attempt to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections for one question. It uses the name servers, detours and trusted certificates of the question, and
/// records evidence in the trail.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    pub(crate) view: Arc<View>,
    pub(crate) trail: Trail,
    deadline: Instant,
}

impl Dialler {
    pub(crate) fn new(view: View, trail: Trail, deadline: Instant) -> Self {
        Self { view: Arc::new(view), trail, deadline }
    }

    /// The time that one layer may use: a part of the question's remaining time. If the layer uses up this part, the
    /// cause names the layer. If the layer could use all of the remaining time, the cause would only be the
    /// question's deadline.
    pub(crate) fn share(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()) * 3 / 4
    }

    /// Resolves `host` and connects to the first of its addresses that accepts the connection.
    pub(crate) async fn tcp(&self, host: &str, port: u16) -> Result<Watched, Cause> {
        let addresses = self.addresses(host).await?;
        self.trail.enter(format!("connecting to {host}:{port}"));
        let began = Instant::now();
        let limit = self.share().min(CONNECT_LIMIT) / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = None;
        for address in addresses {
            match self.one(SocketAddr::new(address, port), limit).await {
                Ok(stream) => {
                    self.trail.note(|evidence| evidence.connect_us = Some(micros(began.elapsed())));
                    return Ok(stream);
                }
                Err(cause) => last = Some(cause),
            }
        }
        Err(last.unwrap_or_else(|| invalid(format!("{host} has no address"))))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Cause> {
        let addresses = if let Some(address) = literal(host) {
            vec![address]
        } else {
            self.trail.enter(format!("resolving {host}"));
            let began = Instant::now();
            let found = names::found(&self.view, host, self.share()).await;
            self.trail.note(|evidence| evidence.dns_us = Some(micros(began.elapsed())));
            found?.addresses
        };
        self.trail.note(|evidence| evidence.addresses.clone_from(&addresses));
        Ok(addresses)
    }

    async fn one(&self, meant: SocketAddr, limit: Duration) -> Result<Watched, Cause> {
        let detour = self.view.detours.iter().find(|detour| detour.from == meant).map(|detour| detour.to);
        let dialled = detour.unwrap_or(meant);
        self.trail.note(|evidence| {
            evidence.peer = Some(meant);
            evidence.dialled = detour;
        });
        let shown = if dialled == meant { meant.to_string() } else { format!("{meant} by way of {dialled}") };
        let stream = match tokio::time::timeout(limit, TcpStream::connect(dialled)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => return Err(refused(&why, &shown)),
            Err(_) => {
                let detail = format!("{shown}: no answer in {} ms", limit.as_millis());
                return Err(Cause::Connect { fault: ConnectFault::Timeout, detail });
            }
        };
        // A request is sent at once instead of being collected with later data (Nagle's algorithm), because a delay
        // would distort the measured times.
        let _ = stream.set_nodelay(true);
        self.trail.note(|evidence| evidence.local = stream.local_addr().ok());
        Ok(Watched { stream, heard: Arc::default() })
    }

    /// Connects to `host:port` and does the TLS handshake. `server_name` is sent as the SNI, and the server's
    /// certificate must be valid for `server_name`.
    pub(crate) async fn tls(
        &self,
        host: &str,
        port: u16,
        server_name: &str,
        alpn: &[&str],
    ) -> Result<impl Io + use<>, Cause> {
        let name = match literal(server_name) {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(server_name.trim_end_matches('.').to_owned())
                .map_err(|_| invalid(format!("`{server_name}` is not a server name")))?,
        };
        let (config, shown) = trust::client(&self.view, alpn)?;
        let stream = self.tcp(host, port).await?;
        let heard = stream.heard.clone();
        self.trail.enter(format!("doing the TLS handshake with {host}:{port}"));
        let began = Instant::now();
        let done = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let chain = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let chain: Vec<_> = chain.iter().map(|der| certificate::describe(der)).collect();
        self.trail.note(|evidence| {
            evidence.tls_us = Some(micros(began.elapsed()));
            evidence.chain.clone_from(&chain);
        });
        let stream = done.map_err(|why| {
            let heard = heard.load(Ordering::Relaxed);
            with_issuer(handshake_cause(&why, &format!("{host}:{port}"), !chain.is_empty(), heard), &chain)
        })?;
        self.trail.note(|evidence| {
            let version = stream.get_ref().1.protocol_version();
            evidence.tls_version = version.and_then(|v| v.as_str()).map(|v| v.replace('_', "."));
        });
        Ok(stream)
    }
}

/// The errors with which the kernel reports that the probe's own machine has no resources for another connection. No
/// packet was sent, so these errors say nothing about the peer. They must not become a `connect` cause.
const NO_ROOM: [Errno; 6] =
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN, Errno::ADDRNOTAVAIL];

/// Converts an error of the kernel's connect call into a cause.
fn refused(why: &io::Error, address: &str) -> Cause {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    if Errno::from_io_error(why).is_some_and(|it| NO_ROOM.contains(&it)) {
        return Cause::Client { detail: format!("no connection to {address} can be opened on this side: {why}") };
    }
    let fault = match why.kind() {
        ConnectionRefused => ConnectFault::Refused,
        ConnectionReset => ConnectFault::Reset,
        TimedOut => ConnectFault::Timeout,
        // Every other error means that no packet could be sent: the host or network is unreachable, permission is
        // missing, or the probe's own machine has no address of the peer's address family.
        _ => ConnectFault::Unreachable,
    };
    Cause::Connect { fault, detail: format!("{address}: {why}") }
}

/// Converts the error of a failed TLS handshake into a cause. `heard` says whether the peer sent at least one byte. If
/// the peer closed the connection before it sent anything, the cause is a connection failure and not a TLS failure.
fn handshake_cause(why: &io::Error, peer: &str, chain_seen: bool, heard: bool) -> Cause {
    if let Some(cause) = tls_cause(why, peer, chain_seen) {
        return cause;
    }
    let detail = format!("{peer}: {why}");
    if heard {
        Cause::Tls { fault: TlsFault::Handshake, detail }
    } else {
        Cause::Connect { fault: ConnectFault::Reset, detail }
    }
}

/// Adds the name of the issuer to the message if the issuer of the chain is not trusted. A user looks for this name
/// first.
fn with_issuer(cause: Cause, chain: &[Certificate]) -> Cause {
    match (cause, chain.last()) {
        (Cause::Tls { fault: TlsFault::UnknownAuthority, detail }, Some(last)) => {
            let detail = format!("{detail}; the chain of {} ends at issuer {}", chain.len(), last.issuer);
            Cause::Tls { fault: TlsFault::UnknownAuthority, detail }
        }
        (cause, _) => cause,
    }
}

/// Returns the TLS cause of an I/O error; `None` if the I/O error contains no TLS error. A TLS error may come after
/// the handshake: in TLS 1.3, a server that requires a client certificate rejects the client only after the client
/// has finished its handshake.
pub(crate) fn tls_cause(why: &io::Error, peer: &str, chain_seen: bool) -> Option<Cause> {
    let error = why.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(Cause::Tls { fault: trust::sort(error, chain_seen), detail: format!("{peer}: {error}") })
}

/// A TCP stream that records whether it has received at least one byte.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_room_is_not_taken_for_a_fault_of_the_peer() {
        let cause = |errno: Errno| refused(&errno.into(), "10.0.0.1:443");
        for errno in NO_ROOM {
            assert!(matches!(cause(errno), Cause::Client { .. }), "{errno:?}: {:?}", cause(errno));
        }
        for (errno, expected) in [
            (Errno::CONNREFUSED, ConnectFault::Refused),
            (Errno::CONNRESET, ConnectFault::Reset),
            (Errno::TIMEDOUT, ConnectFault::Timeout),
            (Errno::HOSTUNREACH, ConnectFault::Unreachable),
            (Errno::NETUNREACH, ConnectFault::Unreachable),
        ] {
            assert!(matches!(cause(errno), Cause::Connect { fault, .. } if fault == expected), "{errno:?}");
        }
    }
}
