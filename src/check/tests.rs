//! Tests the cells of the check's table that are built from answers, and the output of the table.

use std::collections::BTreeMap;

use parallax_vocab::answer::{DnsReply, JwtReply, S3Error, S3Reply};
use parallax_vocab::question::{
    Addressing, DnsQuestion, PresignQuestion, S3Access, S3Operation, S3Question, TlsQuestion, View,
};
use parallax_vocab::{DnsFault, TlsFault};
use serde_json::json;

use super::super::{Checked, text};
use super::*;

const INSIDE: bool = true;

fn asked(probe: Probe, outcome: Result<Reply, Cause>) -> Asked {
    let question =
        Question { view: View { trust: vec!["a CA".to_owned()], ..View::default() }, deadline_ms: 1000, probe };
    Asked { question, answer: Ok(Answer { outcome, evidence: Evidence::default() }) }
}

fn http(method: &str, status: u16, code: Option<&str>, message: &str) -> Asked {
    let s3_error = code.map(|code| S3Error { code: code.to_owned(), message: message.to_owned() });
    let reply = HttpReply {
        status,
        headers: BTreeMap::new(),
        body: if code.is_none() { message.to_owned() } else { String::new() },
        body_bytes: 0,
        body_sha256: String::new(),
        s3_error,
    };
    asked(Probe::Http(HttpQuestion::new(method, "https://s3.example.com/docs/k")), Ok(Reply::Http(reply)))
}

fn dns(outcome: Result<&str, DnsFault>, searched: Option<&str>) -> Asked {
    let probe = Probe::Dns(DnsQuestion { name: "s3.example.com".to_owned() });
    asked(
        probe,
        match outcome {
            Ok(address) => Ok(Reply::Dns(DnsReply {
                addresses: vec![address.parse().expect("an address")],
                cnames: Vec::new(),
                ttl_s: 1,
                searched: searched.map(str::to_owned),
            })),
            Err(fault) => Err(Cause::Dns { fault, detail: "s3.example.com.: NXDOMAIN from 10.43.0.10".to_owned() }),
        },
    )
}

fn at(row: &'static str) -> At {
    At { row, inside: INSIDE }
}

#[test]
fn a_name_is_judged_as_applications_meet_it() {
    let good = name(at("name"), &dns(Ok("10.43.0.7"), None));
    assert_eq!((good.state, good.text.as_str()), (State::Good, "10.43.0.7"));
    let missing = name(at("name"), &dns(Err(DnsFault::NoSuchName), None));
    let why = missing.why.expect("a sentence");
    assert!(why.contains("rewrite name s3.example.com"), "{why}");
    assert_eq!((missing.text.as_str(), missing.section), ("dns: no-such-name", Some("the-rewrite-has-no-effect")));
    let other = name(at("name"), &dns(Ok("10.43.0.7"), Some("192.0.2.1")));
    assert_eq!((other.state, other.section), (State::Bad, Some("the-search-list-answers")));
    let bucket = virtual_host(at("virtual-host"), &dns(Err(DnsFault::NoSuchName), None));
    assert_eq!((bucket.state, bucket.why), (State::Note, None));
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_with_its_page() {
    let probe = Probe::Tls(TlsQuestion { host: "s3.example.com".to_owned(), port: 443, server_name: None });
    for (fault, section) in [(TlsFault::UnknownAuthority, "trust"), (TlsFault::NameMismatch, "the-search-list-answers")]
    {
        let failed = tls(at("tls"), &asked(probe.clone(), Err(Cause::Tls { fault, detail: "d".to_owned() })));
        assert_eq!((failed.state, failed.section), (State::Bad, Some(section)));
        assert!(failed.why.is_some_and(|it| it.starts_with("`tls` from inside:")));
    }
}

#[test]
fn only_a_stores_answer_is_a_stores_answer() {
    for (status, code, message, state) in [
        (403, Some("AccessDenied"), "Access Denied.", State::Good),
        (404, Some("NoSuchBucket"), "no bucket", State::Bad),
        (404, None, "default backend - 404", State::Bad),
        (400, None, "Client sent an HTTP request to an HTTPS server.", State::Bad),
        (200, None, "<html>", State::Bad),
        (503, None, "", State::Bad),
    ] {
        let cell = store(at("store"), &http("GET", status, code, message));
        assert_eq!(cell.state, state, "{status} {code:?}: {cell:?}");
    }
}

#[test]
fn a_signature_is_right_if_the_store_got_past_it() {
    let secret = Secret::new("canary-of-a-key");
    for (method, status, code, message, state) in [
        ("GET", 200, None, "", State::Good),
        ("GET", 404, Some("NoSuchKey"), "", State::Good),
        ("HEAD", 404, None, "", State::Good),
        ("GET", 404, None, "default backend", State::Bad),
        ("PUT", 403, Some("AccessDenied"), "Access Denied.", State::Note),
        ("GET", 403, Some("AccessDenied"), "Request has expired", State::Bad),
        ("GET", 403, Some("AccessDenied"), "headers which were not signed", State::Bad),
        ("GET", 400, Some("XMinioInvalidObjectName"), "", State::Note),
        ("GET", 403, Some("SignatureDoesNotMatch"), "", State::Bad),
        ("GET", 403, Some("AccessDenied"), "Forbidden: Invalid signature", State::Bad),
        ("GET", 403, Some("RequestTimeTooSkewed"), "", State::Bad),
    ] {
        let cell = opened(at("presigned GET"), &http(method, status, code, message), &secret);
        assert_eq!(cell.state, state, "{method} {status} {code:?}: {cell:?}");
        assert!(!format!("{cell:?}").contains("canary"), "{cell:?}");
    }
}

#[test]
fn keys_that_may_not_list_are_right_keys() {
    let access = S3Access {
        endpoint: "https://s3.example.com".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("canary-of-a-key"),
        session_token: None,
        addressing: Addressing::Path,
    };
    let operation = S3Operation::List { bucket: "docs".to_owned(), prefix: "p".to_owned() };
    let probe = Probe::S3(S3Question { access, operation, headers: BTreeMap::new() });
    for (status, code, message, state) in [
        (200, None, "", State::Good),
        (403, Some("AccessDenied"), "m", State::Note),
        (403, Some("SignatureDoesNotMatch"), "m", State::Bad),
        (403, Some("InvalidAccessKeyId"), "m", State::Bad),
        (400, Some("AuthorizationHeaderMalformed"), "m", State::Bad),
        (404, Some("NoSuchBucket"), "m", State::Bad),
        // Garage returns the code `AccessDenied` both for a refused signature and for an unknown access key. Only the
        // message says which of them it is.
        (403, Some("AccessDenied"), "Forbidden: Invalid signature", State::Bad),
        (403, Some("AccessDenied"), "Forbidden: No such key: GK1", State::Bad),
    ] {
        let error = code.map(|code| S3Error { code: code.to_owned(), message: message.to_owned() });
        let reply = S3Reply {
            status,
            error,
            body: None,
            keys: Vec::new(),
            survey: None,
            etag: None,
            size_bytes: None,
            upload_id: None,
            request_id: None,
        };
        let cell = keys(at("keys"), &asked(probe.clone(), Ok(Reply::S3(reply))));
        assert_eq!(cell.state, state, "{code:?}: {cell:?}");
    }
}

#[test]
fn a_token_is_for_its_audience_and_signed_by_a_published_key() {
    let probe = Probe::Jwt(parallax_vocab::question::JwtQuestion {
        token: parallax_vocab::question::TokenSource::File("t".to_owned()),
        issuer: None,
    });
    let reply = |aud: serde_json::Value, signature| {
        Ok(Reply::Jwt(JwtReply {
            claims: json!({ "aud": aud, "iss": "https://issuer.example.com" }),
            algorithm: "RS256".to_owned(),
            key_id: None,
            signature,
            jwks_uri: String::new(),
            published: Vec::new(),
        }))
    };
    for (outcome, state) in [
        (reply(json!(["sts.amazonaws.com"]), Signature::Valid), State::Good),
        (reply(json!("sts.amazonaws.com"), Signature::Valid), State::Good),
        (reply(json!(["other"]), Signature::Valid), State::Bad),
        (reply(json!(["sts.amazonaws.com"]), Signature::UnknownKey), State::Bad),
        (Err(Cause::Status { status: 403, s3: None, detail: "forbidden".to_owned() }), State::Bad),
    ] {
        let cell = token(at("token"), &asked(probe.clone(), outcome), "sts.amazonaws.com");
        assert_eq!(cell.state, state, "{cell:?}");
        assert_eq!(cell.section, (state == State::Bad).then_some("the-issuer-cannot-be-read"));
    }
}

#[test]
fn a_preflight_with_two_origins_is_red() {
    let with = |allowed: Option<&str>| {
        let mut asked = http("OPTIONS", 200, None, "");
        if let (Ok(Answer { outcome: Ok(Reply::Http(reply)), .. }), Some(allowed)) = (&mut asked.answer, allowed) {
            reply.headers.insert("access-control-allow-origin".to_owned(), allowed.to_owned());
        }
        cors(at("cors"), &asked)
    };
    assert_eq!(with(Some("*")).state, State::Good);
    assert_eq!(with(None).state, State::Note);
    assert_eq!(
        (with(Some("*, *")).state, with(Some("*, *")).section),
        (State::Bad, Some("the-browser-refuses-the-answer"))
    );
}

#[test]
fn two_columns_mark_what_differs_and_say_why() {
    let inside = name(at("name"), &dns(Err(DnsFault::NoSuchName), None));
    let outside = name(At { row: "name", inside: false }, &dns(Ok("192.0.2.7"), None));
    let skipped = Cell::not_asked("what it needs does not work");
    let leaf = Cell::new(
        State::Good,
        "for s3.example.com, until 2027-01-01, serial 0a0b0c0d, and a text that is far too long",
    );
    let mut checked = Checked {
        rows: vec![
            Row::of("name", inside, outside),
            Row::of("tls", skipped, leaf),
            Row::of(
                "keys",
                Cell::new(State::Note, "repeats canary-of-a-key"),
                Cell::new(State::Note, "repeats canary-of-a-key"),
            ),
        ],
        remains: vec!["remove it by hand".to_owned()],
        secrets: vec![Secret::new("canary-of-a-key"), Secret::new("")],
        ..Checked::default()
    };
    insta::assert_snapshot!(text(&checked));
    checked = Checked { no_inside: Some("pods \"p\" is forbidden".to_owned()), ..Checked::default() };
    assert_eq!(text(&checked), "inside     not asked: pods \"p\" is forbidden\n");
}

#[test]
fn a_path_that_the_store_saw_otherwise_is_named() {
    let secret = Secret::new("canary-of-a-key");
    let access = S3Access {
        endpoint: "https://s3.example.com".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: secret.clone(),
        session_token: None,
        addressing: Addressing::Path,
    };
    let signed = |key: &str| {
        let probe = Probe::Presign(PresignQuestion::new(access.clone(), "GET", "docs", key, 300));
        let question = Question { view: View::default(), deadline_ms: 1000, probe };
        let answer = tokio::runtime::Runtime::new().expect("a runtime").block_on(parallax_probe::ask(&question));
        let Ok(Reply::Presign(reply)) = answer.outcome else { panic!("{answer:?}") };
        reply.url
    };
    let cell = |key: &str, seen: &str| {
        let mut asked = http("GET", 403, Some("SignatureDoesNotMatch"), "");
        asked.question.probe = Probe::Http(HttpQuestion::new("GET", signed(key)));
        let Ok(Answer { outcome: Ok(Reply::Http(reply)), .. }) = &mut asked.answer else { panic!("an answer") };
        reply.body = format!("<Error><Code>SignatureDoesNotMatch</Code><Resource>{seen}</Resource></Error>");
        opened(at("odd key"), &asked, &secret)
    };
    for (key, seen, says, section) in [
        ("a b.txt", "/docs/a%20b.txt", "encoded once more", "only-some-keys-fail"),
        ("a+b.txt", "/docs/a b.txt", "the store saw `/docs/a b.txt`", "only-some-keys-fail"),
        ("a%41.txt", "/docs/aA.txt", "decoded once too often", "only-some-keys-fail"),
        ("a&b//c", "/docs/a&amp;b/c", "slashes of the path were tidied", "only-some-keys-fail"),
        ("k", "/s3/docs/k", "under the prefix `/s3`", "a-path-prefix"),
        ("b/k", "/b/k", "without the prefix `/docs`", "a-path-prefix"),
    ] {
        let cell = cell(key, seen);
        let why = cell.why.expect("a sentence");
        assert!(why.contains(says) && !why.contains("canary"), "{key} as {seen}: {why}");
        assert_eq!(cell.section, Some(section), "{key} as {seen}");
    }
    // The store saw the path that was signed, or its answer does not name the path.
    for seen in ["/docs/a b.txt", ""] {
        let why = cell("a b.txt", seen).why.expect("a sentence");
        assert!(why.contains("something on the way changes it"), "{seen}: {why}");
    }
}

#[test]
fn a_prefix_shows_in_the_answer_to_a_stranger() {
    let seen = |path: &str| {
        let mut asked = http("GET", 403, Some("AccessDenied"), "Access Denied.");
        let Ok(Answer { outcome: Ok(Reply::Http(reply)), .. }) = &mut asked.answer else { panic!("an answer") };
        reply.body = format!("<Error><Resource>{path}</Resource></Error>");
        store(at("store"), &asked)
    };
    for (path, section) in [
        ("/docs/k", None),
        ("/docs/k/", None),
        ("/", None),
        ("", None),
        ("/other", None),
        ("/s3/docs/k", Some("a-path-prefix")),
        ("/k", Some("a-path-prefix")),
    ] {
        assert_eq!(seen(path).section, section, "{path}");
    }
}
