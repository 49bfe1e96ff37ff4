//! A client of HAProxy's runtime API. Each command uses its own TCP connection.
//!
//! The names in this file (of the certificate, the `crt-list` and the frontends) must be the names in HAProxy's
//! configuration, which is in `fixtures/load-balancer/fixture.yaml`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wanted::Port;

/// The name of the certificate in HAProxy's memory. HAProxy holds no other certificate.
const CERTIFICATE: &str = "served.pem";
/// HAProxy's `crt-list`: the list of the certificates that HAProxy serves at all ports that terminate TLS.
const LIST: &str = "/etc/haproxy/served.list";
/// The time limit for one command to HAProxy.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// The largest size of an answer of HAProxy, in bytes. Real answers are a few lines.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024;

/// A running HAProxy process. The agent controls it through HAProxy's runtime API.
pub(super) struct Haproxy {
    api: SocketAddr,
}

impl Haproxy {
    pub(super) fn at(address: IpAddr, port: u16) -> Self {
        Self { api: SocketAddr::new(address, port) }
    }

    /// Makes HAProxy stop listening on a port. New connections are refused, but existing ones stay.
    pub(super) async fn close(&self, port: u16) -> Result<()> {
        self.order(&format!("disable frontend port-{port}"), Expected::NothingOr("already disabled")).await
    }

    /// Makes HAProxy listen on a port.
    pub(super) async fn open(&self, port: u16) -> Result<()> {
        self.order(&format!("enable frontend port-{port}"), Expected::NothingOr("already enabled")).await
    }

    /// Makes HAProxy serve this certificate and key from now on. The change is one transaction: each TLS handshake gets
    /// either the old or the new certificate. `is_first` says that HAProxy serves no certificate yet.
    pub(super) async fn certificate(&self, pem: &str, is_first: bool) -> Result<()> {
        if is_first {
            // If an earlier attempt ended without an answer, the certificate may exist already. `new ssl cert` would
            // then fail, so the certificate is removed first.
            self.delete_certificate("").await?;
            self.order(&format!("new ssl cert {CERTIFICATE}"), Expected::Text("New empty certificate store")).await?;
        }
        // In HAProxy's API, an empty line ends the PEM text, so empty lines within the text are removed.
        let lines: String = pem.lines().filter(|it| !it.trim().is_empty()).flat_map(|it| [it, "\n"]).collect();
        self.order(&format!("set ssl cert {CERTIFICATE} <<\n{lines}"), Expected::Text("Transaction")).await?;
        self.order(&format!("commit ssl cert {CERTIFICATE}"), Expected::Text("Success!")).await?;
        if is_first {
            self.order(&format!("add ssl crt-list {LIST} {CERTIFICATE}"), Expected::Text("Success!")).await?;
        }
        Ok(())
    }

    /// Removes the certificate, so that HAProxy no longer serves it.
    pub(super) async fn no_certificate(&self) -> Result<()> {
        self.delete_certificate("deleted").await
    }

    /// Removes what an earlier controller may have left in HAProxy. Afterwards HAProxy listens on no port and serves no
    /// certificate.
    pub(super) async fn reset(&self, ports: &[u16]) -> Result<()> {
        for port in ports {
            self.close(*port).await?;
        }
        self.delete_certificate("").await
    }

    /// Removes the certificate from the `crt-list`, and then from HAProxy's memory. HAProxy's answer to each of the
    /// two commands must contain `answer`.
    async fn delete_certificate(&self, answer: &'static str) -> Result<()> {
        self.order(&format!("del ssl crt-list {LIST} {CERTIFICATE}"), Expected::Text(answer)).await?;
        self.order(&format!("del ssl cert {CERTIFICATE}"), Expected::Text(answer)).await
    }

    /// Makes HAProxy send the connections of a port to the Service's node port at the address `node`.
    pub(super) async fn backend(&self, port: &Port, node: IpAddr) -> Result<()> {
        let server = format!("nodes-{}/node", port.number);
        let at = format!("set server {server} addr {node} port {}", port.at_nodes);
        // HAProxy answers with a text about the new address, or with a text that nothing changed. Both answers are
        // accepted.
        self.order(&at, Expected::Text("")).await?;
        self.order(&format!("set server {server} state ready"), Expected::Nothing).await
    }

    /// Makes HAProxy terminate TLS at a port if `ends_tls` is set, and otherwise pass the port's connections through
    /// unchanged.
    pub(super) async fn tls(&self, port: &Port) -> Result<()> {
        let Port { number: port, ends_tls, .. } = port;
        self.order(&format!("clear map virt@tls-{port}"), Expected::Nothing).await?;
        if *ends_tls {
            self.order(&format!("add map virt@tls-{port} {port} 1"), Expected::Nothing).await?;
        }
        Ok(())
    }

    async fn order(&self, command: &str, expected: Expected) -> Result<()> {
        let title = command.lines().next().unwrap_or_default();
        let answer = tokio::time::timeout(COMMAND_LIMIT, self.answer(command)).await;
        let answer = answer
            .with_context(|| format!("HAProxy did not answer `{title}` in {} s", COMMAND_LIMIT.as_secs()))?
            .with_context(|| format!("failed to ask HAProxy `{title}`"))?;
        let answer = answer.trim();
        let holds = match expected {
            Expected::Nothing => answer.is_empty(),
            Expected::NothingOr(text) => answer.is_empty() || answer.contains(text),
            Expected::Text(text) => answer.contains(text),
        };
        ensure!(holds, "HAProxy refused `{title}`: {answer}");
        Ok(())
    }

    async fn answer(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.api).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.take(ANSWER_LIMIT_BYTES).read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// The answer that HAProxy gives to a command that it has executed: an empty answer (`Nothing`), an answer that
/// contains this text (`Text`), or either of them (`NothingOr`). With any other answer the command has failed.
enum Expected {
    Nothing,
    NothingOr(&'static str),
    Text(&'static str),
}
