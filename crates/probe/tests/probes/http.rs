//! Tests that the probe sends HTTP requests exactly as the question says, and reports the right cause for a broken
//! connection and for a passed deadline.

use std::net::SocketAddr;
use std::time::Instant;

use parallax_vocab::answer::BODY_LIMIT_BYTES;
use parallax_vocab::question::{Detour, Form, FormFile, HttpQuestion};
use parallax_vocab::{Cause, Probe, Question, View};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::names::NameServer;
use super::server::{self, Authority};
use super::{ask, get, http_reply, kind, view};

#[tokio::test]
async fn the_request_is_sent_as_it_was_asked() {
    let names = NameServer::start().await;
    let ours = Authority::new("our CA");
    let at = server::tls(ours.issue(&["minio.example.com"], -1, 1), server::echo).await;
    let view = view(&names, &[ours.pem], 443, at);
    let path = "/photos/a%2Fb+c'd?x-id=GetObject&X-Amz-Signature=%2b%2B&empty&a=~!*";
    let url = format!("https://minio.example.com{path}");
    let mut question = get(&url);
    question.headers.insert("Range".to_owned(), "bytes=0-1".to_owned());
    let answer = ask(view.clone(), Probe::Http(question.clone())).await;
    let reply = http_reply(&answer);
    let lines: Vec<_> = reply.body.lines().collect();
    assert_eq!(lines[0], format!("GET {path} HTTP/1.1"));
    assert!(lines.contains(&"host: minio.example.com"), "{lines:?}");
    assert!(lines.contains(&"range: bytes=0-1"), "{lines:?}");
    assert_eq!(reply.headers["x-a"], "1, 2");
    assert_eq!(answer.evidence.chain.len(), 2);

    // A question may set another `Host` than the host of its URL. The request still goes to the server of the URL. It
    // looks like a request whose `Host` header a proxy has rewritten.
    question.host = Some("minio.foo.svc:9000".to_owned());
    let answer = ask(view, Probe::Http(question)).await;
    assert!(http_reply(&answer).body.contains("\r\nhost: minio.foo.svc:9000\r\n"));
    assert_eq!(answer.evidence.chain.len(), 2);
}

#[tokio::test]
async fn a_port_other_than_the_default_stays_in_host() {
    let names = NameServer::start().await;
    let at = server::tcp(server::echo).await;
    let answer = ask(view(&names, &[], 9000, at), Probe::Http(get("http://minio.example.com:9000/x#part"))).await;
    let body = &http_reply(&answer).body;
    assert!(body.starts_with("GET /x HTTP/1.1\r\n") && body.contains("\r\nhost: minio.example.com:9000\r\n"), "{body}");
}

#[tokio::test]
async fn bodies_go_out_whole_and_come_back_bounded() {
    let size = BODY_LIMIT_BYTES + 10;
    let at = server::tcp(move |mut stream| async move {
        let head = server::head(&mut stream).await;
        let sent = head.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
        stream.read_exact(&mut vec![0; 5 - sent]).await.unwrap();
        assert!(head.contains("\r\ncontent-length: 5\r\n"), "{head}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{}", "x".repeat(size));
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let question =
        HttpQuestion { method: "PUT".to_owned(), body: Some("hello".to_owned()), ..get(&format!("http://{at}/k")) };
    let answer = ask(View::default(), Probe::Http(question)).await;
    let reply = http_reply(&answer);
    assert_eq!((reply.body.len(), reply.body_bytes), (BODY_LIMIT_BYTES, size as u64));
    // The digest of a body of 65,546 times the letter `x`, computed by sha256sum.
    assert_eq!(reply.body_sha256, "328b2e588f5a99ee7c2f6c7c1be2cc589ab36d8b1e1ea65fee8ad6fac0750452");
}

#[tokio::test]
async fn a_large_body_is_generated_where_it_is_sent() {
    let at = server::tcp(|mut stream| async move {
        let head = server::head(&mut stream).await;
        let (head, body) = head.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ncontent-length: 3145728"), "{head}");
        stream.read_exact(&mut vec![0; 3_145_728 - body.len()]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let put = |bytes| {
        let question = HttpQuestion { filler_bytes: Some(bytes), ..HttpQuestion::new("PUT", format!("http://{at}/k")) };
        ask(View::default(), Probe::Http(question))
    };
    assert_eq!(http_reply(&put(3_145_728).await).status, 200);
    assert!(put(1 << 40).await.cause().is_some_and(|it| it.to_string().contains("larger than")));
}

#[tokio::test]
async fn a_form_goes_out_as_a_browser_sends_it() {
    let at = server::tcp(|mut stream| async move {
        let (head, mut body) = {
            let text = server::head(&mut stream).await;
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head.to_owned(), body.as_bytes().to_vec())
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        while body.len() < length {
            assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the body is not whole");
        }
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{head}\n\n{}", String::from_utf8(body).unwrap());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let sent = async |headers: &[(&str, &str)]| {
        let fields = [("key", "inbox/ä b.txt"), ("Content-Type", "text/plain"), ("policy", "e30=")];
        let form = Form {
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            file: Some(FormFile {
                name: "ü \"a\".txt".to_owned(),
                content_type: "image/png".to_owned(),
                body: "hello\r\n".to_owned(),
            }),
        };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = format!("http://{at}/photos");
        let question = HttpQuestion { form: Some(form), headers, ..HttpQuestion::new("POST", url) };
        http_reply(&ask(View::default(), Probe::Http(question)).await).body.clone()
    };
    let whole = sent(&[]).await;
    let (head, body) = whole.split_once("\n\n").unwrap();
    let boundary = head.lines().find_map(|line| line.strip_prefix("content-type: multipart/form-data; boundary="));
    let boundary = boundary.unwrap_or_else(|| panic!("{head}"));
    let named = "Content-Disposition: form-data; name=";
    let expected = [
        format!("{named}\"Content-Type\"\r\n\r\ntext/plain\r\n"),
        format!("{named}\"key\"\r\n\r\ninbox/ä b.txt\r\n"),
        format!("{named}\"policy\"\r\n\r\ne30=\r\n"),
        format!("{named}\"file\"; filename=\"ü \\\"a\\\".txt\"\r\nContent-Type: image/png\r\n\r\nhello\r\n\r\n"),
    ];
    let expected = expected.map(|part| format!("--{boundary}\r\n{part}")).concat();
    assert_eq!(body, format!("{expected}--{boundary}--\r\n"));

    // A header in the question replaces the form's own header.
    let whole = sent(&[("Content-Type", "text/plain")]).await;
    assert!(whole.contains("content-type: text/plain") && !whole.contains("boundary="), "{whole}");
}

#[tokio::test]
async fn an_s3_error_is_read_from_any_refusal() {
    let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>";
    let at = server::tcp(move |mut stream| async move {
        server::head(&mut stream).await;
        let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let answer = ask(View::default(), Probe::Http(get(&format!("http://{at}/")))).await;
    let reply = http_reply(&answer);
    assert_eq!(reply.status, 403);
    assert_eq!(reply.s3_error.as_ref().map(|error| error.code.as_str()), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn connections_that_fail_say_how() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let mute = server::tcp(|mut stream| async move { drop(server::head(&mut stream).await) }).await;
    let cut = server::tcp(|mut stream| async move {
        server::head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal").await.ok();
    })
    .await;
    let noise = server::tcp(|mut stream| async move {
        server::head(&mut stream).await;
        stream.write_all(b"+PONG\r\n").await.ok();
    })
    .await;
    let table = [
        (format!("http://{closed}/"), "connect refused"),
        (format!("http://{mute}/"), "connect reset"),
        (format!("http://{cut}/"), "connect reset"),
        (format!("http://{noise}/"), "connect reset"),
        (format!("https://{closed}/"), "connect refused"),
        ("not a url".to_owned(), "client"),
        ("/relative".to_owned(), "client"),
    ];
    for (url, expected) in table {
        let answer = ask(View::default(), Probe::Http(get(&url))).await;
        assert_eq!(kind(&answer), expected, "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn the_first_layer_that_failed_is_the_cause() {
    let names = NameServer::start().await;
    let mut view = view(&names, &[], 443, "127.0.0.1:1".parse().unwrap());
    for (url, expected) in [
        ("https://gone.example.com/", "dns no-such-name"),
        ("https://broken.example.com/", "dns server-failure"),
        ("https://minio.example.com/", "connect refused"),
    ] {
        assert_eq!(kind(&ask(view.clone(), Probe::Http(get(url))).await), expected, "{url}");
    }
    // The detour is for port 444, so it must have no effect on a connection to port 1.
    let from: SocketAddr = "127.0.0.1:444".parse().unwrap();
    view.detours = vec![Detour { from, to: server::tcp(server::echo).await }];
    let answer = ask(view, Probe::Http(get("http://loopback.example.com:1/"))).await;
    assert_eq!(kind(&answer), "connect refused");
    assert_eq!(answer.evidence.dialled, None);
}

#[tokio::test]
async fn the_deadline_bounds_a_server_that_says_nothing() {
    let silent = server::tcp(|mut stream| async move {
        server::head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let began = Instant::now();
    let probe = Probe::Http(get(&format!("http://{silent}/")));
    let answer = parallax_probe::ask(&Question { view: View::default(), deadline_ms: 300, probe }).await;
    assert!(began.elapsed().as_millis() < 2_000);
    let Err(Cause::Deadline { waited_ms: 300, detail }) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!(*detail, format!("still waiting for the answer of {silent}"));
    assert!(answer.evidence.connect_us.is_some(), "evidence from before the deadline is kept");
}
