//! The HTTP server. It sends the web page of the application to a browser, and answers the requests of the page's
//! script.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rusqlite::Connection;
use serde_json::json;
use tokio::net::TcpListener;
use url::form_urlencoded;

use crate::database;
use crate::store::Store;

/// The largest length of the name of an uploaded file, in bytes.
const NAME_LIMIT_BYTES: usize = 200;
const PAGE: &str = include_str!("page.html");

/// The state that all requests share.
pub(crate) struct Application {
    pub(crate) store: Store,
    pub(crate) database: Mutex<Connection>,
}

/// The answer to a request: the status, the media type and the body.
type Answer = (StatusCode, &'static str, String);

/// Serves requests. Returns only if no further connection can be accepted.
pub(crate) async fn serve(listener: TcpListener, application: Arc<Application>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("no further connection can be accepted")?;
        let application = Arc::clone(&application);
        tokio::spawn(async move {
            let respond = service_fn(move |request| respond(Arc::clone(&application), request));
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
            if let Err(error) = served.await {
                log(&format!("a connection ended: {error}"));
            }
        });
    }
}

async fn respond(
    application: Arc<Application>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let (status, kind, body) =
        application.answer(request.method(), path, request.uri().query()).await.unwrap_or_else(|error| {
            log(&format!("{} {path}: {error:#}", request.method()));
            json_answer(StatusCode::BAD_GATEWAY, &json!({ "error": format!("{error:#}") }))
        });
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

impl Application {
    async fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> anyhow::Result<Answer> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (&Method::GET, [""]) => Ok((StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned())),
            (&Method::GET, ["healthz"]) => Ok((StatusCode::OK, "text/plain", "ok".to_owned())),
            (&Method::GET, ["uploads"]) => {
                let all = self.with(|database| database::all(database))?;
                Ok(json_answer(StatusCode::OK, &json!(all)))
            }
            (&Method::POST, ["uploads"]) => match name(query.unwrap_or_default()) {
                Some(name) => {
                    let upload = self.with(|database| database::add(database, &name))?;
                    let url = self.store.link(&upload.key).await?;
                    let told = json!({ "number": upload.number, "key": upload.key, "url": url });
                    Ok(json_answer(StatusCode::CREATED, &told))
                }
                None => Ok(refused("name the file by the query parameter `name`, without `/`")),
            },
            (&Method::POST, ["uploads", number, "done"]) => {
                let number = number.parse().unwrap_or_default();
                let Some(key) = self.with(|database| database::key(database, number))? else {
                    return Ok(refused("there is no upload with this number"));
                };
                let Some(bytes) = self.store.size(&key).await? else {
                    return Ok(refused("the store does not have the object"));
                };
                self.with(|database| database::done(database, number, bytes))?;
                Ok(json_answer(StatusCode::OK, &json!({ "number": number, "key": key, "bytes": bytes })))
            }
            _ => Ok(json_answer(StatusCode::NOT_FOUND, &json!({ "error": "there is no such page" }))),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        work(&mut self.database.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the file name in the query parameter `name`. `None` if the name cannot be the last segment of an object's
/// key.
fn name(query: &str) -> Option<String> {
    let (_, name) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "name")?;
    let fits = !name.is_empty() && name.len() <= NAME_LIMIT_BYTES && !name.contains(['/', '\\']);
    fits.then(|| name.into_owned())
}

fn refused(why: &str) -> Answer {
    json_answer(StatusCode::CONFLICT, &json!({ "error": why }))
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Answer {
    (status, "application/json", format!("{body}\n"))
}

/// Writes a line to the log of the container.
pub(crate) fn log(line: &str) {
    // If standard error is closed, the line cannot be written. There is no other place to report this error, so it is
    // ignored.
    let _ = writeln!(std::io::stderr(), "parallax-uploads: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_key() {
        let long = format!("name={}", "a".repeat(NAME_LIMIT_BYTES + 1));
        for (query, expected) in [
            ("name=a%20b%2Bc.txt", Some("a b+c.txt")),
            ("x=1&name=%C3%A4.txt", Some("ä.txt")),
            ("name=", None),
            ("name=a%2Fb", None),
            ("", None),
            (long.as_str(), None),
        ] {
            assert_eq!(name(query).as_deref(), expected, "{query}");
        }
    }
}
