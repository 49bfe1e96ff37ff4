//! A fake apiserver for tests. The test decides how the server handles each request.

use std::time::Duration;

use kube::Client;
use kube::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::transport;

/// What the fake apiserver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Reset the connection.
    Reset,
    /// Send this status and body, then close the connection.
    Answer(u16, String),
    /// Send the first part of a body, and then keep the answer open without an end.
    Begin(String),
    /// Keep the connection open and send nothing.
    Nothing,
}

/// Starts a fake apiserver, and returns a client for it. `within` is the time limit of each call of the client.
/// `script` decides what the server does with a request. The arguments of `script` are the number of the request (the
/// first is 1) and the first line of the request. The server stops when the returned `JoinSet` is dropped.
pub(crate) async fn apiserver(
    within: Duration,
    script: impl Fn(usize, &str) -> Does + Send + Sync + 'static,
) -> (Client, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|it| it == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            number += 1;
            let does = script(number, &line);
            connections.spawn(async move {
                match does {
                    Does::Reset => stream.set_zero_linger().unwrap(),
                    Does::Answer(status, body) => {
                        let head = format!(
                            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        stream.write_all(head.as_bytes()).await.unwrap();
                    }
                    Does::Begin(body) => {
                        let head = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
                        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                        std::future::pending::<()>().await;
                    }
                    Does::Nothing => std::future::pending().await,
                }
            });
        }
    });
    let mut config = Config::new(format!("http://{at}").parse().unwrap());
    config.default_retry = false;
    (transport::bounded(Client::try_from(config).unwrap(), within), tasks)
}

/// Returns an answer whose body is a Kubernetes `Status` object with this code and message.
pub(crate) fn status(code: u16, message: &str) -> Does {
    let reason = if code == 404 { "NotFound" } else { "X" };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    Does::Answer(code, body.to_string())
}
