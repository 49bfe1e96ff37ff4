//! Time limits and retries for calls to the apiserver. Each call has a time limit. If a call fails temporarily and can
//! be repeated safely, it is retried a few times.
//!
//! The retry policy of the library kube is switched off: it retries a permanent 503 for minutes, and gives up at once
//! if a connection is reset. Watches, followed logs and exec sessions have time limits elsewhere; this module only
//! handles their start.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_TYPE, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use parallax_vocab::sources;
use tokio::time::Instant;

use parallax_record::in_full;

/// The time limit for a call whose answer is not a stream, including the body of the answer. Normally, the apiserver
/// answers every call of the harness within a second, so the limit is far above the normal time.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(30);
/// The pauses before the retries of a call. Together they are longer than the pause that an overloaded apiserver
/// requests (one second), and much shorter than the deadline of any step.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(400), Duration::from_secs(1)];

/// The error that the apiserver did not answer a call within its time limit.
#[derive(Debug, thiserror::Error)]
#[error("the apiserver has not answered {method} {path} within {} s", within.as_secs())]
struct Unanswered {
    method: Method,
    path: String,
    within: Duration,
}

/// Returns the apiserver's message about a failed request, without the other fields of its status. If there is no
/// message, returns the error with its sources.
pub fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => in_full(other),
    }
}

/// Whether an error is transient, which means that it says nothing about the requested object: the apiserver did not
/// answer, was overloaded, or failed itself. The apiserver also answers 500 if a webhook fails. That error is not
/// transient, because the webhook belongs to the system under test.
pub fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            let own = status.code == 429 || (500..600).contains(&status.code);
            own && !status.message.contains("webhook")
        }
        kube::Error::Service(error) => !rejects_peer(error.as_ref()),
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) | kube::Error::UpgradeConnection(_) => true,
        _ => false,
    }
}

/// Whether the TLS handshake failed for a permanent reason, such as a certificate of another authority. k3s sends the
/// alert `internal_error` while it is still creating its certificate, so a failure with this alert is temporary.
fn rejects_peer(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return !matches!(tls, rustls::Error::AlertReceived(rustls::AlertDescription::InternalError));
        }
        // `source` of an `io::Error` skips the error that it wraps and returns the source of the wrapped error.
        // `get_ref` returns the wrapped error itself.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |it| Some(it as &(dyn StdError + 'static)));
    }
    false
}

/// Returns a client whose calls have the time limit `within` and are retried if this is safe.
pub(super) fn bounded(client: Client, within: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Bounded { client, within }, namespace)
}

/// The service of the client that [`bounded`] returns. It sends each request through the inner client, which owns the
/// connections.
struct Bounded {
    client: Client,
    within: Duration,
}

impl tower_service::Service<Request<Body>> for Bounded {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        // This service is always ready, because the inner client itself waits until it can send.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, within) = (self.client.clone(), self.within);
        Box::pin(async move { send(&client, request, within).await })
    }
}

/// Sends a request. If the failure may be temporary and a repetition is safe, sends the request again.
async fn send(client: &Client, request: Request<Body>, within: Duration) -> Result<Response<Body>, kube::Error> {
    let call = Call::of(&request, within);
    let deadline = Instant::now() + within;
    let mut next = Some(request);
    let mut pauses = PAUSES.iter();
    loop {
        let request = next.take().expect("there is a request for each turn");
        let copy = copy(&request);
        let sent = call.bound(deadline, once(client, request, &call)).await;
        let Some(why) = call.again(&sent) else { return sent };
        let (Some(pause), Some(copy)) = (pauses.next(), copy) else { return sent };
        if Instant::now() + *pause >= deadline {
            return sent;
        }
        tracing::debug!(method = %call.method, path = call.path, %why, "the apiserver is asked again");
        // No event reports that the apiserver can be reached again, so the code waits for a fixed pause.
        tokio::time::sleep(*pause).await;
        next = Some(copy);
    }
}

/// Sends the request once. If the answer is not a stream, also reads the body, so that the time limit includes the
/// body.
async fn once(client: &Client, request: Request<Body>, call: &Call) -> Result<Response<Body>, kube::Error> {
    let response = client.send(request).await?;
    if call.streams {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, Body::from(body.collect_bytes().await?)))
}

/// Copies a request. Returns `None` if the body of the request is a stream, which cannot be copied.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// The properties of a request that decide its time limit and its retries.
struct Call {
    method: Method,
    path: String,
    within: Duration,
    /// Whether the answer is a stream: a log, a watch, or an upgraded connection.
    streams: bool,
    /// Whether the answer may begin late, so that there is no time limit until its beginning. For example, a container
    /// whose log is followed may write nothing for a long time.
    silent: bool,
    /// Whether the request may be sent twice, because the result is the same as after one request.
    repeatable: bool,
}

impl Call {
    fn of(request: &Request<Body>, within: Duration) -> Self {
        let path = request.uri().path().to_owned();
        let asks = |name: &str| {
            let query = request.uri().query().unwrap_or_default();
            query.split('&').any(|it| it.split_once('=').is_some_and(|(key, value)| key == name && value == "true"))
        };
        let upgrades = request.headers().contains_key(UPGRADE);
        let kind = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let states = kind.contains("apply-patch") || kind.contains("merge-patch");
        Self {
            streams: upgrades || asks("watch") || path.ends_with("/log"),
            silent: upgrades || asks("follow"),
            repeatable: request.method() == Method::GET && !upgrades || request.method() == Method::PATCH && states,
            method: request.method().clone(),
            within,
            path,
        }
    }

    async fn bound<T>(
        &self,
        deadline: Instant,
        sent: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        if self.silent {
            return sent.await;
        }
        tokio::time::timeout_at(deadline, sent).await.unwrap_or_else(|_| {
            let (method, path, within) = (self.method.clone(), self.path.clone(), self.within);
            Err(kube::Error::Service(Box::new(Unanswered { method, path, within })))
        })
    }

    /// Returns the reason to retry the call. `None` if the call succeeded or must not be retried.
    fn again(&self, sent: &Result<Response<Body>, kube::Error>) -> Option<String> {
        match sent {
            Ok(response) => {
                let status = response.status();
                let busy = status == StatusCode::TOO_MANY_REQUESTS;
                let out = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
                (busy || (out && self.repeatable)).then(|| status.to_string())
            }
            // If no connection was made, the request was not sent. Then any request can be sent again safely.
            Err(error) if is_transient(error) && (self.repeatable || never_sent(error)) => Some(in_full(error)),
            Err(_) => None,
        }
    }
}

fn never_sent(error: &kube::Error) -> bool {
    sources(error).any(|it| it.downcast_ref().is_some_and(hyper_util::client::legacy::Error::is_connect))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Does, apiserver, status};

    /// Starts a fake apiserver, and returns a client for it and a counter of its requests. The server handles the first
    /// requests as `does` says, in order, and answers all later requests with 200. It stops when the returned `JoinSet`
    /// is dropped.
    async fn first(does: Vec<Does>) -> (Client, Arc<AtomicUsize>, tokio::task::JoinSet<()>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let (client, server) = apiserver(Duration::from_secs(5), move |number, _| {
            counted.store(number, Ordering::Relaxed);
            does.get(number - 1).cloned().unwrap_or(Does::Answer(200, "{}".to_owned()))
        })
        .await;
        (client, asked, server)
    }

    async fn ask(client: &Client, method: Method, kind: &str) -> Result<String, kube::Error> {
        let request = Request::builder().method(method).uri("/api/v1/namespaces/n/configmaps/a");
        client.request_text(request.header(CONTENT_TYPE, kind).body(Vec::new()).expect("a request")).await
    }

    async fn get(client: &Client) -> Result<String, kube::Error> {
        ask(client, Method::GET, "application/json").await
    }

    #[tokio::test]
    async fn idempotent_requests_are_retried_after_transient_failures() {
        for (does, tries) in [
            (vec![], 1),
            (vec![Does::Reset, Does::Reset], 3),
            (vec![status(429, "slower"), status(503, "not yet")], 3),
            (vec![status(500, "etcdserver: request timed out")], 1),
            (vec![status(404, "there is none")], 1),
        ] {
            let (client, asked, _server) = first(does.clone()).await;
            let got = get(&client).await;
            assert_eq!(asked.load(Ordering::Relaxed), tries, "{does:?}: {got:?}");
            assert_eq!(got.is_ok(), tries > 1 || does.is_empty(), "{does:?}: {got:?}");
        }
        for states in ["application/apply-patch+yaml", "application/merge-patch+json"] {
            let (client, asked, _server) = first(vec![Does::Reset]).await;
            ask(&client, Method::PATCH, states).await.expect("it says the same twice");
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn requests_that_are_not_idempotent_are_not_retried() {
        for (method, kind) in [
            (Method::POST, "application/json"),
            (Method::DELETE, "application/json"),
            (Method::PATCH, "application/json-patch+json"),
        ] {
            for does in [Does::Reset, status(503, "not yet")] {
                let (client, asked, _server) = first(vec![does]).await;
                let error = ask(&client, method.clone(), kind).await.expect_err("it may have been done");
                assert!(is_transient(&error), "{error:?}");
                assert_eq!(asked.load(Ordering::Relaxed), 1, "{method} {kind}");
            }
            // An apiserver that answers 429 has not executed the request. Therefore every request can be sent again.
            let (client, asked, _server) = first(vec![status(429, "slower")]).await;
            ask(&client, method, kind).await.expect("the second time");
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn retries_of_a_constant_failure_end_within_seconds() {
        let (client, asked, _server) = first(vec![Does::Reset; 100]).await;
        let began = Instant::now();
        let error = get(&client).await.expect_err("it is always reset");
        assert!(is_transient(&error), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), PAUSES.len() + 1);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_call_without_an_answer_ends() {
        for does in [Does::Nothing, Does::Begin("{".to_owned())] {
            let (client, _server) = apiserver(Duration::from_millis(200), move |_, _| does.clone()).await;
            let error = get(&client).await.expect_err("nobody answers");
            assert!(is_transient(&error) && in_full(&error).contains("has not answered GET"), "{error:?}");
        }
    }

    #[test]
    fn a_peer_that_tls_rejects_is_not_asked_again() {
        use rustls::{AlertDescription, CertificateError};
        use std::io;

        let in_io =
            |tls: rustls::Error| kube::Error::Service(Box::new(io::Error::new(io::ErrorKind::InvalidData, tls)));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for (error, transient) in [
            (in_io(unknown.clone()), false),
            (kube::Error::Service(Box::new(unknown)), false),
            (in_io(rustls::Error::AlertReceived(AlertDescription::UnknownCA)), false),
            (in_io(rustls::Error::AlertReceived(AlertDescription::InternalError)), true),
            (kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::ConnectionReset))), true),
            (kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof))), true),
        ] {
            assert_eq!(is_transient(&error), transient, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_not_asked_again() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (_, asked, mut server) = first(vec![]).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("bound");
        let counted = Arc::clone(&asked);
        server.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                counted.fetch_add(1, Ordering::Relaxed);
                drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            }
        });
        let mut config = kube::Config::new(format!("https://{at}").parse().expect("a URL"));
        config.default_retry = false;
        config.accept_invalid_certs = true;
        let client = bounded(Client::try_from(config).expect("a client"), Duration::from_secs(5));
        let error = get(&client).await.expect_err("no TLS");
        assert!(!is_transient(&error), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn failures_of_the_cluster_itself_are_not_transient() {
        let error = |code: u16, message: &str| {
            let status = json!({ "status": "Failure", "message": message, "reason": "X", "code": code });
            kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")))
        };
        for (code, message, transient) in [
            (500, "etcdserver: request timed out", true),
            (503, "apiserver is shutting down", true),
            (429, "too many requests", true),
            (500, "Internal error occurred: failed calling webhook \"w\": connection refused", false),
            (403, "forbidden", false),
            (404, "not found", false),
            (422, "invalid", false),
        ] {
            assert_eq!(is_transient(&error(code, message)), transient, "{code} {message}");
        }
    }
}
