//! S3 through the SDK: the request that leaves, and typed causes and errors that come back. Real stores are asked by
//! scenarios.

use std::collections::BTreeMap;

use parallax_vocab::answer::{PresignReply, S3Reply};
use parallax_vocab::question::{PresignQuestion, S3Access, S3Operation, S3Question};
use parallax_vocab::{Answer, Probe, Reply, Secret, View};
use tokio::io::AsyncWriteExt as _;

use super::names::NameServer;
use super::server::{self, Authority};
use super::{ask, kind, view};

fn access(endpoint: &str) -> S3Access {
    S3Access {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("secret"),
        session_token: None,
    }
}

fn list(endpoint: &str) -> Probe {
    let operation = S3Operation::List { bucket: "photos".to_owned(), prefix: "a".to_owned() };
    Probe::S3(S3Question { access: access(endpoint), operation, headers: BTreeMap::new() })
}

fn s3_reply(answer: &Answer) -> &S3Reply {
    match &answer.reply {
        Some(Reply::S3(reply)) => reply,
        _ => panic!("no S3 reply: {answer:?}"),
    }
}

/// A server that gives one answer, whatever it is asked.
async fn store(status: &'static str, body: &'static str) -> std::net::SocketAddr {
    server::tcp(move |mut stream| async move {
        let head = server::head(&mut stream).await;
        let signed = head.contains("\r\nauthorization: AWS4-HMAC-SHA256 Credential=key/");
        assert!(signed && head.contains(" /photos") && !head.contains("x-amz-checksum"), "{head}");
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nx-amz-request-id: R1\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn answers_and_refusals_keep_status_code_and_request_id() {
    let listing = "<ListBucketResult><Contents><Key>a.txt</Key></Contents></ListBucketResult>";
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
    let table = [
        ("200 OK", listing, 200, None, vec!["a.txt".to_owned()]),
        ("403 Forbidden", denied, 403, Some("AccessDenied"), vec![]),
        ("503 Service Unavailable", "<html>a proxy</html>", 503, None, vec![]),
        ("301 Moved Permanently", "", 301, None, vec![]),
    ];
    for (status_line, body, status, code, keys) in table {
        let at = store(status_line, body).await;
        let answer = ask(View::default(), list(&format!("http://{at}"))).await;
        let reply = s3_reply(&answer);
        assert_eq!(reply.status, status);
        assert_eq!(reply.error.as_ref().map(|error| error.code.as_str()), code);
        assert_eq!(reply.keys, keys);
        assert_eq!(reply.request_id.as_deref(), Some("R1"));
        assert_eq!(answer.evidence.peer, Some(at));
    }
}

#[tokio::test]
async fn a_failure_below_http_keeps_its_type() {
    let names = NameServer::start().await;
    let ours = Authority::new("our CA");
    let at = server::tls(ours.issue(&["minio.example.com"], -3, -1), server::echo).await;
    let view = view(&names, &[ours.pem], 443, at);
    let table = [
        ("https://gone.example.com", "dns no-such-name"),
        ("https://minio.example.com", "tls expired"),
        ("https://loopback.example.com:1", "connect refused"),
        ("minio.example.com", "client"),
    ];
    for (endpoint, expected) in table {
        let answer = ask(view.clone(), list(endpoint)).await;
        assert_eq!(kind(&answer), expected, "{endpoint}: {answer:?}");
        assert_eq!(answer.evidence.chain.len(), if expected.starts_with("tls") { 2 } else { 0 });
    }
}

async fn presign(expires_s: u64, signed_at_s: i64, query: &[(&str, &str)]) -> PresignReply {
    let query: BTreeMap<_, _> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let question = PresignQuestion {
        access: access("https://minio.example.com"),
        method: "PUT".to_owned(),
        bucket: "photos".to_owned(),
        key: "a b/ü.txt".to_owned(),
        expires_s,
        signed_at_s,
        query,
    };
    let answer = ask(View::default(), Probe::Presign(question)).await;
    match answer.reply {
        Some(Reply::Presign(reply)) => reply,
        _ => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn urls_are_signed_offline_by_either_signer() {
    for (expires_s, query) in [(300, &[][..]), (604_801, &[]), (300, &[("versionId", "a/b c")])] {
        let reply = presign(expires_s, 0, query).await;
        assert!(reply.url.starts_with("https://minio.example.com/photos/a%20b/%C3%BC.txt?"), "{}", reply.url);
        assert!(reply.url.contains(&format!("X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host&X-Amz-Signature=")));
        assert!(!reply.url.to_lowercase().contains("checksum"), "{}", reply.url);
        assert_eq!((reply.method.as_str(), reply.headers.len()), ("PUT", 0));
        assert_eq!(reply.url.contains("versionId=a%2Fb%20c"), !query.is_empty());
    }
}

#[tokio::test]
async fn the_signing_instant_can_be_shifted() {
    let date = |url: &str| url.split("X-Amz-Date=").nth(1).unwrap().get(..8).unwrap().to_owned();
    let now = date(&presign(60, 0, &[]).await.url);
    let past = date(&presign(60, -2 * 86_400, &[]).await.url);
    let future = date(&presign(60, 2 * 86_400, &[]).await.url);
    assert!(past < now && now < future, "{past} {now} {future}");
}

#[tokio::test]
async fn what_cannot_be_presigned_is_the_clients_fault() {
    let question = PresignQuestion {
        access: access("https://minio.example.com"),
        method: "POST".to_owned(),
        bucket: "b".to_owned(),
        key: "k".to_owned(),
        expires_s: 60,
        signed_at_s: 0,
        query: BTreeMap::new(),
    };
    assert_eq!(kind(&ask(View::default(), Probe::Presign(question)).await), "client");
}
