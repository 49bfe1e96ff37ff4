//! The parts of a signed request: which parts differ between two requests, and how to restore a part.

use std::collections::BTreeSet;

use parallax_vocab::percent::encoded;
use parallax_vocab::signature::{Difference, Part as Named};

use super::request::SignedRequest;

/// A part of a signed request. The search for the changed parts (`search.rs`) restores a part only as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Method,
    Host,
    Path,
    Query,
    Header(String),
    Payload,
    Date,
    Scope,
    AccessKey,
    Expires,
    SignedHeaders,
    Token,
    Signature,
}

/// Returns all parts of the request `seen` and, if it is known, of the request `signed`.
pub(super) fn parts(seen: &SignedRequest, signed: Option<&SignedRequest>) -> Vec<Part> {
    let all = [Some(seen), signed];
    let names: BTreeSet<&String> = all.iter().flatten().flat_map(|it| &it.signed_headers).collect();
    let headers = names.into_iter().map(|name| Part::Header(name.clone()));
    let first = [Part::Host, Part::Path, Part::Query, Part::Method, Part::Payload];
    let last = [Part::Date, Part::Scope, Part::AccessKey, Part::Expires, Part::SignedHeaders, Part::Token];
    first.into_iter().chain(headers).chain(last).chain([Part::Signature]).collect()
}

/// Sets one part of `request` to its value in `from`.
pub(super) fn put_back(request: &mut SignedRequest, part: &Part, from: &SignedRequest) {
    match part {
        Part::Method => request.method.clone_from(&from.method),
        Part::Host => request.host.clone_from(&from.host),
        Part::Path => request.path.clone_from(&from.path),
        Part::Query => request.query.clone_from(&from.query),
        Part::Header(name) => match from.headers.get(name) {
            Some(value) => drop(request.headers.insert(name.clone(), value.clone())),
            None => drop(request.headers.remove(name)),
        },
        Part::Payload => request.payload.clone_from(&from.payload),
        Part::Date => request.date.clone_from(&from.date),
        Part::Scope => request.scope.clone_from(&from.scope),
        Part::AccessKey => request.access_key.clone_from(&from.access_key),
        Part::Expires => request.expires.clone_from(&from.expires),
        Part::SignedHeaders => request.signed_headers.clone_from(&from.signed_headers),
        Part::Token => request.token.clone_from(&from.token),
        Part::Signature => request.signature.clone_from(&from.signature),
    }
}

/// Whether a part is the same in both requests.
pub(super) fn same(a: &SignedRequest, b: &SignedRequest, part: &Part) -> bool {
    let mut changed = a.clone();
    put_back(&mut changed, part, b);
    changed == *a
}

/// Returns the parts in which `seen` and `signed` differ. If the request `sent` already had the value of `seen`, the
/// part was not changed on the way; `sent_so` is then true.
pub(super) fn differences(
    signed: &SignedRequest,
    seen: &SignedRequest,
    sent: Option<&SignedRequest>,
) -> Vec<Difference> {
    let differing = parts(seen, Some(signed)).into_iter().filter(|part| !same(seen, signed, part));
    differing
        .map(|part| Difference {
            sent_so: sent.is_some_and(|sent| same(seen, sent, &part)),
            signed: text(signed, &part),
            seen: text(seen, &part),
            part: named(part, signed, seen),
        })
        .collect()
}

fn named(part: Part, signed: &SignedRequest, seen: &SignedRequest) -> Named {
    match part {
        Part::Method => Named::Method,
        Part::Host if name_of(&signed.host) == name_of(&seen.host) => Named::Port,
        Part::Host => Named::Host,
        Part::Path => Named::Path,
        Part::Query => Named::Query,
        Part::Header(name) => Named::Header(name),
        Part::Payload => Named::Payload,
        Part::Date => Named::Date,
        Part::Scope => Named::Scope,
        Part::AccessKey => Named::AccessKey,
        Part::Expires => Named::Expires,
        Part::SignedHeaders => Named::SignedHeaders,
        Part::Token => Named::Token,
        Part::Signature => Named::Signature,
    }
}

/// Returns a host without its port, in lower case.
fn name_of(host: &str) -> String {
    let port = host.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()));
    port.map_or(host, |(name, _)| name).to_lowercase()
}

/// Returns the text of a part for the record. For a token or a signature, the text is only `present` or empty, because
/// the record must contain no secrets.
fn text(request: &SignedRequest, part: &Part) -> String {
    let shown = |present: bool| if present { "present" } else { "" }.to_owned();
    match part {
        Part::Method => request.method.clone(),
        Part::Host => request.host.clone(),
        Part::Path => request.path.clone(),
        Part::Query => {
            // The names and values are encoded, so that the text can be split into pairs again.
            let pairs = request.query.iter();
            let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name, true), encoded(value, true)));
            pairs.collect::<Vec<_>>().join("&")
        }
        Part::Header(name) => request.headers.get(name).cloned().unwrap_or_default(),
        Part::Payload => request.payload.hash.clone(),
        Part::Date => request.date.clone(),
        Part::Scope => request.scope.clone(),
        Part::AccessKey => request.access_key.clone(),
        Part::Expires => request.expires.clone(),
        Part::SignedHeaders => request.signed_headers.join(";"),
        Part::Token => shown(request.token.is_some()),
        Part::Signature => shown(!request.signature.is_empty()),
    }
}
