//! Finds out why a store refused a signature. `parallax check` cannot read a trace of the store. Therefore this module
//! uses two sources: the path in the store's answer, which is the path that the store saw, and the answers to further
//! requests.

use std::collections::BTreeMap;

use parallax_explain::signature::{Case, Guesses, SignedRequest, investigate};
use parallax_vocab::percent::decoded;
use parallax_vocab::question::Probe;
use parallax_vocab::signature::{SeenBy, SignatureFinding};
use parallax_vocab::{Answer, Question, Reply, Secret};

use super::rows::Asked;
use super::wanted::Wanted;

/// To find the host that the store sees, a URL is signed on trial for at most this number of hosts.
const HOSTS_LIMIT: usize = 96;

/// Why a store refused a signed request.
pub(super) enum Refused {
    /// A proxy between the client and the store changes a part of the request.
    Differs(SignatureFinding),
    /// The store accepts a presigned URL, so no proxy changes the host or the path. Therefore a proxy changes another
    /// part of the refused request.
    OnlyThisRequest,
    /// No further request shows why the store refused the signature.
    Unknown,
}

/// Whether the store refused a request because of its signature.
pub(super) fn by_signature(asked: &Asked) -> bool {
    let reply = asked.answer.as_ref().ok().and_then(Answer::reply);
    reply.and_then(|it| it.facts().s3_error).is_some_and(|it| it.meant() == "SignatureDoesNotMatch")
}

/// Returns the decoded path that the store saw. It is the path that the store's answer names, or else the path of the
/// URL.
pub(super) fn path_seen(asked: &Asked, url: &str) -> String {
    let sent = decoded(path_of(url));
    asked.answer.as_ref().ok().and_then(resource).unwrap_or(sent)
}

/// The name of one kind of mismatch: the path that the store saw is not the path that was sent. It is the `matcher` of
/// a cause of the layer `mismatch`.
pub(super) const PATH: &str = "the path that the store saw";

/// If a proxy adds a prefix to the path or strips one, returns the path that was sent and the path that the store saw.
pub(super) fn prefixed(asked: &Asked) -> Option<(String, String)> {
    let Probe::Http(http) = &asked.question.probe else { return None };
    let (sent, seen) = (decoded(path_of(&http.url)), path_seen(asked, &http.url));
    let [a, b] = [&sent, &seen].map(|it| it.trim_matches('/'));
    // In an answer about a bucket, some stores give only `/` as the path. This does not show that a proxy changed the
    // path.
    let differs = !b.is_empty() && a != b && (a.ends_with(&format!("/{b}")) || b.ends_with(&format!("/{a}")));
    differs.then_some((sent, seen))
}

/// Returns the path that a store's XML error names in `Resource`. It is the decoded path of the request as it arrived
/// at the store.
fn resource(answer: &Answer) -> Option<String> {
    let Reply::Http(http) = answer.reply()? else { return None };
    let (_, rest) = http.body.split_once("<Resource>")?;
    let (path, _) = rest.split_once("</Resource>")?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let path = plain.iter().fold(path.to_owned(), |path, (escaped, plain)| path.replace(escaped, plain));
    path.starts_with('/').then_some(path)
}

fn path_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after.find('/').map_or("/", |at| &after[at..]);
    path.split('?').next().unwrap_or("/")
}

/// Returns the URL `url` with the query of the URL `signed`.
pub(super) fn with_query_of(url: &str, signed: &str) -> Option<String> {
    Some(format!("{}?{}", url.split('?').next()?, signed.split_once('?')?.1))
}

/// Returns the values of `Host` that a proxy may send to the store: the endpoint's own host, with and without a port,
/// and the names of the namespace's Services.
pub(super) fn hosts(wanted: &Wanted, services: &BTreeMap<String, String>, namespace: &str) -> Vec<String> {
    let own = if wanted.host.contains(':') { format!("[{}]", wanted.host) } else { wanted.host.clone() };
    let mut names = vec![own];
    for (address, service) in services {
        let full = format!("{service}.{namespace}.svc");
        names.extend([format!("{full}.cluster.local"), full, format!("{service}.{namespace}"), service.clone()]);
        names.push(address.clone());
    }
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let ports = [String::new(), ":9000".to_owned(), ":443".to_owned(), ":80".to_owned(), format!(":{}", wanted.port)];
    let mut all: Vec<String> = vec![wanted.endpoint.split("://").nth(1).unwrap_or_default().to_owned()];
    for name in &names {
        for port in &ports {
            let host = format!("{name}{port}");
            if !all.contains(&host) {
                all.push(host);
            }
        }
    }
    all.truncate(HOSTS_LIMIT);
    all
}

/// Returns what differs between a presigned URL and the request that the store saw. `path` is the path that the store
/// saw, and `host` is the host that the store saw, if it is known.
pub(super) fn finding(url: &str, path: &str, host: Option<&str>, secret: &Secret) -> Option<SignatureFinding> {
    let sent = SignedRequest::sent("GET", url, None, &BTreeMap::new())?;
    let mut seen = sent.clone();
    path.clone_into(&mut seen.path);
    host.unwrap_or(&sent.host).clone_into(&mut seen.host);
    Some(investigated(&sent, &seen, secret))
}

/// If the store refused the signature of a request, returns what differs between the request and what the store saw.
/// Returns `None` if the store accepted the request, or refused it for another reason.
pub(super) fn of_answer(question: &Question, answer: &Answer, secret: &Secret) -> Option<SignatureFinding> {
    let error = answer.reply()?.facts().s3_error?;
    let Probe::Http(http) = &question.probe else { return None };
    if error.meant() != "SignatureDoesNotMatch" {
        return None;
    }
    let sent = SignedRequest::sent(&http.method, &http.url, None, &http.headers)?;
    let mut seen = sent.clone();
    if let Some(path) = resource(answer) {
        seen.path = path;
    }
    Some(investigated(&sent, &seen, secret))
}

fn investigated(sent: &SignedRequest, seen: &SignedRequest, secret: &Secret) -> SignatureFinding {
    investigate(&Case {
        seen,
        seen_by: if seen == sent { SeenBy::Sender } else { SeenBy::Store },
        sent: Some(sent),
        signed: Some(sent),
        guesses: Guesses::default(),
        store_secret: None,
        signer_secret: Some(secret),
    })
}
