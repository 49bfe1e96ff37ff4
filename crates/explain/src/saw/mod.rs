//! Compares a presigned URL with the request that a log shows. The result lists the differences. It also lists the
//! parts that the log does not show, because these parts may differ too.
//!
//! The user needs only the URL and one line of a log, and neither a server nor a secret. If the user also gives the
//! secret key, the comparison becomes a proof, by the same search that a run uses ([`crate::signature`]).

mod clock;
mod hops;
mod json;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use parallax_vocab::Secret;
use parallax_vocab::event::Arrived;
use parallax_vocab::signature::{SecretFinding, SeenBy};

use super::signature::{Case, Guesses, SignedRequest, investigate, is_own, words};
use super::url::Line;
pub use hops::between;
pub use read::{Saw, Source, is_answered, read};

/// The HTTP methods for which a URL can be signed.
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];
/// The length of a signature in hexadecimal digits. A log that masks the signature shows a shorter or different text.
const SIGNATURE_LENGTH: usize = 64;
/// A damaged query can contain the URL's signature in a parameter other than `X-Amz-Signature`. The signature is
/// recognised there by its first hexadecimal digits; this is the number of these digits.
const HIDDEN_LENGTH: usize = 16;

/// What the user gives about the signature in addition to the URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The method that the URL was signed for. The URL itself does not contain the method. `None` if the user did not
    /// give the method.
    pub method: Option<&'a str>,
    /// The secret key with which the URL was signed. `None` if the user did not give the key.
    pub secret: Option<&'a Secret>,
}

/// The result of comparing the URL with one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The lines for the user: what was read, what differs, and what the comparison proves.
    pub lines: Vec<Line>,
    /// The names of the parts of the request that the log does not show.
    pub hidden: Vec<&'static str>,
    /// The names of the parts that differ: the text of a [`parallax_vocab::signature::Part`], or `clock`.
    pub differs: Vec<String>,
    /// Whether the signature is valid after the differing parts are restored to the values of the URL. `None` if the
    /// user did not give the secret key.
    pub proven: Option<bool>,
}

/// Compares the URL with the request. The error explains why the URL and the request cannot be compared.
pub fn compare(url: &str, saw: &Saw, known: Known<'_>) -> Result<Compared, String> {
    let url = url.trim();
    let plain = SignedRequest::sent("GET", url, None, &BTreeMap::new());
    let names = plain.map(|it| it.signed_headers).unwrap_or_default();
    // The URL does not contain the values of signed headers. Therefore the verification uses the values that the log
    // shows.
    let mut headers = saw.headers.clone().unwrap_or_default();
    headers.retain(|name, _| names.contains(name));
    let signed_for = |method: &str| SignedRequest::sent(method, url, None, &headers);
    let not_signed = || "the URL is not presigned with SigV4: nothing can be compared".to_owned();
    let (method, method_known) = method_of(url, saw, known, &signed_for);
    let signed = signed_for(&method).ok_or_else(not_signed)?;
    let (query, hidden) = query_of(saw, url);
    let mut seen = seen_of(saw, &signed, url, &query).ok_or_else(|| {
        "the signature's parameters in what was seen are cut or damaged: give the whole line".to_owned()
    })?;
    if saw.method.is_empty() {
        seen.method.clone_from(&signed.method);
    }

    let mut lines = vec![("seen", title(saw))];
    if seen.date != signed.date && seen.signature != signed.signature {
        lines.push((
            "wrong",
            format!(
                "this is another URL: its signature was made at {}, the one of the given URL at {}",
                seen.date, signed.date
            ),
        ));
        return Ok(Compared { lines, ..Compared::default() });
    }
    let mut missing = Vec::new();
    missing.extend(saw.method.is_empty().then_some("method"));
    missing.extend(saw.host.is_none().then_some("host"));
    missing.extend(hidden);
    missing.extend(saw.headers.is_none().then_some("headers"));
    if !missing.is_empty() {
        lines.push((
            "not shown",
            format!("{}: taken as they were signed, so they can still differ", missing.join(", ")),
        ));
    }
    let untimely = clock::untimely(saw.at, &signed);
    let own_scheme = url.split_once("://").map(|(scheme, _)| scheme.to_lowercase());
    if let (Some(seen), Some(own)) = (&saw.scheme, own_scheme.filter(|it| Some(it) != saw.scheme.as_ref())) {
        let text = format!(
            "the URL is {own}, and {seen} is seen: the scheme is not signed, but a store or a proxy that expects TLS answers 400 to http, and a redirect changes the request"
        );
        lines.push(("careful", text));
    }
    let by_headers = by_headers(saw, &signed);
    let refused_anyway = !by_headers.is_empty();
    let mut parts: Vec<String> = Vec::new();
    if let Some(text) = untimely {
        parts.push("clock".to_owned());
        lines.push(("differs", text));
    }
    for (part, text) in by_headers {
        parts.push(part);
        lines.push(("differs", text));
    }

    let finding = investigate(&Case {
        seen: &seen,
        seen_by: if saw.source == Source::StoreTrace { SeenBy::Store } else { SeenBy::Log },
        sent: None,
        signed: Some(&signed),
        guesses: Guesses::default(),
        store_secret: known.secret,
        signer_secret: None,
    });
    let clauses = words::clauses(&finding);
    let differs = !clauses.is_empty();
    parts.extend(finding.differs.iter().map(|it| it.part.to_string()));
    lines.extend(clauses.into_iter().map(|it| ("differs", it)));
    if !method_known && !saw.method.is_empty() {
        let text = format!("the URL does not say for which method it was signed; {method} is assumed, as it was seen");
        lines.push(("method", format!("{text}: give --method, or the secret key by --secret-env")));
    }
    lines.push(match (known.secret, finding.proven, differs) {
        (None, _, true) => {
            ("proof", "none without the secret key: --secret-env VAR verifies that nothing else differs".to_owned())
        }
        (None, _, false) if refused_anyway => {
            ("proof", "none without the secret key: --secret-env VAR verifies the signature too".to_owned())
        }
        (None, _, false) => (
            "proof",
            "nothing that is shown differs; give the secret key by --secret-env VAR to learn whether the signature is right"
                .to_owned(),
        ),
        (Some(_), true, true) => ("proof", "with this put back the signature is valid: nothing else differs".to_owned()),
        (Some(_), true, false) if refused_anyway => {
            ("proof", "the signature itself is valid for the request as it is shown".to_owned())
        }
        (Some(_), true, false) => ("proof", right_as_seen(saw)),
        (Some(_), false, _) if finding.valid_as_signed == Some(false) && finding.secret != SecretFinding::Same => (
            "proof",
            "the given secret key did not make this signature, for the URL as it is: it is another key, or the URL was changed before it was sent, or a signed header is not shown"
                .to_owned(),
        ),
        (Some(_), false, _) => ("proof", "even with this put back the signature is not valid: more was changed".to_owned()),
    });
    let proven = known.secret.map(|_| finding.proven);
    Ok(Compared { lines, hidden: missing, differs: parts, proven })
}

/// Returns the message for a signature that is valid for exactly the request in the log. Such a request was not changed
/// before it reached the program that wrote the log. The message says where to look next: further on towards the store,
/// or in the store itself.
fn right_as_seen(saw: &Saw) -> String {
    let next = match saw.source {
        Source::StoreTrace => {
            "the store holds another secret key for this access key, or the URL is refused for another reason"
        }
        Source::Envoy => {
            "Envoy logs the path before it rewrites it, so look at its routes for a changed path, and then further on, towards the store (`mc admin trace -v`)"
        }
        _ => {
            "what wrote this is not where the request is changed; look further on, towards the store (`mc admin trace -v`)"
        }
    };
    format!("the signature is valid for the request as it is shown: {next}")
}

fn title(saw: &Saw) -> String {
    let host = saw.host.as_ref().map(|it| format!(" at {it}")).unwrap_or_default();
    let status = saw.status.map(|it| format!(", answered {it}")).unwrap_or_default();
    let method = if saw.method.is_empty() { String::new() } else { format!("{} ", saw.method) };
    format!("{}: {method}{}{host}{status}", saw.source, saw.path)
}

/// Returns the method for which the URL was signed, and whether this method is certain. The method is certain in three
/// cases: the user gives it, the secret key proves it, or the SDK's parameter `x-id` contains the operation.
fn method_of(
    url: &str,
    saw: &Saw,
    known: Known<'_>,
    signed_for: &dyn Fn(&str) -> Option<SignedRequest>,
) -> (String, bool) {
    if let Some(method) = known.method {
        return (method.to_uppercase(), true);
    }
    let right = |method: &&str| {
        let signed = signed_for(method);
        known.secret.zip(signed).is_some_and(|(secret, signed)| signed.signature_with(secret) == signed.signature)
    };
    if let Some(method) = METHODS.into_iter().find(|it| right(it)) {
        return (method.to_owned(), true);
    }
    let operation = url.split(['?', '&']).find_map(|it| it.strip_prefix("x-id=")).unwrap_or_default();
    let named = ["Get", "Put", "Head", "Post", "Delete"].into_iter().find(|it| operation.starts_with(it));
    let named = named.map(str::to_uppercase).or_else(|| (operation == "UploadPart").then(|| "PUT".to_owned()));
    let assumed = if saw.method.is_empty() { "GET" } else { &saw.method };
    named.map_or_else(|| (assumed.to_owned(), false), |method| (method, true))
}

/// Returns the query of the request in the log, and the names of the parts of the query that the log hides. A log may
/// leave out the whole query or mask the signature. A hidden part is taken from the URL.
fn query_of(saw: &Saw, url: &str) -> (String, Vec<&'static str>) {
    let of_url = url.split('#').next().unwrap_or_default().split_once('?').map(|(_, query)| query).unwrap_or_default();
    let Some(query) = saw.query.as_deref().filter(|it| !it.is_empty()) else {
        return (of_url.to_owned(), vec!["query"]);
    };
    let own = |pair: &&str| is_own(pair.split('=').next().unwrap_or_default());
    let value = read::signature(query).and_then(|it| it.split_once('=')).map(|(_, value)| value).unwrap_or_default();
    if value.len() == SIGNATURE_LENGTH && value.bytes().all(|it| it.is_ascii_hexdigit()) {
        return (query.to_owned(), Vec::new());
    }
    // In a damaged query, a parameter with another name may contain the signature. This parameter is left out, so that
    // the output does not show the signature.
    let signature = read::signature(of_url).and_then(|it| it.split_once('=')).map_or("", |(_, value)| value);
    let holds_it = |pair: &&str| signature.get(..HIDDEN_LENGTH).is_some_and(|it| pair.contains(it));
    let others = query.split('&').filter(|it| !own(it) && !holds_it(it));
    (of_url.split('&').filter(own).chain(others).collect::<Vec<_>>().join("&"), vec!["signature"])
}

fn seen_of(saw: &Saw, signed: &SignedRequest, url: &str, query: &str) -> Option<SignedRequest> {
    let host = saw.host.clone().unwrap_or_else(|| signed.host.clone());
    let mut headers: BTreeMap<String, String> = saw.headers.clone().unwrap_or_default();
    // Only the signature in the URL is compared. If a header has a second signature, the function `by_headers` reports
    // it.
    headers.remove("authorization");
    headers.insert("host".to_owned(), host.clone());
    if saw.source == Source::StoreTrace {
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let arrived = Arrived { method: saw.method.clone(), path: saw.path.clone(), query: query.to_owned(), headers };
        return SignedRequest::arrived(&arrived, path.and_then(|it| it.split(['?', '#']).next()));
    }
    SignedRequest::sent(&saw.method, &format!("https://{host}{}?{query}", saw.path), Some(&host), &headers)
}

/// Returns the faults that the headers alone show: a signed header that is missing, and a second signature. Each fault
/// is the name of a part and a sentence.
fn by_headers(saw: &Saw, signed: &SignedRequest) -> Vec<(String, String)> {
    let Some(headers) = &saw.headers else { return Vec::new() };
    let mut lines = Vec::new();
    let absent = signed.signed_headers.iter().filter(|it| *it != "host" && !headers.contains_key(*it));
    lines.extend(absent.map(|name| {
        (
            format!("header {name}"),
            format!("the header {name} is signed and was not sent: send it with the value that was signed"),
        )
    }));
    if headers.contains_key("authorization") {
        lines.push((
            "header authorization".to_owned(),
            "the request has an Authorization header beside the URL's own signature: a store refuses two of them, so let nothing add it (a browser's session, a proxy's basic authentication)".to_owned(),
        ));
    }
    lines
}
