//! The client `reqwest`, configured to trust only the certificates in one file. The path of the file is in
//! `SSL_CERT_FILE`. reqwest itself ignores this variable, so this module reads the file.

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method};

use crate::outcome::{Outcome, message};
use crate::task::Http;

/// Sends one HTTP request with reqwest.
pub(crate) async fn open(task: Http) -> Outcome {
    match exchange(task).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::failed(message(error.as_ref())),
    }
}

async fn exchange(task: Http) -> anyhow::Result<Outcome> {
    let bundle = std::fs::read(std::env::var("SSL_CERT_FILE")?)?;
    let authorities = Certificate::from_pem_bundle(&bundle)?;
    let client = Client::builder().redirect(Policy::none()).no_proxy().tls_certs_only(authorities).build()?;
    let mut request = client.request(task.method.parse::<Method>()?, &task.url);
    if let Some(host) = &task.host {
        request = request.header("host", host);
    }
    for (name, value) in &task.headers {
        request = request.header(name, value);
    }
    if let Some(body) = task.body {
        request = request.body(body);
    }
    let answer = request.send().await?;
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Outcome {
        status: Some(answer.status().as_u16()),
        headers: answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: Some(answer.text().await?),
        ..Outcome::default()
    })
}
