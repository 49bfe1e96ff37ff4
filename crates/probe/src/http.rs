//! Sends one HTTP/1.1 request on a new connection and reads the answer. The request is sent exactly as the question
//! says: no redirect is followed, no proxy is used, nothing is repeated. The query is sent byte for byte, because the
//! signature of a presigned URL covers the query.

use std::collections::BTreeMap;
use std::error::Error;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use ::http::{HeaderMap, Method, Request, Uri};
use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use parallax_vocab::answer::{BODY_LIMIT_BYTES, HttpReply};
use parallax_vocab::question::{Form, FormFile, HttpQuestion};
use parallax_vocab::{Cause, ConnectFault, in_full, sources};
use reqwest::multipart;

use crate::dial::{Dialler, Io, tls_cause};
use crate::target::Target;
use crate::{invalid, s3_error};

/// The largest request body that the probe generates for a question with `filler_bytes`, in bytes. The probe keeps the
/// whole body in memory, and a pod has little memory.
const FILLER_LIMIT_BYTES: usize = 64 * 1024 * 1024;
const AGENT: &str = concat!("parallax-probe/", env!("CARGO_PKG_VERSION"));

/// Answers an HTTP question.
pub(crate) async fn answer(question: &HttpQuestion, dialler: &Dialler) -> Result<HttpReply, Cause> {
    // The pattern names each field, without `..`. If a field is added to the question, the compiler reports this line
    // until the field is used.
    let HttpQuestion { method, url, host, headers, body, filler_bytes, form } = question;
    let uri: Uri = url.parse().map_err(|why| invalid(format!("`{url}` is not a URL: {why}")))?;
    let target = Target::of(&uri)?;
    let mut request = Request::new(Full::default());
    *request.method_mut() =
        method.parse::<Method>().map_err(|why| invalid(format!("`{method}` is not a method: {why}")))?;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(host) = host {
        let bad = |why| invalid(format!("host `{host}` cannot be sent: {why}"));
        request.headers_mut().insert(HOST, host.parse().map_err(bad)?);
    }
    *request.body_mut() = Full::new(match form {
        Some(form) => {
            let (content_type, body) = encoded(form).await?;
            // The form's media type is set before the question's own headers. So a deliberately wrong `Content-Type` of
            // the question replaces the form's media type.
            request.headers_mut().insert(CONTENT_TYPE, content_type);
            body
        }
        None => match filler_bytes {
            Some(bytes) => filler(*bytes)?,
            None => Bytes::from(body.clone().unwrap_or_default()),
        },
    });
    for (name, value) in headers {
        let bad = |why: &dyn Error| invalid(format!("header `{name}` cannot be sent: {why}"));
        let key: HeaderName = name.parse().map_err(|why| bad(&why))?;
        request.headers_mut().insert(key, value.parse().map_err(|why| bad(&why))?);
    }
    *request.uri_mut() = uri;
    let received = exchange(dialler, &target, request, BODY_LIMIT_BYTES).await?;
    Ok(reply(received))
}

/// Returns a request body of `bytes` bytes. The content of the body has no meaning: only the size matters.
fn filler(bytes: u64) -> Result<Bytes, Cause> {
    let length = usize::try_from(bytes).ok().filter(|it| *it <= FILLER_LIMIT_BYTES);
    let length =
        length.ok_or_else(|| invalid(format!("a body of {bytes} bytes is larger than {FILLER_LIMIT_BYTES}")))?;
    Ok(Bytes::from(vec![b'x'; length]))
}

/// Encodes a form as a browser does. Returns the media type, which contains the boundary, and the body.
async fn encoded(form: &Form) -> Result<(HeaderValue, Bytes), Cause> {
    let bad = |why: &dyn Error| invalid(format!("the form cannot be sent: {why}"));
    // Browsers do not percent-encode the names of fields, so the encoding is switched off.
    let mut parts = multipart::Form::new().percent_encode_noop();
    for (name, value) in &form.fields {
        parts = parts.text(name.clone(), value.clone());
    }
    if let Some(FormFile { name, content_type, body }) = &form.file {
        let file = multipart::Part::text(body.clone()).file_name(name.clone());
        parts = parts.part("file", file.mime_str(content_type).map_err(|why| bad(&why))?);
    }
    let content_type = format!("multipart/form-data; boundary={}", parts.boundary());
    let content_type = content_type.parse().map_err(|why| bad(&why))?;
    // The whole body is collected first, so that the request can declare its length. S3 does not accept a form without
    // a length.
    let body: BytesMut = parts.into_stream().try_collect().await.map_err(|why| bad(&why))?;
    Ok((content_type, body.freeze()))
}

fn reply(received: Received) -> HttpReply {
    // The body is searched for an error whatever the status is, because S3 answers 200 to some operations before it
    // knows their result.
    let in_body = s3_error::parse(&received.body);
    let s3_error = in_body.or_else(|| crate::store::error_in_headers(received.status, &received.headers));
    HttpReply {
        status: received.status,
        headers: plain(&received.headers),
        body: String::from_utf8_lossy(&received.body).into_owned(),
        body_bytes: received.body_bytes,
        body_sha256: received.body_sha256,
        s3_error,
    }
}

fn plain(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}

/// A response of a server. `body` contains only the beginning of the body. `body_bytes` and `body_sha256` are the
/// length and the digest of the whole body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: u64,
    pub(crate) body_sha256: String,
}

/// Sends `request` to `target` and reads the whole answer, but keeps only the first `keep_bytes` of the body.
///
/// The path and the query come from the request's URI. The `Host` header is the target's, unless the request has its
/// own `Host` header.
pub(crate) async fn exchange(
    dialler: &Dialler,
    target: &Target,
    mut request: Request<Full<Bytes>>,
    keep_bytes: usize,
) -> Result<Received, Cause> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    *request.uri_mut() = path.parse().map_err(|why| invalid(format!("`{path}` is not a path: {why}")))?;
    if !request.headers().contains_key(HOST) {
        let host = target.host_header();
        let host = host.parse().map_err(|why| invalid(format!("host `{host}` cannot be sent: {why}")))?;
        request.headers_mut().insert(HOST, host);
    }
    let stream: Box<dyn Io> = if target.tls {
        Box::new(dialler.tls(&target.host, target.port, &target.host, &["http/1.1"]).await?)
    } else {
        Box::new(dialler.tcp(&target.host, target.port).await?)
    };
    let peer = format!("{}:{}", target.host, target.port);
    dialler.trail.enter(format!("waiting for the answer of {peer}"));
    let broken = |why: hyper::Error| broken(&why, &peer);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // hyper needs this task to drive the connection. The task's own error is not needed, because the request fails with
    // the same error.
    let driver = tokio::spawn(connection);
    let received = read(sender.send_request(request).await.map_err(broken)?, keep_bytes, dialler, &peer).await;
    drop(sender);
    driver.abort();
    received
}

async fn read(
    response: ::http::Response<hyper::body::Incoming>,
    keep_bytes: usize,
    dialler: &Dialler,
    peer: &str,
) -> Result<Received, Cause> {
    let (head, mut body) = response.into_parts();
    dialler.trail.enter(format!("reading the body of {peer}'s answer {}", head.status));
    let mut kept = Vec::new();
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut body_bytes = 0_u64;
    // If the answer declares no length, its body ends with the connection, even if the server resets the connection.
    // For example, a TLS server that gets plain HTTP sends an error answer and then resets the connection.
    let until_close = !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING);
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(_) if until_close => break,
            Err(why) => return Err(broken(&why, peer)),
        };
        digest.update(&data);
        body_bytes += data.len() as u64;
        let room = keep_bytes.saturating_sub(kept.len());
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(Received {
        status: head.status.as_u16(),
        headers: head.headers,
        body: kept,
        body_bytes,
        body_sha256: hex::encode(digest.finish()),
    })
}

/// The cause of an exchange that fails after the connection was established.
fn broken(why: &hyper::Error, peer: &str) -> Cause {
    let of_tls = |it: &(dyn Error + 'static)| it.downcast_ref().and_then(|io| tls_cause(io, peer, true));
    if let Some(cause) = sources(why).find_map(of_tls) {
        return cause;
    }
    let detail = if why.is_parse() {
        format!("{peer}: the answer is not HTTP: {why}")
    } else {
        format!("{peer}: the connection ended before the answer was whole: {}", in_full(why))
    };
    Cause::Connect { fault: ConnectFault::Reset, detail }
}
