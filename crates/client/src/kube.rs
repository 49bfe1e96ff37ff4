//! The client `kube-rs`: sends requests with the crate kube-rs and a kubeconfig without CA data. kube-rs then trusts
//! the system's certificates. In the containers of the clients, the path of the file with these certificates is in
//! `SSL_CERT_FILE`.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use reqwest::Url;
use serde_json::json;

use crate::outcome::{Outcome, message};
use crate::task::Http;

/// Sends one HTTP request to an apiserver through kube-rs. The task may contain a bearer token, but no other header and
/// no body.
pub(crate) async fn get(task: Http) -> Outcome {
    match exchange(task).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::failed(message(error.as_ref())),
    }
}

async fn exchange(task: Http) -> anyhow::Result<Outcome> {
    let mut server: Url = task.url.parse()?;
    let query = server.query().map_or_else(String::new, |query| format!("?{query}"));
    let path = format!("{}{query}", server.path());
    server.set_path("");
    server.set_query(None);
    let bearer = task.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = bearer.and_then(|(_, value)| value.strip_prefix("Bearer "));
    anyhow::ensure!(
        task.headers.len() == usize::from(token.is_some()) && task.host.is_none() && task.body.is_none(),
        "this client sends a bearer token, no other header, and no body"
    );
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{ "name": "it", "cluster": { "server": server.as_str() } }],
        "users": [{ "name": "it", "user": { "token": token } }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        "current-context": "it",
    }))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let request = Request::builder().method(task.method.parse::<Method>()?).uri(path).body(Body::empty())?;
    let answer = Client::try_from(config)?.send(request).await?;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let status = answer.status().as_u16();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = answer.into_body().collect().await?.to_bytes();
    let body = Some(String::from_utf8_lossy(&body).into_owned());
    Ok(Outcome { status: Some(status), headers, body, ..Outcome::default() })
}
