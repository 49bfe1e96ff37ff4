//! Finds problems that a presigned URL itself shows, before anybody sends a request with it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use super::refusal::{shown, span};
use super::url::Line;

/// The CRC32 of an empty body, in Base64. An SDK that presigns a PUT does not know the body yet, and puts this checksum
/// into the URL.
const EMPTY_CRC32: &str = "AAAAAA==";
/// Endings of host names that only a cluster or a local network can resolve.
const INNER: [&str; 5] = [".svc", ".cluster.local", ".local", ".internal", ".localhost"];

/// The parts of a presigned URL that the hints examine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// The URL as the user gave it.
    pub(super) text: &'a str,
    /// The host of the URL, without its port.
    pub(super) host: &'a str,
    /// The query parameters of the URL, as decoded names and values.
    pub(super) pairs: &'a [(String, String)],
    /// The time at which the URL expires. `None` if the URL does not state a valid expiry.
    pub(super) ends: Option<OffsetDateTime>,
}

/// Returns the hints, one line for each problem of the URL.
pub(super) fn hints(parts: &Parts<'_>) -> Vec<Line> {
    let all = [reach(parts.host), port(parts.text), checksum(parts.pairs), token(parts)];
    let careful = all.into_iter().flatten().chain(raw(parts.text));
    careful.map(|it| ("careful", it)).collect()
}

/// Returns the hint about a host that only clients in one cluster or network can reach: a private address, or a name
/// that only the DNS of this cluster or network knows.
fn reach(host: &str) -> Option<String> {
    let sign = "the host is signed, so sign for the name that both sides use";
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let inner = match address {
            IpAddr::V4(it) => it.is_private() || it.is_loopback() || it.is_link_local(),
            IpAddr::V6(it) => it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local(),
        };
        return inner.then(|| format!("{host} is a private address, which opens in its own network only: {sign}"));
    }
    let host = host.trim_end_matches('.').to_lowercase();
    if !host.contains('.') || INNER.iter().any(|it| host.ends_with(it)) {
        return Some(format!("only the DNS of one cluster or network knows the name {host}: {sign}"));
    }
    None
}

/// Returns the hint about a port that is written in the URL although it is the default port of `http` or `https`.
/// Clients leave the default port out of `Host`, but some signers sign a `Host` with this port. The signature then does
/// not match. If the port is the default port of the other scheme, somebody probably changed the scheme after the URL
/// was signed.
fn port(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let https = scheme.eq_ignore_ascii_case("https");
    let other = if https { ":80" } else { ":443" };
    if authority.ends_with(other) {
        let wanted = if https { "http" } else { "https" };
        return Some(format!(
            "{scheme} at {other} looks like a scheme that was rewritten: it is not signed, so open the URL with {wanted}"
        ));
    }
    let default = if https { ":443" } else { ":80" };
    authority.ends_with(default).then(|| {
        format!("{default} is written out: if the signer signed it, a client that leaves the default port out of Host breaks the signature; give the signer an endpoint without it")
    })
}

/// Finds characters in the path and in the query that proxies between client and store often change.
fn raw(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("://") else { return Vec::new() };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (path, query) = rest[at..].split_once('?').unwrap_or((&rest[at..], ""));
    let mut all = Vec::new();
    if path.contains("//") {
        all.push("the key has `//`: proxies and clients fold slashes (nginx: `merge_slashes off`)".to_owned());
    }
    if query.contains(';') {
        all.push(
            "the query has a raw `;`, which some servers take for a separator and others refuse: encode it as %3B"
                .to_owned(),
        );
    }
    if path.contains('+') || query.contains('+') {
        all.push(
            "there is a raw `+`, which some read as a space: sign with %2B for a plus, and %20 for a space".to_owned(),
        );
    }
    if path.to_lowercase().contains("%25") {
        all.push(
            "the path has an encoded `%`: a proxy that decodes it once and passes it on changes the key".to_owned(),
        );
    }
    all
}

/// Returns the hint about a signed checksum of an empty body. The signer computed this checksum although it did not
/// know the body.
fn checksum(pairs: &[(String, String)]) -> Option<String> {
    let is_empty =
        |(name, value): &(String, String)| name.eq_ignore_ascii_case("x-amz-checksum-crc32") && value == EMPTY_CRC32;
    pairs.iter().any(is_empty).then(|| {
        "the checksum of an empty body is signed (x-amz-checksum-crc32=AAAAAA==): strict stores refuse any other body; sign with AWS_REQUEST_CHECKSUM_CALCULATION=when_required".to_owned()
    })
}

/// Returns the hint about a session token that expires before the URL. The URL stops working when the token expires.
/// Only a token that is a JWT shows its expiry.
fn token(parts: &Parts<'_>) -> Option<String> {
    let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("x-amz-security-token");
    let (_, token) = parts.pairs.iter().find(named)?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let exp = OffsetDateTime::from_unix_timestamp(claims.get("exp")?.as_i64()?).ok()?;
    let ends = parts.ends?;
    if exp < ends {
        let (exp_at, early) = (shown(exp), span(ends - exp));
        return Some(format!(
            "the session token ends at {exp_at}, {early} before the URL: sign with credentials that live longer, or for less time"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        let url = url::Url::parse(text).expect("a URL");
        let pairs: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let ends = Some(datetime!(2026-11-29 15:00:00 UTC));
        let parts = Parts { text, host: url.host_str().expect("a host"), pairs: &pairs, ends };
        hints(&parts).into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn each_hint_has_its_url() {
        // The claims of the token are {"exp":1795708800}, which is 2026-11-26 16:00:00 UTC.
        let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"exp":1795708800}"#));
        let late = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"exp":1895708800}"#));
        for (url, says) in [
            ("https://minio.apps.svc/b/k".to_owned(), "only the DNS of one cluster"),
            ("https://minio.apps.svc.cluster.local:9000/b/k".to_owned(), "only the DNS of one cluster"),
            ("http://minio:9000/b/k".to_owned(), "only the DNS of one cluster"),
            ("http://10.43.0.7:9000/b/k".to_owned(), "a private address"),
            ("http://[::1]/b/k".to_owned(), "a private address"),
            ("https://s3.example.com:443/b/k".to_owned(), ":443 is written out"),
            ("http://s3.example.com:80/b/k".to_owned(), ":80 is written out"),
            ("http://s3.example.com:443/b/k".to_owned(), "a scheme that was rewritten"),
            ("https://s3.example.com:80/b/k".to_owned(), "open the URL with http"),
            ("https://s3.example.com/b//k".to_owned(), "`//`"),
            ("https://s3.example.com/b/k?a=1;b=2".to_owned(), "raw `;`"),
            ("https://s3.example.com/b/a+b".to_owned(), "raw `+`"),
            ("https://s3.example.com/b/a%2541".to_owned(), "an encoded `%`"),
            ("https://s3.example.com/b/k?x-amz-checksum-crc32=AAAAAA%3D%3D".to_owned(), "of an empty body"),
            (format!("https://s3.example.com/b/k?X-Amz-Security-Token={token}"), "2 d 23 h before the URL"),
        ] {
            let hints = of(&url);
            assert!(matches!(hints.as_slice(), [only] if only.contains(says)), "{url}: {hints:?}");
        }
        for url in [
            "https://s3.example.com/b/a%20b.txt?x-amz-checksum-crc32=yZRlqg%3D%3D".to_owned(),
            "https://s3.example.com:9000/b/k".to_owned(),
            "http://203.0.113.7/b/k".to_owned(),
            format!("https://s3.example.com/b/k?X-Amz-Security-Token={late}"),
            "https://s3.example.com/b/k?X-Amz-Security-Token=opaque".to_owned(),
        ] {
            assert_eq!(of(&url), Vec::<String>::new(), "{url}");
        }
    }
}
