//! The probes: the same code looks from outside the cluster (in the harness) and from a pod (in the agent), so two
//! answers differ only because the places differ.
//!
//! **Architecture Invariant:** a question is complete. Trust, name servers, region, endpoint and credentials come from
//! it and from nothing else: no `AWS_*`, `SSL_CERT_*` or proxy variable, no system trust store, no `/etc/hosts`. A
//! program that is run inherits `PATH` alone. Each question dials a fresh connection, and what was seen on the way is
//! kept also when it failed.

pub mod admin;
mod certificate;
mod client;
mod clock;
mod connector;
pub mod contents;
mod dial;
mod http;
mod jwt;
mod names;
mod presign;
mod prober;
mod program;
mod s3;
mod s3_error;
mod sts;
mod target;
mod tls;
mod token;
pub mod trace;
mod trail;
mod trust;
mod xml;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use crate::clock::unix_ms;
pub use crate::prober::Prober;
use parallax_vocab::{Answer, Cause, Probe, Question, Reply, View};

use crate::dial::Dialler;
use crate::trail::Trail;

/// Asks one question from here. Whatever happens is an answer: a reply, or the cause that none came.
///
/// The process must have installed `rustls`' default provider only if it wants its own; the probe brings aws-lc-rs.
pub async fn ask(question: &Question) -> Answer {
    let limit = Duration::from_millis(question.deadline_ms);
    let started = Instant::now();
    let trail = Trail::begin();
    let dialler = Dialler::new(question.view.clone(), trail.clone(), started + limit);
    let told = tokio::time::timeout(limit, Box::pin(tell(&question.probe, dialler))).await;
    let outcome = told.unwrap_or_else(|_| {
        Err(Cause::Deadline { waited_ms: question.deadline_ms, detail: format!("still {}", trail.stage()) })
    });
    Answer { outcome, evidence: trail.end(started) }
}

/// Addresses of `name` by the name servers of this place, as absolute name, within `limit`.
///
/// A literal address is its own answer. Used where a static binary must not fall into the C library's resolver.
pub async fn resolve(name: &str, limit: Duration) -> Result<Vec<IpAddr>, Cause> {
    if let Some(address) = target::literal(name) {
        return Ok(vec![address]);
    }
    let found = names::absolute(&View::default(), name, limit).await?;
    Ok(found.addresses)
}

async fn tell(probe: &Probe, dialler: Dialler) -> Result<Reply, Cause> {
    match probe {
        Probe::Dns(question) => names::tell(question, &dialler).await.map(Reply::Dns),
        Probe::Tls(question) => tls::tell(question, &dialler).await.map(Reply::Tls),
        Probe::Http(question) => http::tell(question, &dialler).await.map(Reply::Http),
        Probe::S3(question) => s3::tell(question, dialler).await.map(Reply::S3),
        Probe::Presign(question) => presign::tell(question).await.map(Reply::Presign),
        Probe::Sts(question) => sts::tell(question, &dialler).await.map(Reply::Sts),
        Probe::Jwt(question) => jwt::tell(question, &dialler).await.map(Reply::Jwt),
        Probe::Run(question) => program::tell(question, &dialler).await.map(Reply::Run),
        Probe::Client(question) => client::tell(question, &dialler).await,
    }
}

/// A question that is itself invalid.
fn invalid(detail: impl Into<String>) -> Cause {
    Cause::Client { detail: detail.into() }
}
