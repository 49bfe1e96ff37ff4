//! Reads MinIO's own trace, in which MinIO reports each request with its source address and its `Host`.
//!
//! The answer to the admin API's `trace` request (MinIO, `cmd/admin-handlers.go`, `TraceHandler`) is an endless
//! stream of JSON documents, one for each request that the store served. MinIO begins to collect the requests before
//! it sends the headers of this answer. So the trace contains every request that was sent after [`open`] returned.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use parallax_vocab::Cause;
use parallax_vocab::event::Arrived;
use parallax_vocab::question::{S3Access, View};
use serde_json::Value;

use super::admin;
use crate::dial::Dialler;
use crate::store::{Ended, TraceEvent, Traced};
use crate::trail::Trail;

/// The time limit for opening the trace. Reading the trace has no time limit.
const OPENS_WITHIN: Duration = Duration::from_secs(15);
/// The longest accepted time without data. If MinIO has nothing to report, it sends a space each second. If nothing
/// arrives for this time, the store is gone, even if the connection seems open.
const SILENT_AT_MOST: Duration = Duration::from_secs(15);
/// The largest size of one document of the trace, in bytes. MinIO's documents contain headers, but not bodies.
const DOCUMENT_LIMIT_BYTES: usize = 1024 * 1024;
// `internal` is needed because MinIO counts requests to its token service (STS) as internal (`cmd/http-tracer.go`).
const PATH: &str = "/minio/admin/v3/trace?s3=true&internal=true";
/// The SHA-256 digest of the empty string, for a request without a body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An open trace. Dropping this value closes the connection.
#[derive(Debug)]
pub(crate) struct Trace {
    body: hyper::body::Incoming,
    documents: Documents,
    connection: tokio::task::JoinHandle<()>,
}

/// Opens the trace of the store at `access`, with an administrator's credentials.
pub(crate) async fn open(view: View, access: &S3Access) -> Result<Trace, Cause> {
    let dialler = Dialler::new(view, Trail::begin(), Instant::now() + OPENS_WITHIN);
    let body = Empty::<Bytes>::new();
    let (target, request) = admin::request(access, Method::GET, PATH, body, EMPTY_SHA256.to_owned())?;
    let stream: Box<dyn crate::dial::Io> = if target.tls {
        Box::new(dialler.tls(&target.host, target.port, &target.host, &["http/1.1"]).await?)
    } else {
        Box::new(dialler.tcp(&target.host, target.port).await?)
    };
    let peer = format!("{}:{}", target.host, target.port);
    let reset = |why: hyper::Error| Cause::Connect {
        fault: parallax_vocab::ConnectFault::Reset,
        detail: format!("{peer}: the trace broke off: {why}"),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(&reset)?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(&reset)?;
    let status = response.status().as_u16();
    let body = response.into_body();
    if status != 200 {
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let detail = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        return Err(Cause::Status { status, s3: None, detail: format!("the trace is refused: {detail}") });
    }
    Ok(Trace { body, documents: Documents::default(), connection })
}

impl Trace {
    /// Waits for the next report of the store. The error says why the trace ended.
    pub(crate) async fn next(&mut self) -> Result<TraceEvent, Ended> {
        loop {
            while let Some(document) = self.documents.next()? {
                if let Some(traced) = traced(&document) {
                    return Ok(TraceEvent::Request(traced));
                }
            }
            let frame = tokio::time::timeout(SILENT_AT_MOST, self.body.frame())
                .await
                .map_err(|_| Ended::Silent { for_s: SILENT_AT_MOST.as_secs() })?;
            let frame = frame.ok_or(Ended::Over)?.map_err(|why| Ended::Broken(why.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if self.documents.is_between() && data.trim_ascii().is_empty() {
                return Ok(TraceEvent::Idle);
            }
            self.documents.take(&data);
        }
    }
}

/// Splits the stream into JSON objects. MinIO puts nothing between two objects except spaces, which keep the connection
/// alive. Each byte is examined only once, even if its object arrives in many parts.
#[derive(Debug, Default)]
struct Documents {
    buffer: Vec<u8>,
    /// The number of bytes at the beginning of the buffer that were examined so far.
    seen: usize,
    /// The nesting depth of objects and lists after the examined bytes.
    depth: usize,
    /// Whether the examined bytes end inside a string. `escaped` says whether the last examined byte is a backslash
    /// that escapes the next character of that string.
    string: bool,
    escaped: bool,
}

impl Documents {
    fn take(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Whether the buffer contains no part of an object.
    fn is_between(&self) -> bool {
        self.depth == 0 && self.buffer.trim_ascii().is_empty()
    }

    /// Returns the next complete object. Returns `None` if more bytes are needed to complete the object.
    fn next(&mut self) -> Result<Option<Value>, Ended> {
        while let Some(byte) = self.buffer.get(self.seen) {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.string => self.escaped = true,
                b'"' if self.depth > 0 => self.string = !self.string,
                _ if self.string => {}
                b'{' => self.depth += 1,
                b'[' if self.depth > 0 => self.depth += 1,
                b']' if self.depth > 1 => self.depth -= 1,
                b'}' if self.depth > 0 => self.depth -= 1,
                _ if self.depth > 0 || byte.is_ascii_whitespace() => {}
                other => {
                    return Err(Ended::Garbled(format!("{:?} where an object begins", char::from(*other))));
                }
            }
            if self.depth == 0 && *byte == b'}' {
                let document = serde_json::from_slice(&self.buffer[..self.seen]);
                self.buffer.drain(..self.seen);
                self.seen = 0;
                return document.map(Some).map_err(|why| Ended::Garbled(why.to_string()));
            }
            if self.seen > DOCUMENT_LIMIT_BYTES {
                return Err(Ended::Garbled(format!("a document longer than {DOCUMENT_LIMIT_BYTES} bytes")));
            }
        }
        if self.depth == 0 {
            self.buffer.clear();
            self.seen = 0;
        }
        Ok(None)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn traced(document: &Value) -> Option<Traced> {
    let http = document.get("http")?;
    let request_headers = http.pointer("/request/headers")?;
    let client = http.pointer("/request/client")?.as_str()?;
    Some(Traced {
        request_id: header(http.pointer("/response/headers")?, "X-Amz-Request-Id")?,
        source: without_port(client),
        host: header(request_headers, "Host").unwrap_or_default(),
        arrived: arrived(http.get("request")?),
    })
}

fn arrived(request: &Value) -> Arrived {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let headers = request.get("headers").and_then(Value::as_object);
    let headers = headers.into_iter().flatten().map(|(name, values)| (name.to_lowercase(), joined(values)));
    Arrived { method: text("method"), path: text("path"), query: text("rawquery"), headers: headers.collect() }
}

/// Joins several values of one header with commas, as `SigV4` does before it signs them.
fn joined(values: &Value) -> String {
    match values {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn header(headers: &Value, name: &str) -> Option<String> {
    let (_, values) = headers.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    values.get(0).or(Some(values))?.as_str().map(str::to_owned)
}

/// Removes the port from an address. Accepts `10.42.0.7:41234`, `[fd00::7]:41234`, or an address without a port.
fn without_port(client: &str) -> String {
    client.parse::<std::net::SocketAddr>().map_or_else(|_| client.to_owned(), |it| it.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&str]) -> Result<Vec<Value>, Ended> {
        let mut documents = Documents::default();
        let mut found = Vec::new();
        for part in parts {
            documents.take(part.as_bytes());
            while let Some(document) = documents.next()? {
                found.push(document);
            }
        }
        Ok(found)
    }

    #[test]
    fn documents_are_split_wherever_the_chunks_end() {
        let text = r#" {"a":"}\"{\\","b":[{"c":1}]}  {"d":"ü"}{}"#;
        let whole = split(&[text]).expect("three objects");
        assert_eq!(
            whole.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [r#"{"a":"}\"{\\","b":[{"c":1}]}"#, r#"{"d":"ü"}"#, "{}"]
        );
        for at in (1..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(split(&[&text[..at], &text[at..]]), Ok(whole.clone()), "cut at {at}");
        }
    }

    #[test]
    fn invalid_data_is_an_error_at_once() {
        for garbled in ["<html>", "} {}", "nonsense", "{\"a\":}", "{\"a\" 1}", "[1]"] {
            assert!(matches!(split(&[garbled]), Err(Ended::Garbled(_))), "{garbled}: {:?}", split(&[garbled]));
        }
        let endless = format!("{{\"a\":\"{}", "x".repeat(DOCUMENT_LIMIT_BYTES));
        assert!(matches!(split(&[&endless]), Err(Ended::Garbled(_))));
        let mut documents = Documents::default();
        documents.take(b"  ");
        assert_eq!((documents.next(), documents.is_between()), (Ok(None), true));
        documents.take(b"{");
        assert_eq!((documents.next(), documents.is_between()), (Ok(None), false));
    }

    #[test]
    fn the_parts_that_matter_are_found_in_a_document() {
        let document = serde_json::json!({"http": {
            "request": {"client": "10.42.0.7:41234", "method": "GET", "path": "/photos/a b", "rawquery": "x=%20",
                "headers": {"Host": ["minio.example.com"], "X-Two": ["a", "b"]}},
            "response": {"headers": {"X-Amz-Request-Id": ["17F3"]}},
        }});
        let expected = Traced {
            request_id: "17F3".to_owned(),
            source: "10.42.0.7".to_owned(),
            host: "minio.example.com".to_owned(),
            arrived: Arrived {
                method: "GET".to_owned(),
                path: "/photos/a b".to_owned(),
                query: "x=%20".to_owned(),
                headers: [("host", "minio.example.com"), ("x-two", "a,b")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            },
        };
        assert_eq!(traced(&document), Some(expected));
        assert_eq!(traced(&serde_json::json!({"error": "x"})), None);
        assert_eq!(without_port("[fd00::7]:1"), "fd00::7");
        assert_eq!(without_port("10.0.0.1"), "10.0.0.1");
    }
}
