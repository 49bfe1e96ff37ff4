//! Judges answers of every kind by different expectations.

use parallax_vocab::answer::{Answer, DnsReply, Evidence, HttpReply, Reply, S3Error, S3Reply, StsError, StsReply};
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use serde_json::{Value, json};

use super::*;

#[test]
fn what_was_found_is_seen_in_a_text_that_is_cut() {
    let long = format!("{}: x509: of nobody, {}", "a".repeat(300), "b".repeat(300));
    let quoted = quote_around(&long, "x509");
    assert!(quoted.starts_with("… \"aaa") && quoted.contains("aaa: x509: of nobody, bbb"), "{quoted}");
    assert_eq!(quote_around("brief, with x509", "x509"), "\"brief, with x509\"");
    // A text that is short enough to be quoted as a whole is not cut.
    let whole = format!("{} x509", "a".repeat(100));
    assert_eq!(quote_around(&whole, "x509"), format!("\"{whole}\""));
    assert_eq!(quote_around(&long, "aa"), quote(&long));
}

fn http(status: u16, code: Option<&str>, body: &str) -> Answer {
    let s3_error = code.map(|code| S3Error { code: code.to_owned(), message: "words".to_owned() });
    let reply = HttpReply {
        status,
        headers: BTreeMap::from([("content-type".to_owned(), "text/plain".to_owned())]),
        body: body.to_owned(),
        body_bytes: body.len() as u64,
        body_sha256: String::new(),
        s3_error,
    };
    Answer { outcome: Ok(Reply::Http(reply)), evidence: Evidence::default() }
}

fn expect(value: Value) -> Expect {
    serde_json::from_value(value).expect("valid expect")
}

fn declared(value: Value) -> Expected {
    Expected::Declared(Box::new(expect(value)))
}

#[test]
fn a_client_that_is_unable_must_say_why() {
    let expected = declared(json!({"client": "6 components"}));
    let failed = |cause| Answer { outcome: Err(cause), evidence: Evidence::default() };
    let told = |words: &str| failed(Cause::Client { detail: words.to_owned() });
    for (answer, cause) in [
        (told("ARN must have 6 components"), None),
        (told("no such host"), Some("client: no such host")),
        (failed(Cause::Exit { exit: 1, detail: "6 components".to_owned() }), Some("exit: 1 (6 components)")),
        (http(200, None, ""), Some(r#"client: expected "6 components", saw the answer 200"#)),
    ] {
        let judged = judge(&expected, &answer, &Seen::default());
        assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause);
        assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [cause.is_none()]);
    }
}

#[test]
fn of_a_body_that_was_cut_only_a_difference_is_seen() {
    const LIMIT: usize = parallax_vocab::answer::BODY_LIMIT_BYTES;
    let kept = "x".repeat(LIMIT);
    let of_http = |bytes: usize| {
        let Answer { outcome: Ok(Reply::Http(reply)), evidence } = http(200, None, &kept) else { unreachable!() };
        Answer { outcome: Ok(Reply::Http(HttpReply { body_bytes: bytes as u64, ..reply })), evidence }
    };
    let of_store = |bytes: usize| {
        let reply = json!({ "s3": { "status": 200, "body": kept, "size_bytes": bytes } });
        Answer { outcome: Ok(serde_json::from_value(reply).expect("a reply")), evidence: Evidence::default() }
    };
    for (bytes, expected, held, unseen) in [
        (LIMIT, kept.as_str(), true, false),
        (LIMIT + 1, kept.as_str(), false, true),
        (LIMIT + 1, "other", false, false),
    ] {
        for answer in [of_http(bytes), of_store(bytes)] {
            let judged = judge(&declared(json!({ "status": 200, "body": expected })), &answer, &Seen::default());
            let body = judged.matchers.iter().find(|it| it.matcher == "body").expect("judged");
            assert_eq!((body.held, body.unseen), (held, unseen), "{bytes}: {body:?}");
            assert_eq!(judged.cause.is_none(), held, "{bytes}");
        }
    }
}

#[test]
fn a_matcher_is_missed_only_if_it_compared_something_and_did_not_hold() {
    let missed = |expected: &Expected, answer: &Answer| {
        judge(expected, answer, &Seen::default()).missed().map(|it| it.matcher.clone())
    };
    let both = declared(json!({"status": 200, "body": "hello"}));
    assert_eq!(missed(&both, &http(200, None, "hello")), None);
    assert_eq!(missed(&both, &http(200, None, "bye")).as_deref(), Some("body"));
    let gone = Cause::Dns { fault: DnsFault::NoSuchName, detail: String::new() };
    assert_eq!(missed(&both, &Answer { outcome: Err(gone), evidence: Evidence::default() }), None);
}

#[test]
fn answers_are_judged_by_the_first_layer_that_differs() {
    let cases = [
        (json!({"status": 200, "body": "hello"}), http(200, None, "hello"), None),
        (json!({"status": 201}), http(200, None, "hello"), Some("status: 200 (\"hello\")")),
        (
            json!({"status": 200, "body": "hello"}),
            http(403, Some("SignatureDoesNotMatch"), "<Error/>"),
            Some("status: 403, s3: SignatureDoesNotMatch (words)"),
        ),
        (json!({"body": "hello"}), http(200, None, "other"), Some("body: expected \"hello\", saw \"other\"")),
        (json!({"headers": {"Content-Type": "text/plain"}}), http(200, None, ""), None),
        (json!({"headers": {"etag": "x"}}), http(200, None, ""), Some("headers.etag: expected x, saw absent")),
    ];
    for (expected, answer, cause) in cases {
        let judged = judge(&declared(expected.clone()), &answer, &Seen::default());
        assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expected}");
    }
}

#[test]
fn without_an_answer_every_matcher_is_red() {
    let cause = Cause::Dns { fault: DnsFault::NoSuchName, detail: "x".to_owned() };
    let answer = Answer { outcome: Err(cause.clone()), evidence: Evidence::default() };
    let judged = judge(&declared(json!({"status": 200, "body": "x"})), &answer, &Seen::default());
    assert_eq!(judged.cause, Some(cause));
    assert_eq!(
        judged.matchers.iter().map(|it| (it.matcher.as_str(), it.held)).collect::<Vec<_>>(),
        [("status", false), ("body", false)]
    );
}

#[test]
fn comparing_with_a_chain_that_was_never_seen_fails() {
    let judged = judge(&declared(json!({"same-chain-as": "other"})), &http(200, None, ""), &Seen::default());
    assert!(judged.cause.is_some());
}

#[test]
fn a_name_that_must_not_resolve_passes_with_that_fault_alone() {
    let fault = |fault| Err(Cause::Dns { fault, detail: "words".to_owned() });
    let addresses =
        DnsReply { addresses: vec!["10.0.0.1".parse().expect("address")], cnames: vec![], ttl_s: 1, searched: None };
    for (outcome, expected) in [
        (fault(DnsFault::NoSuchName), None),
        (fault(DnsFault::ServerFailure), Some("dns: server-failure (words)")),
        (Ok(Reply::Dns(addresses)), Some("dns: expected no-such-name, saw 10.0.0.1")),
    ] {
        let answer = Answer { outcome, evidence: Evidence::default() };
        let judged = judge(&declared(json!({"dns": "no-such-name"})), &answer, &Seen::default());
        assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), expected);
        assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [expected.is_none()]);
    }
}

#[test]
fn an_answer_that_must_not_come_is_judged_by_the_layer_that_failed() {
    let fault = |cause| Answer { outcome: Err(cause), evidence: Evidence::default() };
    let dns = || fault(Cause::Dns { fault: DnsFault::NoSuchName, detail: "words".to_owned() });
    let connect = |of| fault(Cause::Connect { fault: of, detail: "words".to_owned() });
    let tls = |of| fault(Cause::Tls { fault: of, detail: "words".to_owned() });
    let client = || fault(Cause::Client { detail: "words".to_owned() });
    for (expected, answer, cause) in [
        (json!({"dns": "no-such-name"}), dns(), None),
        (json!({"dns": "no-such-name"}), connect(ConnectFault::Refused), Some("connect: refused (words)")),
        (json!({"dns": "no-such-name"}), http(200, None, ""), Some("dns: expected no-such-name, saw the answer 200")),
        (json!({"connect": "refused"}), connect(ConnectFault::Refused), None),
        (json!({"connect": "refused"}), connect(ConnectFault::Timeout), Some("connect: timeout (words)")),
        (json!({"connect": "refused"}), dns(), Some("dns: no-such-name (words)")),
        (json!({"connect": "refused"}), http(403, None, ""), Some("connect: expected refused, saw the answer 403")),
        (json!({"tls": "expired"}), tls(TlsFault::Expired), None),
        (json!({"tls": "expired"}), tls(TlsFault::NameMismatch), Some("tls: name-mismatch (words)")),
        (json!({"tls": "expired"}), connect(ConnectFault::Reset), Some("connect: reset (words)")),
        (json!({"tls": "expired"}), client(), Some("client: words")),
        (json!({"tls": "expired"}), http(200, None, ""), Some("tls: expected expired, saw the answer 200")),
    ] {
        let judged = judge(&declared(expected.clone()), &answer, &Seen::default());
        assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expected}");
        assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [cause.is_none()], "{expected}");
    }
}

#[test]
fn a_fault_of_another_layer_is_no_proof_for_the_expected_one() {
    let answer = Answer { outcome: Err(Cause::Client { detail: "words".to_owned() }), evidence: Evidence::default() };
    let judged = judge(&declared(json!({"tls": "expired"})), &answer, &Seen::default());
    assert!(judged.matchers.iter().all(|it| it.unseen), "{judged:?}");
}

#[test]
fn a_message_is_that_of_the_error_document() {
    let refused = || http(403, Some("AccessDenied"), "<Error/>");
    for (expected, answer, cause) in [
        (json!({"status": 403, "message": "word"}), refused(), None),
        (json!({"message": "word"}), refused(), None),
        (json!({"message": "word"}), listing(403, Some("AccessDenied"), &[]), None),
        (json!({"message": "other"}), refused(), Some("message: expected \"other\", saw \"words\"")),
        // A body without an error document has no message, even if the body contains the expected text.
        (json!({"message": "word"}), http(200, None, "words"), Some("message: expected \"word\", saw no message")),
    ] {
        assert_eq!(cause_of(&declared(expected.clone()), &answer).as_deref(), cause, "{expected}");
    }
}

#[test]
fn a_part_of_a_body_is_looked_for_in_the_body_of_a_success() {
    let cut = |body: &str, bytes| {
        let mut answer = http(200, None, body);
        if let Ok(Reply::Http(reply)) = &mut answer.outcome {
            reply.body_bytes = bytes;
        }
        answer
    };
    for (expected, answer, cause) in [
        (json!({"body-contains": "ell"}), http(200, None, "hello"), None),
        (
            json!({"body-contains": "elk"}),
            http(200, None, "hello"),
            Some("body-contains: expected \"elk\", saw \"hello\""),
        ),
        (json!({"body-contains": "ell"}), http(404, None, "hello"), Some("status: 404 (\"hello\")")),
        (json!({"status": 404, "body-contains": "ell"}), http(404, None, "hello"), None),
        // The reply contains only the beginning of the body. A text that is not in the beginning may be in the rest.
        (json!({"body-contains": "ell"}), cut("hello", 70_000), None),
        (
            json!({"body-contains": "elk"}),
            cut("hello", 70_000),
            Some("body-contains: expected \"elk\", saw only the first 5 of 70000 bytes"),
        ),
        (
            json!({"body-contains": "ell"}),
            listing(200, None, &[]),
            Some("body-contains: expected \"ell\", saw no body"),
        ),
    ] {
        assert_eq!(cause_of(&declared(expected.clone()), &answer).as_deref(), cause, "{expected}");
    }
}

fn listing(status: u16, code: Option<&str>, keys: &[&str]) -> Answer {
    let reply = json!({"status": status, "keys": keys,
        "error": code.map(|code| S3Error { code: code.to_owned(), message: "words".to_owned() })});
    let reply: S3Reply = serde_json::from_value(reply).expect("a reply");
    Answer { outcome: Ok(Reply::S3(reply)), evidence: Evidence::default() }
}

fn sts(status: u16, code: Option<&str>) -> Answer {
    let error = code.map(|code| StsError { code: code.to_owned(), message: "words".to_owned() });
    let reply = StsReply { status, error, credentials: None, subject: None, request_id: None };
    Answer { outcome: Ok(Reply::Sts(reply)), evidence: Evidence::default() }
}

fn cause_of(expected: &Expected, answer: &Answer) -> Option<String> {
    judge(expected, answer, &Seen::default()).cause.map(|it| it.to_string())
}

#[test]
fn keys_are_those_of_a_listing_that_was_answered() {
    for (expected, answer, cause) in [
        (json!({"keys": []}), listing(200, None, &[]), None),
        (json!({"keys": ["a", "b"]}), listing(200, None, &["a", "b"]), None),
        // A store that refuses a listing says nothing about the keys, so the refusal is the cause of the failure.
        (
            json!({"keys": []}),
            listing(403, Some("SignatureDoesNotMatch"), &[]),
            Some("status: 403, s3: SignatureDoesNotMatch (words)"),
        ),
        (json!({"status": 403, "keys": []}), listing(403, None, &[]), Some("keys: expected none, saw no listing")),
        (json!({"keys": []}), listing(503, None, &[]), Some("status: 503 (expected status 2xx)")),
        // One key that contains a comma is not equal to two keys.
        (json!({"keys": ["a", "b"]}), listing(200, None, &["a, b"]), Some("keys: expected a, b, saw \"a, b\"")),
        (json!({"keys": [""]}), listing(200, None, &[]), Some("keys: expected \"\", saw none")),
    ] {
        assert_eq!(cause_of(&declared(expected.clone()), &answer).as_deref(), cause, "{expected}");
    }
}

#[test]
fn what_is_expected_of_an_answer_is_expected_of_one_of_success() {
    let text = || http(404, Some("NoSuchKey"), "hello");
    for (expected, answer, red) in [
        (json!({"body": "hello"}), text(), true),
        (json!({"headers": {"content-type": "text/plain"}}), text(), true),
        (json!({"status": 404, "body": "hello"}), text(), false),
        (json!({"s3": "NoSuchKey", "body": "hello"}), text(), false),
        (json!({"body": "hello"}), http(302, None, "hello"), true),
        (json!({"body": "hello"}), http(200, None, "hello"), false),
    ] {
        assert_eq!(cause_of(&declared(expected.clone()), &answer).is_some(), red, "{expected}");
    }
}

#[test]
fn success_with_an_error_document_is_none() {
    let error = || http(200, Some("InternalError"), "<Error>…</Error>");
    for (expected, answer, cause) in [
        (Expected::Success, listing(200, Some("InternalError"), &[]), Some("status: 200, s3: InternalError (words)")),
        (
            declared(json!({"status": 200})),
            listing(200, Some("InternalError"), &[]),
            Some("status: 200, s3: InternalError (words)"),
        ),
        (declared(json!({"status": 200})), error(), Some("status: 200, s3: InternalError (words)")),
        (declared(json!({"status": 200, "s3": "InternalError"})), error(), None),
        (declared(json!({"s3": "InternalError"})), error(), None),
        // The step expects an error document as the body, so the error document is no failure.
        (declared(json!({"status": 200, "body": "<Error>…</Error>"})), error(), None),
        (Expected::Success, sts(200, Some("Internal")), Some("status: 200, sts: Internal (words)")),
        (declared(json!({"status": 200})), sts(200, Some("Internal")), Some("status: 200, sts: Internal (words)")),
        (declared(json!({"sts": "Internal"})), sts(200, Some("Internal")), None),
        (Expected::Success, sts(200, None), None),
        (Expected::Answer, error(), None),
    ] {
        assert_eq!(cause_of(&expected, &answer).as_deref(), cause, "{expected:?}");
    }
}

#[test]
fn the_words_for_nothing_are_no_value() {
    for expected in [
        json!({"status": 200, "s3": "no S3 error"}),
        json!({"headers": {"etag": "absent"}}),
        json!({"serial": "no certificate"}),
        json!({"certificate-name": ""}),
        json!({"chain-length": 0}),
        json!({"address": "none"}),
        json!({"same-chain-as": "other"}),
    ] {
        assert!(cause_of(&declared(expected.clone()), &http(200, None, "")).is_some(), "{expected}");
    }
    for expected in [json!({"sts": "no STS error"}), json!({"message": "no message"}), json!({"message": ""})] {
        assert!(cause_of(&declared(expected.clone()), &sts(200, None)).is_some(), "{expected}");
    }
}

#[test]
fn a_matcher_that_had_nothing_to_look_at_says_so() {
    let unseen = |expected: Value, answer: &Answer| {
        let judged = judge(&declared(expected), answer, &Seen::default());
        judged.matchers.iter().filter(|it| it.unseen).map(|it| it.matcher.clone()).collect::<Vec<_>>()
    };
    let cause = Cause::Dns { fault: DnsFault::NoSuchName, detail: "x".to_owned() };
    let nothing = Answer { outcome: Err(cause), evidence: Evidence::default() };
    let both = json!({"status": 200, "keys": ["a"]});
    assert_eq!(unseen(both.clone(), &nothing), ["status", "keys"]);
    assert_eq!(unseen(both.clone(), &listing(403, Some("AccessDenied"), &[])), ["keys"]);
    assert_eq!(unseen(both, &listing(200, None, &["b"])), Vec::<String>::new());
    assert_eq!(unseen(json!({"status": 200, "body": "a"}), &listing(404, None, &[])), ["body"]);
    assert_eq!(unseen(json!({"status": 200, "body": "a"}), &http(404, None, "b")), Vec::<String>::new());
}
