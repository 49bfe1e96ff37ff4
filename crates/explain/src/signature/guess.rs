//! Guesses the signed request if it is not known. Each guess undoes a change that proxies usually make to a request.

use parallax_vocab::percent::{decoded, encoded};

use super::difference::{Part, put_back, same};
use super::request::{Payload, SignedRequest, UNSIGNED};
use super::search::Case;

/// What is known about the signer, if the signed request is not known.
#[derive(Clone, Debug, Default)]
pub struct Guesses {
    /// The host names by which clients may know the store.
    pub hosts: Vec<String>,
    /// The decoded paths that the signer may have used.
    pub paths: Vec<String>,
    /// The SHA-256 of the body that was sent, in hexadecimal. `None` if the body is not known.
    pub body_sha256: Option<String>,
}

/// The ports that are tried after the name of a host: ports of common stores, and default ports. Clients leave default
/// ports out of `Host`, but some signers sign a `Host` with a default port.
const PORTS: [&str; 4] = [":9000", ":443", ":80", ":8443"];
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];
/// The search leaves out one query parameter at a time, in case a proxy added it. It does so for at most this number of
/// parameters.
const PARAMETERS_LIMIT: usize = 8;
/// The SHA-256 of an empty body, in hexadecimal.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Returns requests with possible signed values of `part`. Each of these values differs from the one in the seen
/// request. The other parts of the returned requests must not be used. If the signed request is known, at most this
/// request is returned.
pub(super) fn alternatives(part: &Part, case: &Case<'_>) -> Vec<SignedRequest> {
    // If the signed request is known, nothing needs to be guessed.
    if let Some(signed) = case.signed {
        return if same(case.seen, signed, part) { Vec::new() } else { vec![signed.clone()] };
    }
    let mut all: Vec<SignedRequest> = case.sent.into_iter().cloned().collect();
    let seen = case.seen;
    let with = |change: &dyn Fn(&mut SignedRequest)| {
        let mut request = seen.clone();
        change(&mut request);
        request
    };
    match part {
        Part::Method => all.extend(METHODS.map(|method| with(&|it| method.clone_into(&mut it.method)))),
        Part::Host => all.extend(hosts(case).into_iter().map(|host| with(&|it| it.host.clone_from(&host)))),
        Part::Path => {
            let bucket = seen.host.split_once('.').map(|(bucket, _)| format!("/{bucket}{}", seen.path));
            let paths = case.guesses.paths.iter().cloned().chain(paths(&seen.path)).chain(bucket);
            all.extend(paths.map(|path| with(&|it| it.path.clone_from(&path))));
        }
        Part::Query => {
            all.push(with(&|it| it.query.clear()));
            let one = 0..seen.query.len().min(PARAMETERS_LIMIT);
            all.extend(one.map(|index| with(&|it| drop(it.query.remove(index)))));
        }
        Part::Payload => {
            let hashes = [Some(UNSIGNED), case.guesses.body_sha256.as_deref(), Some(EMPTY_SHA256)];
            let payload = |hash: &str| Payload { hash: hash.to_owned(), in_query: false };
            all.extend(hashes.into_iter().flatten().map(|hash| with(&|it| it.payload = payload(hash))));
        }
        _ => {}
    }
    let mut distinct: Vec<SignedRequest> = Vec::new();
    for other in all {
        let mut only = seen.clone();
        put_back(&mut only, part, &other);
        if only != *seen && !distinct.contains(&only) {
            distinct.push(only);
        }
    }
    distinct
}

fn hosts(case: &Case<'_>) -> Vec<String> {
    let mut all = case.guesses.hosts.clone();
    all.push(case.seen.host.clone());
    let known = all.clone();
    let bare: Vec<String> = all.iter().map(|host| host.split(':').next().unwrap_or_default().to_owned()).collect();
    for host in bare {
        all.extend(PORTS.map(|port| format!("{host}{port}")));
        all.push(host);
    }
    // The signer may have put the bucket into the host name although the bucket is now in the path, or the other way
    // round.
    let bucket = case.seen.path.split('/').nth(1).filter(|it| !it.is_empty());
    let with_bucket = bucket.iter().flat_map(|bucket| known.iter().map(move |host| format!("{bucket}.{host}")));
    all.extend(with_bucket);
    all.extend(case.seen.host.split_once('.').map(|(_, rest)| rest.to_owned()));
    all
}

/// Returns paths that may have been signed. Each of them undoes a change that a proxy may have made to the path: a
/// prefix was added, the path was encoded or decoded, or a slash at its end was added or removed.
fn paths(path: &str) -> Vec<String> {
    let mut all = vec![decoded(path), encoded(path, true)];
    let mut rest = path;
    // A proxy may have added any number of segments at the start. Each iteration removes one more segment.
    while let Some((_, shorter)) = rest.get(1..).and_then(|it| it.split_once('/')) {
        all.push(format!("/{shorter}"));
        rest = &path[path.len() - shorter.len() - 1..];
    }
    all.push(format!("{path}/"));
    all.push(path.trim_end_matches('/').to_owned());
    all
}
