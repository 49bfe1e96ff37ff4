//! Reads one request from a text that the user pastes: the head of a request, a line of an access log, or a trace of
//! the store.

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;

use super::{clock, json};

/// The kind of a pasted text: its format, or the program that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// One line with a method and a URL or a path, such as `GET /bucket/key`.
    Request,
    /// The head of an HTTP request (its first line and its headers): from `curl -v`, a browser, or an application's
    /// log.
    Head,
    /// The headers of a request without its first line, as a browser's tools copy them.
    Headers,
    /// A line of an access log: nginx, Apache, Traefik and others in the common or combined format.
    AccessLine,
    /// A line of nginx's error log, which shows the URL of nginx's request to the upstream server.
    NginxError,
    /// A line of the default access log of Envoy or Istio. The line shows the path before Envoy rewrites it, and the
    /// host after the rewrite.
    Envoy,
    /// A log line that is a JSON object: Traefik, Envoy, Contour, Istio, Caddy.
    Json,
    /// A line that `HAProxy` writes with `option httplog`.
    HaProxy,
    /// The output of `mc admin trace -v`. Only this source shows what the store itself saw.
    StoreTrace,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "a request",
            Self::Head => "the head of a request",
            Self::Headers => "the headers of a request",
            Self::AccessLine => "an access log's line",
            Self::NginxError => "a line of nginx's error log",
            Self::Json => "a log's line in JSON",
            Self::Envoy => "a line of Envoy's access log",
            Self::HaProxy => "a line of HAProxy's log",
            Self::StoreTrace => "the store's trace",
        })
    }
}

/// A request as a log shows it. An optional field is `None` if the text does not contain the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saw {
    /// The kind of the text from which the request was read.
    pub source: Source,
    /// The method in upper case; empty if the log does not contain the method.
    pub method: String,
    /// The scheme of the URL (`http` or `https`), if the text contains it.
    pub scheme: Option<String>,
    /// The `Host` header of the request, or the host of an absolute URL.
    pub host: Option<String>,
    /// The path of the request as the text shows it.
    pub path: String,
    /// The query of the request as the text shows it, without `?`.
    pub query: Option<String>,
    /// The headers of the request, with lower-case names.
    pub headers: Option<BTreeMap<String, String>>,
    /// The HTTP status of the answer to the request.
    pub status: Option<u16>,
    /// The time of the request, if the text has a time with a time zone.
    pub at: Option<OffsetDateTime>,
}

/// Methods of S3 and of browsers. A line that begins with another word is not a request.
pub(super) const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH"];
/// The number of slashes between the five times in a log line of `HAProxy`.
const HAPROXY_SLASHES: usize = 4;
/// Two numbers that describe a line of Envoy's default format: the number of quoted fields after the quoted request,
/// and the index, among these fields, of the field with the host.
const ENVOY_FIELDS: (usize, usize) = (5, 3);
/// The two numbers of `ENVOY_FIELDS` for Istio's format, which has one more quoted field before the host.
const ISTIO_FIELDS: (usize, usize) = (6, 4);
/// The number of words between the quoted request and the next quoted field in Istio's format. Envoy's default format
/// has six words there, so the number distinguishes the two formats.
const ISTIO_WORDS: usize = 4;

/// Reads a request from a text. The error describes the accepted texts. If the text contains several requests, the
/// function returns the request that has the signature of `url`, or else the first request.
pub fn read(text: &str, url: &str) -> Result<Saw, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let mut all = traces(&lines);
    if all.is_empty() {
        all.extend(lines.iter().filter_map(|line| json::object(line)));
    }
    if all.is_empty() {
        all.extend(head(&lines));
    }
    if all.is_empty() {
        all.extend(lines.iter().filter_map(|line| nginx_error(line).or_else(|| access_line(line))));
    }
    if all.is_empty() {
        all.extend(headers_only(&lines, url));
    }
    let index = all.iter().position(|it| is_of(it, url)).unwrap_or_default();
    if index < all.len() {
        return Ok(all.swap_remove(index));
    }
    Err("no request is found in what was seen: give `METHOD URL`, the head of a request (as `curl -v` prints it) or its headers, a line of an access log with the request in quotes (nginx, Apache, Traefik, Envoy, Istio, HAProxy) or in JSON, or the request's lines of `mc admin trace -v`".to_owned())
}

/// Whether the last request in `text` is complete and has the signature of `url`. `text` is the part of a store's trace
/// that was read so far, because the store is still writing the trace.
pub fn is_answered(text: &str, url: &str) -> bool {
    // A request is complete as soon as one line follows its `[RESPONSE]` line. If the last line but one is not a
    // `[RESPONSE]` line, the last line completed no request. In this case the text need not be parsed.
    if !text.trim_end().rsplit('\n').nth(1).is_some_and(|line| line.contains("[RESPONSE]")) {
        return false;
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    traces(&lines).last().is_some_and(|it| it.status.is_some() && is_of(it, url))
}

/// Whether a request in a log has the signature of this URL.
fn is_of(saw: &Saw, url: &str) -> bool {
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    saw.query.as_deref().zip(signature(query)).is_some_and(|(seen, signature)| seen.contains(signature))
}

/// Returns the parameter of a query that contains the signature, as `NAME=VALUE`.
pub(super) fn signature(query: &str) -> Option<&str> {
    query.split('&').find(|it| it.to_lowercase().starts_with("x-amz-signature="))
}

/// Reads the output of `mc admin trace -v`, which prints a block of lines for each request. Each line starts with the
/// name of the store's node.
fn traces(lines: &[&str]) -> Vec<Saw> {
    let begin = |line: &&str| line.contains("[REQUEST ");
    let starts = lines.iter().enumerate().filter(|(_, line)| begin(line)).map(|(index, _)| index);
    starts
        .filter_map(|start| {
            let rest = &lines[start + 1..];
            let end = rest.iter().position(begin).unwrap_or(rest.len());
            trace(lines[start], &rest[..end])
        })
        .collect()
}

fn trace(first: &str, rest: &[&str]) -> Option<Saw> {
    let node = first.split("[REQUEST ").next().unwrap_or_default().trim_end();
    let of_node = |line: &&str| line.strip_prefix(node).map_or(*line, str::trim_start).to_owned();
    let rest: Vec<String> = rest.iter().map(of_node).collect();
    let end = rest.iter().position(|line| line.starts_with("[RESPONSE]")).unwrap_or(rest.len());
    // The trace shows the path decoded, so the path can contain spaces.
    let (method, target) = rest.first()?.split_once(' ')?;
    if !METHODS.contains(&method) {
        return None;
    }
    let status = rest.get(end + 1).and_then(|line| status(line.split(' ').next()?));
    let headers = headers(rest.get(1..end)?.iter().map(String::as_str));
    Some(assembled(Source::StoreTrace, method, target, Some(headers), status))
}

/// Reads the head of a request: its first line and its headers. `curl -v` puts `>` before each line of the request, and
/// `<` before each line of the answer.
fn head(lines: &[&str]) -> Option<Saw> {
    let of_curl = lines.iter().any(|line| line.strip_prefix("> ").is_some_and(|it| request(it).is_some()));
    let sent = |line: &&str| {
        if of_curl { line.strip_prefix('>').map(|it| it.trim().to_owned()) } else { Some((*line).to_owned()) }
    };
    let sent: Vec<String> = lines.iter().filter_map(sent).collect();
    let (method, target) = request(sent.first()?)?;
    if sent.len() == 1 && !of_curl {
        return Some(assembled(Source::Request, method, target, None, None));
    }
    let answered = lines.iter().filter_map(|line| line.trim_start_matches(['<', ' ']).strip_prefix("HTTP/"));
    let status = answered.filter_map(|it| status(it.split(' ').nth(1)?)).next_back();
    Some(assembled(Source::Head, method, target, Some(headers(sent[1..].iter().map(String::as_str))), status))
}

/// Reads a line of an access log that contains the first line of the request in quotes.
fn access_line(line: &str) -> Option<Saw> {
    let fields: Vec<&str> = line.split('"').collect();
    let quoted = || fields.iter().enumerate().filter(|(index, _)| index % 2 == 1);
    let (at, (method, target)) = quoted().find_map(|(index, field)| Some((index, request(field)?)))?;
    let after = fields.get(at + 1).and_then(|it| status(it.split_whitespace().next()?));
    let before = fields[..at].concat();
    let mut tokens = before.split_whitespace().skip_while(|it| !are_haproxys_times(it)).skip(1);
    if let Some(code) = tokens.next().and_then(status) {
        return Some(assembled(Source::HaProxy, method, target, None, Some(code)));
    }
    let at_time = clock::time_of(line);
    let others: Vec<&str> = quoted().filter(|(index, _)| *index > at).map(|(_, field)| *field).collect();
    let (count, host) = ENVOY_FIELDS;
    let envoy = line.starts_with('[') && others.len() >= count;
    let istio = fields.get(at + 1).is_some_and(|it| it.split_whitespace().count() == ISTIO_WORDS);
    let host = if istio && others.len() >= ISTIO_FIELDS.0 { ISTIO_FIELDS.1 } else { host };
    let mut saw = assembled(if envoy { Source::Envoy } else { Source::AccessLine }, method, target, None, after);
    if envoy && others[host] != "-" {
        saw.host.get_or_insert_with(|| others[host].to_owned());
    }
    saw.at = at_time;
    Some(saw)
}

/// Reads a line of nginx's error log about a request to an upstream server.
fn nginx_error(line: &str) -> Option<Saw> {
    let field = |name: &str| line.split_once(name).and_then(|(_, rest)| rest.split('"').next());
    let (method, _) = request(field("request: \"")?)?;
    let mut saw = assembled(Source::NginxError, method, field("upstream: \"")?, None, None);
    // The host in the field `upstream` of the line is the address of the upstream server, and not the `Host` header
    // that nginx sends.
    (saw.host, saw.scheme) = (None, None);
    Some(saw)
}

/// Reads headers without the first line of the request. With HTTP/2, pseudo-headers contain the method and the path. A
/// missing path is taken from the URL. A missing method stays empty.
fn headers_only(lines: &[&str], url: &str) -> Option<Saw> {
    let is_name = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
    let is_header = |it: &&str| it.trim_start_matches(':').split_once(':').is_some_and(|(name, _)| is_name(name));
    let headers = headers(lines.iter().copied());
    if !headers.contains_key("host") || !lines.iter().all(is_header) {
        return None;
    }
    let pseudo = |name: &str| lines.iter().find_map(|it| it.strip_prefix(name)).map(str::trim);
    let method = pseudo(":method:").filter(|it| METHODS.contains(it)).unwrap_or_default();
    let of_url = url.split_once("://").map_or(url, |(_, rest)| rest).split(['?', '#']).next().unwrap_or_default();
    let of_url = of_url.find('/').map_or("/", |at| &of_url[at..]);
    let target = pseudo(":path:").filter(|it| it.starts_with('/')).unwrap_or(of_url);
    let mut saw = assembled(Source::Headers, method, target, Some(headers), None);
    saw.scheme = pseudo(":scheme:").map(str::to_owned);
    Some(saw)
}

fn are_haproxys_times(token: &str) -> bool {
    token.matches('/').count() == HAPROXY_SLASHES && token.bytes().all(|it| it.is_ascii_digit() || b"/-+".contains(&it))
}

/// Returns the method and the target (a path or a URL) from the first line of a request. The HTTP version may be
/// missing.
fn request(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let version = words.next().is_none_or(|it| it.starts_with("HTTP/"));
    let is_target = target.starts_with('/') || target.contains("://");
    (METHODS.contains(&method) && is_target && version && words.next().is_none()).then_some((method, target))
}

/// Reads headers from lines `Name: value`. If a name occurs several times, its values are joined with a comma, as
/// servers join them.
fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::<String, String>::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        // In HTTP/2, the pseudo-header `:authority` replaces the header `Host`.
        let (name, value) = match name {
            "" if value.starts_with("authority:") => ("host", &value["authority:".len()..]),
            name => (name.trim(), value),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            continue;
        }
        let value = value.trim();
        all.entry(name.to_lowercase())
            .and_modify(|it| *it = format!("{it},{value}"))
            .or_insert_with(|| value.to_owned());
    }
    all
}

fn status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|it| (100..600).contains(it))
}

pub(super) fn assembled(
    source: Source,
    method: &str,
    target: &str,
    headers: Option<BTreeMap<String, String>>,
    status: Option<u16>,
) -> Saw {
    // In an absolute URL, the `://` comes before the path. If it comes later, it belongs to a URL that is part of the
    // path or the query.
    let absolute = target.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?']));
    let (scheme, of_url, target) = match absolute {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(scheme.to_lowercase()), Some(rest[..end].to_owned()), &rest[end..])
        }
        None => (None, None, target),
    };
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let host = headers.as_ref().and_then(|it| it.get("host").cloned()).or(of_url);
    // If the `?` before the query is lost or encoded, the path contains the signature. The path is cut before the
    // signature, so that the output does not show the signature.
    let end = path.to_ascii_lowercase().find("x-amz-signature").unwrap_or(path.len());
    let path = if path.is_empty() { "/" } else { &path[..end] }.to_owned();
    Saw { source, method: method.to_owned(), scheme, host, path, query, headers, status, at: None }
}
