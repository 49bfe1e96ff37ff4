//! Tests the probes against real servers on loopback: the causes that the probes report, and the evidence that they
//! record.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dns;
mod http;
mod names;
mod prober;
mod program;
mod s3;
mod server;
mod tls;

use std::net::SocketAddr;

use parallax_vocab::question::{Detour, HttpQuestion, TlsQuestion};
use parallax_vocab::{Answer, Cause, Probe, Question, Reply, View};

/// The time limit of each question, in milliseconds. It is long enough for a slow machine, and short enough to notice a
/// probe that hangs.
const DEADLINE_MS: u64 = 10_000;

async fn ask(view: View, probe: Probe) -> Answer {
    parallax_probe::ask(&Question { view, deadline_ms: DEADLINE_MS, probe }).await
}

fn tls(host: &str, port: u16) -> Probe {
    Probe::Tls(TlsQuestion { host: host.to_owned(), port, server_name: None })
}

fn get(url: &str) -> HttpQuestion {
    HttpQuestion::new("GET", url)
}

/// The address to which the names in the tests resolve. No process listens at this address. Detours lead the
/// connections to the test servers instead.
const NOWHERE: &str = "192.0.2.80";

/// A view of the network with the name server `names`. A detour leads connections to [`NOWHERE`]`:port` to `server`.
fn view(names: &names::NameServer, trust: &[String], port: u16, server: SocketAddr) -> View {
    View {
        trust: trust.to_vec(),
        pin: None,
        name_servers: vec![names.at],
        detours: vec![Detour { from: SocketAddr::new(NOWHERE.parse().unwrap(), port), to: server }],
        identity: None,
        own_resolver: None,
    }
}

/// The layer and the kind of the answer's cause, in the words that scenarios use, for example `connect refused`.
fn kind(answer: &Answer) -> String {
    match answer.cause() {
        None => "none".to_owned(),
        Some(Cause::Dns { fault, .. }) => format!("dns {fault}"),
        Some(Cause::Connect { fault, .. }) => format!("connect {fault}"),
        Some(Cause::Tls { fault, .. }) => format!("tls {fault}"),
        Some(Cause::Deadline { .. }) => "deadline".to_owned(),
        Some(Cause::Client { .. }) => "client".to_owned(),
        Some(other) => panic!("not a probe's cause: {other}"),
    }
}

fn http_reply(answer: &Answer) -> &parallax_vocab::answer::HttpReply {
    match answer.reply() {
        Some(Reply::Http(reply)) => reply,
        _ => panic!("no HTTP reply: {answer:?}"),
    }
}
