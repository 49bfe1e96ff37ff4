//! How calls to the apiserver end: each is bounded, and tried again for a moment where that is safe.
//!
//! The client's own policy is switched off: it sleeps through a steady 503 for minutes, and gives up at once where a
//! connection is reset. Watches, followed logs and exec sessions have deadlines of their own; only their beginning is
//! this module's.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_TYPE, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;

use parallax_record::in_full;

/// A call that is no stream has ended by then, its body included: nothing that is asked for takes the apiserver a second.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(30);
/// The pauses before a call is made again. Long enough for the pause that the apiserver asks for where it has too much to
/// do (one second), and short beside the deadline of any step.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(400), Duration::from_secs(1)];

/// The apiserver did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the apiserver has not answered {method} {path} within {} s", within.as_secs())]
struct Unanswered {
    method: Method,
    path: String,
    within: Duration,
}

/// Whether an error says nothing about what was asked for: no answer came, or the apiserver had too much to do or was
/// itself out of order. Where a webhook is to blame the apiserver says 500 too, but that is the cluster's own doing.
pub fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            let own = status.code == 429 || (500..600).contains(&status.code);
            own && !status.message.contains("webhook")
        }
        kube::Error::Service(_)
        | kube::Error::HyperError(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::UpgradeConnection(_) => true,
        _ => false,
    }
}

/// A client whose calls are bounded.
pub(super) fn bounded(client: Client, within: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Bounded { client, within }, namespace)
}

/// The service between the client that the harness uses and the one that holds the connections.
struct Bounded {
    client: Client,
    within: Duration,
}

impl tower_service::Service<Request<Body>> for Bounded {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        // The inner client waits for its own readiness when it sends.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, within) = (self.client.clone(), self.within);
        Box::pin(async move { send(&client, request, within).await })
    }
}

/// Sends a request, and sends it again where it failed in a way that may pass and where twice is the same as once.
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
        // The apiserver gives no notice when it can be reached again.
        tokio::time::sleep(*pause).await;
        next = Some(copy);
    }
}

/// One try. The body of a call that is no stream is read here, so that it is within the bound too.
async fn once(client: &Client, request: Request<Body>, call: &Call) -> Result<Response<Body>, kube::Error> {
    let response = client.send(request).await?;
    if call.streams {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, Body::from(body.collect_bytes().await?)))
}

/// The same request once more, where its body is at hand.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// What there is to know of a request before it is sent.
struct Call {
    method: Method,
    path: String,
    within: Duration,
    /// Its answer comes bit by bit: a log, a watch, or a connection that is upgraded.
    streams: bool,
    /// Its answer may begin late: a container that is followed may be silent for long.
    silent: bool,
    /// To do it twice is the same as to do it once.
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

    /// Why the call is to be made again, if it is.
    fn again(&self, sent: &Result<Response<Body>, kube::Error>) -> Option<String> {
        match sent {
            Ok(response) => {
                let status = response.status();
                let busy = status == StatusCode::TOO_MANY_REQUESTS;
                let out = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
                (busy || (out && self.repeatable)).then(|| status.to_string())
            }
            // Where there was no connection nothing was sent.
            Err(error) if never_sent(error) || (self.repeatable && is_transient(error)) => Some(in_full(error)),
            Err(_) => None,
        }
    }
}

fn never_sent(error: &kube::Error) -> bool {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = source {
        if error.downcast_ref().is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Does, apiserver, status};

    /// A client whose first requests come to this, and all others to an answer; and how many were made.
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
    async fn what_may_pass_is_asked_again_where_twice_is_the_same_as_once() {
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
    async fn what_would_be_done_twice_is_not_asked_again() {
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
            // Nothing was done of what the apiserver had no time for.
            let (client, asked, _server) = first(vec![status(429, "slower")]).await;
            ask(&client, method, kind).await.expect("the second time");
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn a_steady_refusal_ends_within_seconds() {
        let (client, asked, _server) = first(vec![Does::Reset; 100]).await;
        let began = Instant::now();
        let error = get(&client).await.expect_err("it is always reset");
        assert!(is_transient(&error), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), PAUSES.len() + 1);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_call_that_nobody_answers_ends() {
        for does in [Does::Nothing, Does::Begin("{".to_owned())] {
            let (client, _server) = apiserver(Duration::from_millis(200), move |_, _| does.clone()).await;
            let error = get(&client).await.expect_err("nobody answers");
            assert!(is_transient(&error) && in_full(&error).contains("has not answered GET"), "{error:?}");
        }
    }

    #[test]
    fn what_the_cluster_itself_does_wrong_is_no_passing_trouble() {
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
