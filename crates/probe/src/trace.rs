//! Following MinIO's own trace: the store says who asked, from where, and under which host.
//!
//! The admin API's `trace` call (MinIO, `cmd/admin-handlers.go`, `TraceHandler`) answers with an endless stream of JSON
//! documents, one for each request that it served. MinIO subscribes before it sends the head of the answer, so
//! everything asked after [`open`] returned is seen.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use parallax_vocab::Cause;
use parallax_vocab::event::Arrived;
use parallax_vocab::question::{S3Access, View};
use serde_json::Value;

use crate::admin::authorise;
use crate::dial::Dialler;
use crate::invalid;
use crate::target::Target;
use crate::trail::Trail;

/// Opening it may take this long; after that it lasts as long as it is read.
const OPENS_WITHIN: Duration = Duration::from_secs(15);
/// MinIO sends a blank each second where it has nothing to tell; one that is silent for longer is gone, whatever the
/// connection says.
const SILENT_AT_MOST: Duration = Duration::from_secs(15);
/// Longest document; MinIO's carry headers, not bodies.
const DOCUMENT_LIMIT_BYTES: usize = 1024 * 1024;
// The token service counts as internal (MinIO, `cmd/http-tracer.go`).
const PATH: &str = "/minio/admin/v3/trace?s3=true&internal=true";
/// SHA-256 of nothing.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What the store says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// `x-amz-request-id` of its answer.
    pub request_id: String,
    /// Address that it came from, without the port.
    pub source: String,
    /// `Host` as it arrived.
    pub host: String,
    /// The request as it arrived.
    pub arrived: Arrived,
}

/// What the trace says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The store served a request.
    Request(Traced),
    /// A keep-alive: when the store sent it, nothing that it had served was still to be told.
    Idle,
}

/// An open trace. Dropping it ends it.
#[derive(Debug)]
pub struct Trace {
    body: hyper::body::Incoming,
    buffer: Vec<u8>,
    connection: tokio::task::JoinHandle<()>,
}

/// Opens the trace of the store that `access` leads to, as its administrator.
pub async fn open(view: View, access: &S3Access) -> Result<Trace, Cause> {
    let dialler = Dialler::new(view, Trail::begin(), Instant::now() + OPENS_WITHIN);
    let uri = format!("{}{PATH}", access.endpoint).parse().map_err(|why| invalid(format!("{why}")))?;
    let target = Target::of(&uri)?;
    let mut request = Request::get(PATH)
        .header(http::header::HOST, target.host_header())
        .header("x-amz-content-sha256", EMPTY_SHA256)
        .body(Empty::<Bytes>::new())
        .map_err(|why| invalid(why.to_string()))?;
    authorise(&mut request, &target, access, EMPTY_SHA256.to_owned())?;
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
    Ok(Trace { body, buffer: Vec::new(), connection })
}

impl Trace {
    /// What it says next; `None` when the trace ended.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(document) = self.document() {
                if let Some(traced) = traced(&document) {
                    return Some(Told::Request(traced));
                }
            }
            let frame = tokio::time::timeout(SILENT_AT_MOST, self.body.frame()).await.ok()??.ok()?;
            let Ok(data) = frame.into_data() else { continue };
            if self.buffer.trim_ascii().is_empty() && data.trim_ascii().is_empty() {
                self.buffer.clear();
                return Some(Told::Idle);
            }
            self.buffer.extend_from_slice(&data);
            if self.buffer.len() > DOCUMENT_LIMIT_BYTES {
                return None;
            }
        }
    }

    /// Takes one whole document from the front of what arrived. Documents follow each other without a separator that
    /// could be relied on, with blanks as keep-alive between them.
    fn document(&mut self) -> Option<Value> {
        let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
        let document = documents.next()?.ok();
        let end = documents.byte_offset();
        if document.is_some() {
            self.buffer.drain(..end);
        }
        document
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

/// As a signature joins the values of one name.
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

/// `10.42.0.7:41234`, `[fd00::7]:41234` or a bare address.
fn without_port(client: &str) -> String {
    client.parse::<std::net::SocketAddr>().map_or_else(|_| client.to_owned(), |it| it.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
