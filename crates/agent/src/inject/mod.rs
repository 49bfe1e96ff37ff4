//! `inject`: a small mutating webhook that gives pods a web identity, like AWS's pod identity webhook. It also adds
//! what AWS's webhook does not add: the endpoints of S3 and STS, and a certificate authority.
//!
//! The webhook reads the pod's ServiceAccount from the apiserver for each request, so a change of an annotation has
//! an effect at once. If this read fails, the webhook answers 500. Then the `failurePolicy` of the webhook's
//! configuration decides whether the pod is created.

mod account;
mod patch;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The largest size of an `AdmissionReview`, in bytes. A review contains one pod, which has at most the 1.5 MiB that
/// etcd accepts.
const REVIEW_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// The time limit for a TLS handshake, and for the head of an HTTP request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The command-line arguments of the webhook.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The address and port to listen on, for example `0.0.0.0:8443`
    #[arg(long, default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// The folder with the webhook's certificate `tls.crt` and its key `tls.key`
    #[arg(long)]
    certificate: PathBuf,
}

/// Serves admission requests over HTTPS until the process gets a signal to stop.
pub(crate) async fn serve(arguments: &Arguments) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(arguments)?));
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("failed to listen at {}", arguments.listen))?;
    tokio::select! {
        () = accept(&listener, &acceptor) => Ok(()),
        stopped = crate::hold::until_signal() => stopped,
    }
}

fn tls(arguments: &Arguments) -> Result<ServerConfig> {
    let path = |name: &str| arguments.certificate.join(name);
    let chain = CertificateDer::pem_file_iter(path("tls.crt")).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| format!("failed to read {}", path("tls.crt").display()))?;
    let key = PrivateKeyDer::from_pem_file(path("tls.key"));
    let key = key.with_context(|| format!("failed to read {}", path("tls.key").display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    config.with_no_client_auth().with_single_cert(chain, key).context("certificate and key do not belong together")
}

async fn accept(listener: &TcpListener, acceptor: &TlsAcceptor) {
    loop {
        let (client, _) = parallax_probe::accept(listener, crate::cannot_accept).await;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(why) = connection(client, &acceptor).await {
                crate::log_error(&format!("a connection ended: {why:#}"));
            }
        });
    }
}

async fn connection(client: TcpStream, acceptor: &TlsAcceptor) -> Result<()> {
    let stream =
        tokio::time::timeout(REQUEST_LIMIT, acceptor.accept(client)).await.context("no handshake in time")??;
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_LIMIT);
    Ok(http.serve_connection(TokioIo::new(stream), service_fn(respond)).await?)
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok".to_owned()),
        (&Method::POST, "/mutate") => match review(request).await {
            Ok(review) => (StatusCode::OK, review.to_string()),
            Err(why) => {
                crate::log_error(&format!("{why:#}"));
                (StatusCode::INTERNAL_SERVER_ERROR, format!("{why:#}"))
            }
        },
        _ => (StatusCode::NOT_FOUND, "only POST /mutate and GET /healthz exist".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    if status == StatusCode::OK {
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

/// Answers one `AdmissionReview` request of the apiserver with the patch for a pod.
async fn review(request: Request<Incoming>) -> Result<Value> {
    let body = Limited::new(request.into_body(), REVIEW_LIMIT_BYTES).collect().await;
    let body = body.map_err(|why| anyhow::anyhow!("failed to read the review: {why}"))?.to_bytes();
    let review: Value = serde_json::from_slice(&body).context("the review is not JSON")?;
    ensure!(review["kind"] == "AdmissionReview", "this is a {}, not an AdmissionReview", review["kind"]);
    let request = &review["request"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (uid, namespace) =
        text(&request["uid"]).zip(text(&request["namespace"])).context("the review lacks uid or namespace")?;
    let pod = &request["object"];
    let name = text(&pod["spec"]["serviceAccountName"]).unwrap_or_else(|| "default".to_owned());
    let annotations = account::annotations(&namespace, &name).await?;
    Ok(answer(&review["apiVersion"], &uid, &patch::of(pod, &annotations)))
}

fn answer(api_version: &Value, uid: &str, patch: &[Value]) -> Value {
    let mut response = json!({ "uid": uid, "allowed": true });
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(Value::from(patch).to_string()));
    }
    json!({ "apiVersion": api_version, "kind": "AdmissionReview", "response": response })
}
