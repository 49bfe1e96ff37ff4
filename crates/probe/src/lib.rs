//! The probes. The same code runs outside the cluster (in the harness) and in a pod (in the agent), so that two answers
//! differ only if the vantages differ.
//!
//! **Architecture Invariant:** a question contains everything that the probe needs. Trust, name servers, region,
//! endpoint and credentials come only from the question. They do not come from `AWS_*`, `SSL_CERT_*` or proxy
//! variables, from the system's trust store, or from `/etc/hosts`. A program that a probe runs inherits only `PATH`.
//! Each question uses a new connection, and evidence is recorded even if the probe fails.

mod accept;
mod apart;
mod certificate;
mod client;
mod clock;
mod connector;
pub mod contents;
mod dial;
mod enclosed;
mod http;
mod jwt;
mod minio;
mod names;
mod presign;
mod prober;
mod program;
mod s3;
mod s3_error;
pub mod store;
mod sts;
mod target;
mod tls;
mod token;
mod trail;
mod trust;
mod xml;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use crate::accept::accept;
pub use crate::apart::can_run_apart;
pub use crate::clock::unix_ms;
pub use crate::enclosed::enclosed;
pub use crate::prober::{Prober, allow_open_files};
use parallax_vocab::{Answer, Cause, Probe, Question, Reply, View};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::apart::Programs;
use crate::dial::Dialler;
use crate::trail::Trail;

/// Answers one question. Every result is an answer: a reply, or the cause of the failure.
///
/// The caller need not install a default provider for `rustls`, because the probe uses aws-lc-rs explicitly.
pub async fn ask(question: &Question) -> Answer {
    ask_with(question, Programs::Here).await
}

/// Does the same as [`ask`], but a program that the question runs is isolated from the other processes of this machine.
/// The caller must first check with [`can_run_apart`] whether this machine can isolate programs.
pub async fn ask_apart(question: &Question) -> Answer {
    ask_with(question, Programs::Apart).await
}

async fn ask_with(question: &Question, programs: Programs) -> Answer {
    let limit = Duration::from_millis(question.deadline_ms);
    let started = Instant::now();
    let trail = Trail::begin();
    let dialler = Dialler::new(question.view.clone(), trail.clone(), started + limit);
    let result = tokio::time::timeout(limit, Box::pin(answer(&question.probe, dialler, programs))).await;
    let outcome = result.unwrap_or_else(|_| {
        Err(Cause::Deadline { waited_ms: question.deadline_ms, detail: format!("still {}", trail.stage()) })
    });
    Answer { outcome, evidence: trail.end(started) }
}

/// Resolves `name`, as an absolute name, with the name servers of the machine or container in which this process
/// runs. The time limit is `limit`.
///
/// A literal address resolves to itself. The agent uses this function instead of the C library's resolver, because
/// the agent is a static binary.
pub async fn resolve(name: &str, limit: Duration) -> Result<Vec<IpAddr>, Cause> {
    if let Some(address) = target::literal(name) {
        return Ok(vec![address]);
    }
    let found = names::absolute(&View::default(), name, limit).await?;
    Ok(found.addresses)
}

/// Opens a plain TCP connection to `host:port`, with the name servers and detours in `view`, within `limit`. The HTTP
/// proxy of the harness calls this function. The proxy serves programs that cannot use the name servers and detours
/// of a scenario themselves.
pub async fn connect(
    view: &View,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Unpin, Cause> {
    Dialler::new(view.clone(), Trail::begin(), Instant::now() + limit).tcp(host, port).await
}

async fn answer(probe: &Probe, dialler: Dialler, programs: Programs) -> Result<Reply, Cause> {
    match probe {
        Probe::Dns(question) => names::answer(question, &dialler).await.map(Reply::Dns),
        Probe::Tls(question) => tls::answer(question, &dialler).await.map(Reply::Tls),
        Probe::Http(question) => http::answer(question, &dialler).await.map(Reply::Http),
        Probe::S3(question) => s3::answer(question, dialler).await.map(Reply::S3),
        Probe::Presign(question) => presign::answer(question).await.map(Reply::Presign),
        Probe::Sts(question) => sts::answer(question, &dialler).await.map(Reply::Sts),
        Probe::Jwt(question) => jwt::answer(question, &dialler).await.map(Reply::Jwt),
        Probe::Run(question) => program::answer(question, &dialler, programs).await.map(Reply::Run),
        Probe::Client(question) => client::answer(question, &dialler, programs).await,
    }
}

/// Makes the cause for an invalid question. For example, the URL in the question cannot be parsed.
fn invalid(detail: impl Into<String>) -> Cause {
    Cause::Client { detail: detail.into() }
}
