//! Tests of S3 requests through the SDK: which request the probe sends, and which causes and errors it returns. The
//! servers here only imitate a store; scenarios test real stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use parallax_probe::contents;
use parallax_vocab::answer::{PresignReply, S3Reply};
use parallax_vocab::question::{Addressing, PostPolicy, PresignQuestion, S3Access, S3Operation, S3Question};
use parallax_vocab::{Answer, Cause, Probe, Reply, Secret, View};
use time::macros::format_description;
use tokio::io::AsyncWriteExt as _;

use super::names::NameServer;
use super::server::{self, Authority};
use super::{ask, get, kind, view};

fn access(endpoint: &str) -> S3Access {
    S3Access {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("secret"),
        session_token: None,
        addressing: Addressing::Path,
    }
}

fn list(endpoint: &str) -> Probe {
    let operation = S3Operation::List { bucket: "photos".to_owned(), prefix: "a".to_owned() };
    Probe::S3(S3Question { access: access(endpoint), operation, headers: BTreeMap::new() })
}

fn s3_reply(answer: &Answer) -> &S3Reply {
    match answer.reply() {
        Some(Reply::S3(reply)) => reply,
        _ => panic!("no S3 reply: {answer:?}"),
    }
}

/// Starts a server that gives the same answer to every request, and checks that each request is signed.
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

/// Starts a store. `answer` computes the body of each answer from the first line of the request. Returns the store's
/// endpoint.
async fn answering(answer: fn(&str) -> String) -> String {
    let at = server::tcp(move |mut stream| async move {
        let head = server::head(&mut stream).await;
        let body = answer(head.lines().next().unwrap_or_default());
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    format!("http://{}", at.await)
}

#[tokio::test]
async fn a_listing_is_read_to_its_end_or_fails() {
    let pages = answering(|request| {
        let (keys, rest) = match request {
            it if it.contains("continuation-token=two") => (2000..2001, ""),
            it if it.contains("continuation-token=one") => (1000..2000, "two"),
            _ => (0..1000, "one"),
        };
        let keys: Vec<String> = keys.map(|key| format!("<Contents><Key>k{key}</Key></Contents>")).collect();
        let keys = keys.concat();
        let more = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{rest}</NextContinuationToken>");
        let more = if rest.is_empty() { String::new() } else { more };
        format!("<ListBucketResult>{keys}{more}</ListBucketResult>")
    });
    let answer = ask(View::default(), list(&pages.await)).await;
    let keys = &s3_reply(&answer).keys;
    assert_eq!((keys.len(), keys.last().map(String::as_str)), (2001, Some("k2000")));

    let endless = answering(|_| {
        let keys: Vec<String> = (0..1000).map(|key| format!("<Contents><Key>{key:01000}</Key></Contents>")).collect();
        let keys = keys.concat();
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken>";
        format!("<ListBucketResult>{keys}{more}</ListBucketResult>")
    });
    let nowhere = answering(|_| "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>".to_owned());
    for (endpoint, words) in [(endless.await, "longer than"), (nowhere.await, "no continuation token")] {
        let answer = ask(View::default(), list(&endpoint)).await;
        assert!(matches!(&answer.outcome, Err(Cause::Client { detail }) if detail.contains(words)), "{answer:?}");
    }
}

/// Starts a store with one bucket in which a flow has begun multipart uploads. `listing` is the store's answer to a
/// request for the list of uploads. Returns the store's endpoint, and the list of the requests that it has received so
/// far.
async fn with_uploads(listing: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let requests = asked.clone();
    let at = server::tcp(move |mut stream| {
        let requests = requests.clone();
        async move {
            let head = server::head(&mut stream).await;
            let line = head.lines().next().unwrap_or_default().to_owned();
            let (status, body) = match line.as_str() {
                it if it.contains("uploadId=gone") => {
                    ("404 Not Found", "<Error><Code>NoSuchUpload</Code><Message>x</Message></Error>")
                }
                it if it.starts_with("DELETE") => ("204 No Content", ""),
                it if it.contains("key-marker=a") => ("200 OK", "<ListMultipartUploadsResult/>"),
                it if it.contains("uploads") => ("200 OK", listing),
                it if it.contains("list-type=2") => ("200 OK", "<ListBucketResult/>"),
                _ => (
                    "200 OK",
                    "<ListAllMyBucketsResult><Buckets><Bucket><Name>docs</Name></Bucket></Buckets></ListAllMyBucketsResult>",
                ),
            };
            let status = if body.contains("NotImplemented") { "501 Not Implemented" } else { status };
            requests.lock().unwrap().push(line);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (format!("http://{}", at.await), asked)
}

#[tokio::test]
async fn what_a_flow_left_in_a_store_includes_its_uploads() {
    let (endpoint, asked) = with_uploads(
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>\
         <Upload><Key>a</Key><UploadId>begun</UploadId></Upload><Upload><Key>b</Key><UploadId>gone</UploadId></Upload>\
         </ListMultipartUploadsResult>",
    )
    .await;
    let before = contents::Contents::from([("docs".to_owned(), contents::Bucket::default())]);
    let lost = contents::restore(View::default(), &access(&endpoint), &before).await;
    assert_eq!(lost, Ok(Vec::new()));
    let asked = asked.lock().unwrap();
    let aborted = |id: &str| asked.iter().any(|it| it.starts_with("DELETE /docs/") && it.contains(id));
    assert!(aborted("uploadId=begun") && aborted("uploadId=gone"), "{asked:?}");
    assert!(asked.iter().any(|it| it.contains("key-marker=a")), "{asked:?}");
}

#[tokio::test]
async fn a_store_that_lists_no_uploads_has_none() {
    let refused = "<Error><Code>NotImplemented</Code><Message>x</Message></Error>";
    let (endpoint, _) = with_uploads(refused).await;
    let found = contents::contents(View::default(), &access(&endpoint)).await;
    assert_eq!(found, Ok(contents::Contents::from([("docs".to_owned(), contents::Bucket::default())])));
    // If the store implements the listing of uploads but refuses the request, the result is an error. Otherwise the
    // harness would overlook uploads that remain, and these could influence the next verdict.
    let (endpoint, _) = with_uploads("<Error><Code>AccessDenied</Code><Message>x</Message></Error>").await;
    assert!(contents::contents(View::default(), &access(&endpoint)).await.is_err());
}

#[tokio::test]
async fn an_error_document_under_200_is_an_error() {
    let denied = || answering(|_| "<Error><Code>InternalError</Code><Message>x</Message></Error>".to_owned());
    let endpoint = denied().await;
    let operations = [
        S3Operation::CompleteUpload {
            bucket: "photos".to_owned(),
            key: "a".to_owned(),
            upload: "u".to_owned(),
            parts: vec!["e".to_owned()],
        },
        S3Operation::List { bucket: "photos".to_owned(), prefix: String::new() },
    ];
    for operation in operations {
        let question = S3Question { access: access(&endpoint), operation, headers: BTreeMap::new() };
        let answer = ask(View::default(), Probe::S3(question)).await;
        // Some operations find the error in the body, and others fail because they cannot parse the body. In both
        // cases, the operation must not count as a success.
        let refused = matches!(&answer.outcome, Ok(Reply::S3(reply)) if reply.error.is_some());
        assert!(refused || answer.outcome.is_err(), "{answer:?}");
    }
    let answer = ask(View::default(), Probe::Http(get(&endpoint))).await;
    let Ok(Reply::Http(reply)) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!(reply.s3_error.as_ref().map(|it| it.code.as_str()), Some("InternalError"));
}

#[tokio::test]
async fn only_for_create_bucket_is_an_existing_bucket_a_success() {
    let yours = "<Error><Code>BucketAlreadyOwnedByYou</Code><Message>yours</Message></Error>";
    let put = S3Operation::Put { bucket: "photos".to_owned(), key: "a".to_owned(), body: "b".to_owned() };
    let create = S3Operation::CreateBucket { bucket: "photos".to_owned() };
    for (operation, status) in [(create, 200), (put, 409)] {
        let at = store("409 Conflict", yours).await;
        let access = access(&format!("http://{at}"));
        let answer = ask(View::default(), Probe::S3(S3Question { access, operation, headers: BTreeMap::new() })).await;
        let reply = s3_reply(&answer);
        assert_eq!((reply.status, reply.error.is_none()), (status, status == 200), "{answer:?}");
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
    let access = access("https://minio.example.com");
    let question = PresignQuestion::new(access, "PUT", "photos", "a b/ü.txt", expires_s);
    let question = PresignQuestion { signed_at_s, query, ..question };
    let answer = ask(View::default(), Probe::Presign(question)).await;
    match answer.outcome {
        Ok(Reply::Presign(reply)) => reply,
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
async fn in_virtual_host_style_the_host_begins_with_the_bucket() {
    let access = S3Access { addressing: Addressing::Virtual, ..access("https://minio.example.com:9000/") };
    let of = |method: &str, policy: Option<PostPolicy>, query: &[(&str, &str)]| {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        PresignQuestion { policy, query, ..PresignQuestion::new(access.clone(), method, "photos", "a b.txt", 300) }
    };
    // The SDK signs the first URL, and `aws-sigv4` the second URL and the form.
    for (question, begins) in [
        (of("GET", None, &[]), "https://photos.minio.example.com:9000/a%20b.txt?"),
        (of("GET", None, &[("versionId", "1")]), "https://photos.minio.example.com:9000/a%20b.txt?"),
        (of("POST", Some(PostPolicy::default()), &[]), "https://photos.minio.example.com:9000"),
    ] {
        let answer = ask(View::default(), Probe::Presign(question)).await;
        let Ok(Reply::Presign(reply)) = answer.outcome else { panic!("{answer:?}") };
        assert!(reply.url.starts_with(begins), "{}", reply.url);
        assert_eq!(reply.url.matches("photos").count(), 1, "{}", reply.url);
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
async fn a_form_holds_what_its_policy_says_and_who_signed_it() {
    let pairs = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let policy = PostPolicy {
        content_length_range: Some([1, 32]),
        equals: pairs(&[("success_action_status", "201")]),
        starts_with: pairs(&[("key", "inbox/"), ("Content-Type", "text/")]),
    };
    let access = S3Access { session_token: Some(Secret::new("token")), ..access("https://minio.example.com/") };
    let question = PresignQuestion {
        policy: Some(policy),
        signed_at_s: -3600,
        ..PresignQuestion::new(access, "POST", "photos", "inbox/", 300)
    };
    let answer = ask(View::default(), Probe::Presign(question.clone())).await;
    let Ok(Reply::Presign(reply)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((reply.method.as_str(), reply.url.as_str()), ("POST", "https://minio.example.com/photos"));
    let date = &reply.fields["x-amz-date"];
    let credential = format!("key/{}/us-east-1/s3/aws4_request", &date[..8]);
    let document = aws_smithy_types::base64::decode(&reply.fields["policy"]).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(
        document["conditions"],
        serde_json::json!([
            { "bucket": "photos" },
            { "success_action_status": "201" },
            { "x-amz-algorithm": "AWS4-HMAC-SHA256" },
            { "x-amz-credential": credential },
            { "x-amz-date": date },
            { "x-amz-security-token": "token" },
            ["starts-with", "$Content-Type", "text/"],
            ["starts-with", "$key", "inbox/"],
            ["content-length-range", 1, 32],
        ])
    );
    // The policy does not fix the key and the media type of the object, so the signed form has no fields for them.
    let names: Vec<_> = reply.fields.keys().map(String::as_str).collect();
    let signed = ["policy", "success_action_status", "x-amz-algorithm", "x-amz-credential", "x-amz-date"];
    assert_eq!(names, [&signed[..], &["x-amz-security-token", "x-amz-signature"]].concat());
    let instant = |text: &str, form| time::PrimitiveDateTime::parse(text, form).unwrap().assume_utc();
    let signed = instant(date, format_description!("[year][month][day]T[hour][minute][second]Z"));
    let end = document["expiration"].as_str().unwrap();
    let end = instant(end, format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"));
    assert_eq!(end - signed, time::Duration::minutes(5));
    let ago = time::OffsetDateTime::now_utc() - signed;
    assert!((3600..3700).contains(&ago.whole_seconds()), "{ago}");
    assert_eq!(Reply::Presign(reply.clone()).secrets(), [Secret::new(&reply.fields["x-amz-signature"])]);

    // Only a form (POST) can have a policy.
    let url = PresignQuestion { method: "PUT".to_owned(), ..question };
    assert_eq!(kind(&ask(View::default(), Probe::Presign(url)).await), "client");
}

#[tokio::test]
async fn a_method_that_cannot_be_presigned_is_a_client_error() {
    let question = PresignQuestion::new(access("https://minio.example.com"), "POST", "b", "k", 60);
    assert_eq!(kind(&ask(View::default(), Probe::Presign(question)).await), "client");
}
