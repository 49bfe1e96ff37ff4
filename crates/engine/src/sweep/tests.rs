//! Tests of a sweep with an engine whose searches fail.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;

use super::*;
use crate::find::Endpoint;

/// Starts a fake engine that answers, but fails each search by label with the HTTP status `status`.
fn broken(socket: &Path, status: u16) {
    let listener = UnixListener::bind(socket).expect("the socket is free");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut first = String::new();
                while stream.read_line(&mut first).await.is_ok_and(|bytes| bytes > 0) {
                    let mut line = String::from("header");
                    while !line.trim().is_empty() {
                        line.clear();
                        stream.read_line(&mut line).await.expect("a request ends with an empty line");
                    }
                    let path = first.split(' ').nth(1).unwrap_or_default();
                    let (code, body) = match path.split('?').next().unwrap_or_default() {
                        it if it.ends_with("/_ping") => (200, "OK"),
                        it if it.ends_with("/info") => (200, "{}"),
                        _ => (status, r#"{"message":"its database is locked"}"#),
                    };
                    let answer = format!(
                        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.expect("the client reads its answer");
                    first.clear();
                }
            });
        }
    });
}

#[tokio::test]
async fn a_search_that_failed_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("engine.sock");
    broken(&socket, 500);
    let endpoint = Endpoint::given(format!("unix://{}", socket.display()));
    let engine = Engine::connect(&endpoint).await.expect("it answers");
    // The ledger is empty, so the failed search by label is the only way to find an object. The sweep must report that
    // it is unsure.
    let swept = engine.sweep(&RunId::new("r1"), &[], Unfinished::None).await;
    assert!(swept.removed.is_empty() && swept.remaining.is_empty(), "{swept:?}");
    assert!(!swept.is_clean(), "nobody knows what is left");
    let commands = swept.commands();
    assert!(matches!(commands.as_slice(), [only] if only.starts_with("parallax gc  # the search")), "{commands:?}");
    assert!(commands[0].contains("its database is locked"), "{commands:?}");
    // With an entry in the ledger, the sweep must also name the object of that entry, which may still exist.
    let entry = Entry { kind: Kind::Container, name: "node".to_owned() };
    let swept = engine.sweep(&RunId::new("r1"), &[entry], Unfinished::None).await;
    assert_eq!(swept.commands().first().map(String::as_str), Some("docker rm -fv node"));
    assert!(!swept.is_clean());
    assert!(Swept::default().is_clean());
}
