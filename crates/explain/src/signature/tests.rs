//! Tests with real signatures from `aws-sigv4`. The tests change each part alone, each pair of parts, and the secret
//! key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use parallax_vocab::Secret;
use parallax_vocab::event::Arrived;
use parallax_vocab::percent::encoded;
use parallax_vocab::signature::{Part, SecretFinding, SeenBy, SignatureFinding, SignatureForm};

use super::canonical::signature;
use super::request::Payload;
use super::{Case, Guesses, SignedRequest, investigate, words};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OTHER: &str = "another-secret-key-of-another-store-0000";
const URL: &str = "https://minio.example.com/photos/a%20b%2Bc/%C3%A4.txt?response-content-disposition=attachment%3B%20x&x-id=GetObject";

/// Signs a request with `aws-sigv4`, as the SDK does.
fn sign_with(
    form: SignatureForm,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &SignableBody<'_>,
    secret: &str,
) -> SignedRequest {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    if form == SignatureForm::Url {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_mins(5));
    }
    let identity = aws_credential_types::Credentials::new(
        "AKIDEXAMPLE",
        secret,
        Some("a/session+token=".to_owned()),
        None,
        "test",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("s3")
        .time(SystemTime::UNIX_EPOCH + SIGNED_AT)
        .settings(settings)
        .build()
        .expect("whole")
        .into();
    let signable =
        SignableRequest::new(method, url, headers.iter().copied(), body.clone()).expect("a request that can be signed");
    let (instructions, _) = sign(signable, &parameters).expect("signs").into_parts();
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).expect("a request");
    instructions.apply_to_request_http1x(&mut request);
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("text").to_owned()))
        .collect();
    SignedRequest::sent(method, &request.uri().to_string(), None, &headers).expect("signed")
}

fn of_url() -> SignedRequest {
    let headers = [("x-amz-meta-colour", "green  and  blue")];
    sign_with(SignatureForm::Url, "GET", URL, &headers, &SignableBody::UnsignedPayload, SECRET)
}

fn of_header() -> SignedRequest {
    let headers = [("x-amz-meta-colour", "green"), ("content-type", "text/plain"), ("x-amz-content-sha256", HASH)];
    let body = SignableBody::Precomputed(HASH.to_owned());
    sign_with(SignatureForm::Header, "PUT", URL, &headers, &body, SECRET)
}

/// The time at which the tests sign: 2026-11-22 15:00:00 UTC, as a duration since the Unix epoch.
const SIGNED_AT: Duration = Duration::from_hours(498_711);
const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn case<'a>(seen: &'a SignedRequest, signed: &'a SignedRequest, secrets: [&'a Secret; 2]) -> Case<'a> {
    Case {
        seen,
        seen_by: SeenBy::Store,
        sent: Some(signed),
        signed: Some(signed),
        guesses: Guesses::default(),
        store_secret: Some(secrets[0]),
        signer_secret: Some(secrets[1]),
    }
}

/// A part, and the edit that changes this part.
type Change = (Part, Edit);
/// A function that changes one part of a request.
type Edit = fn(&mut SignedRequest);

const CHANGES: [Change; 13] = [
    (Part::Host, |it| it.host = "minio.foo.svc.cluster.local".to_owned()),
    (Part::Path, |it| it.path.insert_str(0, "/proxy")),
    (Part::Query, |it| it.query.push(("utm_source".to_owned(), "mail".to_owned()))),
    (Part::Method, |it| it.method = "HEAD".to_owned()),
    (Part::Payload, |it| it.payload.hash = "0".repeat(64)),
    (Part::Date, |it| it.date = "20261122T160000Z".to_owned()),
    (Part::Scope, |it| it.scope = it.scope.replace("eu-central-1", "us-east-1")),
    (Part::SignedHeaders, |it| it.signed_headers.retain(|name| name == "host")),
    (Part::Token, |it| it.token = None),
    (Part::Signature, |it| it.signature = "0".repeat(64)),
    (Part::AccessKey, |it| it.access_key = "AKIDOTHER".to_owned()),
    (Part::Expires, |it| it.expires = "3600".to_owned()),
    (Part::Port, |it| it.host.push_str(":9000")),
];

fn header_change(it: &mut SignedRequest) {
    it.headers.insert("x-amz-meta-colour".to_owned(), "red".to_owned());
}

/// The changes of all parts that a signature of this form covers. The access key of the credential and the validity are
/// signed only in a URL.
fn changes(form: SignatureForm) -> Vec<Change> {
    let covered = |(part, _): &Change| form == SignatureForm::Url || !matches!(part, Part::AccessKey | Part::Expires);
    let mut all: Vec<Change> = CHANGES.into_iter().filter(covered).collect();
    all.push((Part::Header("x-amz-meta-colour".to_owned()), header_change));
    all
}

fn named(finding: &SignatureFinding) -> Vec<Part> {
    let mut parts: Vec<Part> = finding.differs.iter().map(|it| it.part.clone()).collect();
    parts.sort();
    parts
}

#[test]
fn our_signature_is_the_one_that_aws_sigv4_makes() {
    for request in [of_url(), of_header()] {
        assert_eq!(signature(&request, SECRET), request.signature, "{request:?}");
        assert_ne!(signature(&request, OTHER), request.signature);
    }
    for (method, url) in [
        ("GET", "https://h.example:9000/"),
        ("PUT", "http://h.example:80/b/k?partNumber=1&uploadId=a%2Fb%3D"),
        ("DELETE", "https://h.example/b//k/./%25"),
        ("HEAD", "https://h.example/b/k?A=2&a=1&A=1&empty="),
    ] {
        let request = sign_with(SignatureForm::Url, method, url, &[], &SignableBody::UnsignedPayload, SECRET);
        assert_eq!(signature(&request, SECRET), request.signature, "{method} {url}");
    }
}

#[test]
fn each_part_that_is_changed_alone_is_named_alone() {
    let secret = Secret::new(SECRET);
    for signed in [of_url(), of_header()] {
        for (part, change) in changes(signed.form) {
            let mut seen = signed.clone();
            change(&mut seen);
            let finding = investigate(&case(&seen, &signed, [&secret, &secret]));
            assert_eq!(named(&finding), [part], "{:?}", signed.form);
            assert!(finding.proven && finding.secret == SecretFinding::Same, "{finding:?}");
            assert_eq!((finding.valid_as_signed, finding.valid_as_seen), (Some(true), Some(false)));
        }
    }
}

#[test]
fn of_each_two_parts_that_are_changed_both_are_named() {
    let (secret, other) = (Secret::new(SECRET), Secret::new(OTHER));
    for signed in [of_url(), of_header()] {
        let changes = changes(signed.form);
        for (index, (first, change)) in changes.iter().enumerate() {
            for (second, change_too) in &changes[index + 1..] {
                if matches!((first, second), (Part::Host, Part::Port)) {
                    continue; // A host and its port count as one part, so changes of both do not make a pair.
                }
                let mut seen = signed.clone();
                change(&mut seen);
                change_too(&mut seen);
                let mut expected = [first.clone(), second.clone()];
                expected.sort();
                let finding = investigate(&case(&seen, &signed, [&secret, &secret]));
                assert_eq!(named(&finding), expected);
                assert!(finding.proven && finding.secret == SecretFinding::Same, "{finding:?}");
                // Two parts are changed, and at the same time the store has a different secret key.
                let finding = investigate(&case(&seen, &signed, [&other, &secret]));
                assert_eq!(named(&finding), expected);
                assert!(finding.proven && finding.secret == SecretFinding::Other, "{finding:?}");
            }
        }
    }
}

#[test]
fn a_wrong_secret_is_called_a_secret_and_nothing_else() {
    let (secret, other) = (Secret::new(SECRET), Secret::new(OTHER));
    for signed in [of_url(), of_header()] {
        let finding = investigate(&case(&signed, &signed, [&other, &secret]));
        assert_eq!((named(&finding), finding.secret, finding.proven), (vec![], SecretFinding::Other, true));
        // The store's key is not known. The signer's key validates the request that the store saw, so the store must
        // have another key.
        let unknown = Case { store_secret: None, ..case(&signed, &signed, [&other, &secret]) };
        let finding = investigate(&unknown);
        assert_eq!((named(&finding), finding.secret, finding.proven), (vec![], SecretFinding::Other, true));
        assert_eq!(finding.valid_as_seen, None);
        // The signer is not known, and no change makes the signature valid. Then the finding must not blame the host.
        let hosts = vec!["minio.example.com".to_owned(), "minio.foo.svc.cluster.local".to_owned()];
        let guesses = Guesses { hosts, ..Guesses::default() };
        let stranger =
            Case { signed: None, signer_secret: None, sent: None, guesses, ..case(&signed, &signed, [&other, &other]) };
        let finding = investigate(&stranger);
        assert_eq!((named(&finding), finding.secret, finding.proven), (vec![], SecretFinding::Unknown, false));
        let sentence = words::sentence(&finding);
        assert!(sentence.contains("most likely it was signed with another secret key"), "{sentence}");
        assert!(!sentence.contains("rewrites"), "{sentence}");
    }
}

#[test]
fn a_key_is_blamed_only_as_far_as_it_is_known() {
    let (secret, other, third) = (Secret::new(SECRET), Secret::new(OTHER), Secret::new("a-third-key-that-nobody-gave"));
    let signed = of_url();
    // The signature is valid neither with the signer's secret key nor with the store's. If these keys differ, the
    // result says so (`Other`). If they are equal, it is not known which key was used (`Unknown`). In both cases,
    // nothing is proven.
    for (secrets, finding) in [([&other, &third], SecretFinding::Other), ([&other, &other], SecretFinding::Unknown)] {
        let found = investigate(&case(&signed, &signed, secrets));
        assert_eq!((found.secret, found.proven), (finding, false));
    }
    // With the signer's key, the signature is valid for the request that was signed, but not for the request that the
    // store saw. Therefore the store may have the same key as the signer.
    let mut seen = signed.clone();
    seen.host = "minio.foo.svc.cluster.local".to_owned();
    let unknown = Case { store_secret: None, ..case(&seen, &signed, [&other, &secret]) };
    let found = investigate(&unknown);
    assert_eq!((named(&found), found.secret, found.proven), (vec![Part::Host], SecretFinding::Unknown, true));
    // If only the sender saw the request, the request may have changed on its way to the store. Then nothing is known
    // about the store's key.
    let sent = Case { seen_by: SeenBy::Sender, store_secret: None, ..case(&signed, &signed, [&other, &secret]) };
    assert_eq!(investigate(&sent).secret, SecretFinding::Unknown);
}

#[test]
fn of_a_stranger_s_url_the_usual_changes_are_found_by_the_signature_alone() {
    let secret = Secret::new(SECRET);
    let signed = of_url();
    let table: [(&[Part], Edit); 9] = [
        // Between signing and arrival, the bucket moved from the path into the host name; in the next case, the other
        // way round.
        (&[Part::Host, Part::Path], |it| {
            it.host.insert_str(0, "photos.");
            it.path = it.path.replace("/photos/", "/");
        }),
        (&[Part::Host, Part::Path], |it| {
            it.host = "example.com".to_owned();
            it.path.insert_str(0, "/minio");
        }),
        (&[Part::Host], |it| it.host = "minio.foo.svc.cluster.local".to_owned()),
        (&[Part::Port], |it| it.host.push_str(":9000")),
        (&[Part::Path], |it| it.path.insert_str(0, "/s3/eu")),
        (&[Part::Query], |it| it.query.push(("utm_source".to_owned(), "mail".to_owned()))),
        (&[Part::Method], |it| it.method = "HEAD".to_owned()),
        (&[Part::Payload], |it| it.payload = Payload { hash: HASH.to_owned(), in_query: false }),
        (&[Part::Host, Part::Query], |it| {
            it.host = "minio.foo.svc.cluster.local".to_owned();
            it.query.push(("utm_source".to_owned(), "mail".to_owned()));
        }),
    ];
    for (parts, change) in table {
        let mut seen = signed.clone();
        change(&mut seen);
        let hosts = vec!["minio.example.com".to_owned(), "minio.foo.svc.cluster.local".to_owned()];
        let guesses = Guesses { hosts, ..Guesses::default() };
        let stranger = Case {
            signed: None,
            sent: Some(&seen),
            signer_secret: None,
            guesses,
            ..case(&seen, &signed, [&secret, &secret])
        };
        let finding = investigate(&stranger);
        assert_eq!(named(&finding), parts);
        assert!(finding.proven && finding.secret == SecretFinding::Same, "{finding:?}");
    }
}

#[test]
fn another_order_or_spelling_of_the_same_request_is_no_difference() {
    let headers = BTreeMap::new();
    let base = "https://minio.example.com/b/%C3%A4%20.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261122%2Fr%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=00&b=2&a=x%20y";
    let request = SignedRequest::sent("GET", base, None, &headers).expect("signed");
    for same in [
        base.replace("b=2&a=x%20y", "a=x+y&b=2"),
        base.replace("%C3%A4", "%c3%a4"),
        base.replace("minio.example.com/", "minio.example.com:443/"),
        base.replace("X-Amz-Signature=00&b=2", "b=2&X-Amz-Signature=00"),
    ] {
        assert_eq!(SignedRequest::sent("GET", &same, None, &headers).as_ref(), Some(&request), "{same}");
    }
    let other = base.replace("%20.txt", "%2520.txt");
    assert_ne!(SignedRequest::sent("GET", &other, None, &headers).as_ref(), Some(&request));
}

#[test]
fn the_path_of_a_trace_is_read_as_the_server_read_it() {
    // The columns are the path that the trace of a Go server shows, the path that was sent, and the path for which the
    // server computes the signature.
    let table = [
        ("/b/a b", Some("/b/a%20b"), "/b/a b"),
        ("/b/a%2Bb", Some("/b/a%2Bb"), "/b/a+b"),
        ("/b/a%20b", Some("/b/a%2520b"), "/b/a%20b"),
        ("/b/a%2Fb", Some("/b/a%2Fb"), "/b/a/b"),
        ("/b/a%2Fb", Some("/b/a%252Fb"), "/b/a%2Fb"),
        ("/b/a%2Bb", None, "/b/a+b"),
        ("/b/100%", Some("/b/100%25"), "/b/100%"),
    ];
    for (shown, sent, expected) in table {
        let headers = BTreeMap::from([("host".to_owned(), "h".to_owned())]);
        let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F1%2Fr%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=00";
        let arrived = Arrived { method: "GET".to_owned(), path: shown.to_owned(), query: query.to_owned(), headers };
        let request = SignedRequest::arrived(&arrived, sent).expect("signed");
        assert_eq!(request.path, expected, "{shown} {sent:?}");
    }
}

#[test]
fn what_carries_no_signature_of_ours_is_left_alone() {
    let headers = BTreeMap::from([("authorization".to_owned(), "Bearer abc".to_owned())]);
    assert_eq!(SignedRequest::sent("GET", "https://h/b/k", None, &headers), None);
    assert_eq!(SignedRequest::sent("GET", "https://h/b/k?X-Amz-Signature=1", None, &BTreeMap::new()), None);
    assert_eq!(SignedRequest::sent("GET", "h/b/k", None, &BTreeMap::new()), None);
}

#[test]
fn every_difference_has_its_sentence() {
    let (secret, other) = (Secret::new(SECRET), Secret::new(OTHER));
    let mut text = String::new();
    let mut say = |title: &str, finding: &SignatureFinding| {
        writeln!(text, "{title}\n  {}", words::sentence(finding)).expect("writes");
    };
    let signed = of_url();
    for (part, change) in changes(SignatureForm::Url) {
        let mut seen = signed.clone();
        change(&mut seen);
        let finding = investigate(&case(&seen, &signed, [&secret, &secret]));
        say(&part.to_string(), &finding);
        let already = Case { sent: Some(&seen), ..case(&seen, &signed, [&secret, &secret]) };
        if part == Part::Host {
            say("host, as it was sent", &investigate(&already));
        }
    }
    let table: [(&str, Edit); 11] = [
        ("path style became virtual-host style", |it| {
            it.host.insert_str(0, "photos.");
            it.path = it.path.replace("/photos/", "/");
        }),
        ("virtual-host style became path style", |it| {
            it.host = "example.com".to_owned();
            it.path.insert_str(0, "/minio");
        }),
        ("a prefix was taken off", |it| it.path = "/a b+c/ä.txt".to_owned()),
        ("a key's byte", |it| it.path = it.path.replace("a b", "a c")),
        ("encoded twice", |it| it.path = encoded(&it.path, true)),
        ("slashes", |it| it.path.insert(0, '/')),
        ("a parameter was dropped", |it| drop(it.query.pop())),
        ("a parameter was changed", |it| it.query[0].1 = "inline".to_owned()),
        ("a checksum", |it| it.query.push(("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned()))),
        ("a header was dropped", |it| drop(it.headers.remove("x-amz-meta-colour"))),
        ("two", |it| {
            it.host = "minio.foo.svc.cluster.local".to_owned();
            it.query.push(("utm_source".to_owned(), "mail".to_owned()));
        }),
    ];
    for (title, change) in table {
        let mut seen = signed.clone();
        change(&mut seen);
        say(title, &investigate(&case(&seen, &signed, [&secret, &secret])));
    }
    say("secret", &investigate(&case(&signed, &signed, [&other, &secret])));
    let mut seen = signed.clone();
    seen.host = "minio.foo.svc.cluster.local".to_owned();
    say("secret and host", &investigate(&case(&seen, &signed, [&other, &secret])));
    say("nothing", &investigate(&case(&signed, &signed, [&secret, &secret])));
    let sender = Case { seen_by: SeenBy::Sender, ..case(&signed, &signed, [&secret, &secret]) };
    say("nothing, and no witness", &investigate(&sender));
    let unknown = Case { store_secret: None, signer_secret: None, ..case(&seen, &signed, [&secret, &secret]) };
    say("no secret known", &investigate(&unknown));
    let stranger = Case { signed: None, signer_secret: None, ..case(&seen, &signed, [&other, &other]) };
    say("a stranger's, and nothing helps", &investigate(&stranger));
    insta::assert_snapshot!(text);
}
