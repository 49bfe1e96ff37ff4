//! Tests what the redactor removes and what it leaves unchanged.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;

use super::*;
use crate::forms::forms;

/// A random secret of letters and digits, like those that the harness makes.
const MARKER: &str = "k7wqz4h2m9x3c8v5n6b2jfd8";

fn knowing(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        redactor.register(&Secret::new(*secret));
    }
    redactor
}

#[test]
fn a_registered_secret_goes_wherever_it_stands() {
    let redactor = knowing(&[
        "s3cr3t/with+signs",
        "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----\n",
        "s3cr3t",
        "correct-horse-battery",
    ]);
    let table = [
        ("start s3cr3t/with+signs end", "start [redacted] end"),
        ("twice s3cr3t s3cr3t", "twice [redacted] [redacted]"),
        ("?key=s3cr3t%2Fwith%2Bsigns", "?key=[redacted]"),
        ("log: AAAABBBBCCCC", "log: [redacted]"),
        ("-----BEGIN KEY-----", "-----BEGIN KEY-----"),
        ("a horse, correct-horse-battery", "a horse, [redacted]"),
        ("correct-horse, then", "correct-horse, then"),
        ("nothing here", "nothing here"),
    ];
    for (text, clean) in table {
        assert_eq!(redactor.text(text), clean);
    }
}

#[test]
fn no_form_of_a_secret_and_no_piece_of_one_is_left() {
    let redactor = knowing(&[MARKER]);
    for form in forms(MARKER) {
        for from in 0..form.len() - PIECE {
            for to in [from + PIECE, form.len()] {
                let text = format!("häß {} ß", &form[from..to]);
                assert_eq!(redactor.text(&text), "häß [redacted] ß", "{text}");
            }
        }
    }
    for before in ["", "u", "us", "user:"] {
        let whole = format!("{before}{MARKER} and so on");
        for text in [STANDARD.encode(&whole), URL_SAFE.encode(&whole), hex::encode(&whole)] {
            let left = redactor.text(&text);
            assert!(left.contains(REDACTED), "{left}");
            for form in forms(MARKER) {
                let mut pieces = form.as_bytes().windows(PIECE);
                assert!(!pieces.any(|it| left.as_bytes().windows(PIECE).any(|seen| seen == it)), "{left}");
            }
        }
    }
}

#[test]
fn of_a_text_that_was_cut_no_rest_of_a_secret_is_left() {
    let secrets = [MARKER, "correct-horse-battery-staple-42", "correct-horse-battery-staple", "an old tree of mine"];
    let redactor = knowing(&secrets);
    for secret in secrets {
        for form in forms(secret) {
            for length in LEAST_REST..=form.len() {
                let (beginning, ending) = (&form[..length], &form[form.len() - length..]);
                for (text, clean) in [
                    (format!("\"key: {beginning}\" and 40 bytes more"), "\"key: [redacted]\" and 40 bytes more"),
                    (format!("key: {beginning}…"), "key: [redacted]…"),
                    (format!("key: {beginning} ... more"), "key: [redacted] ... more"),
                    (format!("… \"{ending} is it\""), "… \"[redacted] is it\""),
                    (format!("key: ... {ending}"), "key: ... [redacted]"),
                ] {
                    assert_eq!(redactor.text(&text), clean, "{text}");
                }
            }
        }
    }
    let long = "x ".repeat(MAYBE_CUT_FROM / 2);
    assert_eq!(redactor.text(&format!("{long}correct-hor")), format!("{long}[redacted]"));
    assert_eq!(redactor.text(&format!("se-battery-staple {long}")), format!("[redacted] {long}"));
    for text in ["a cork… and more", "… and more", "... whorse", "...", "…", "a ... b"] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn a_key_or_a_token_goes_by_its_look() {
    let redactor = Redactor::default();
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----";
    let table = [
        (format!("token {token}, that"), "token [redacted], that".to_owned()),
        (format!("Bearer%20{token}"), "Bearer%20[redacted]".to_owned()),
        (token[..50].to_owned(), "[redacted]".to_owned()),
        (format!("a\n{key}\nb"), "a\n-----BEGIN EC PRIVATE KEY-----[redacted]\nb".to_owned()),
        (format!("{:?}", &key[..36]), "\"-----BEGIN EC PRIVATE KEY-----[redacted]".to_owned()),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned(),
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned(),
        ),
        ("tcp://name:word@host:2375 is not there".to_owned(), "tcp://[redacted]@host:2375 is not there".to_owned()),
        ("HTTP://name:w@rd@host:80/".to_owned(), "HTTP://[redacted]@host:80/".to_owned()),
        ("https://token@host/x".to_owned(), "https://[redacted]@host/x".to_owned()),
        ("ssh://name@host".to_owned(), "ssh://name@host".to_owned()),
        ("no proxy name:w@rd@host:3128 answers".to_owned(), "no proxy [redacted]@host:3128 answers".to_owned()),
        ("proxy=name:word@[::1]:3128".to_owned(), "proxy=[redacted]@[::1]:3128".to_owned()),
        ("\"name:word@host:3128\"".to_owned(), "\"[redacted]@host:3128\"".to_owned()),
        (
            format!("x/minio:1@sha256:{}", "0123456789abcdef".repeat(4)),
            format!("x/minio:1@sha256:{}", "0123456789abcdef".repeat(4)),
        ),
        (format!("minio:1@sha256:{}", "0".repeat(64)), format!("minio:1@sha256:{}", "0".repeat(64))),
        ("at 12:30, a@b answers".to_owned(), "at 12:30, a@b answers".to_owned()),
        ("[\"https://host:9000\",\"a@b\"]".to_owned(), "[\"https://host:9000\",\"a@b\"]".to_owned()),
        ("https://host:9000/a@b".to_owned(), "https://host:9000/a@b".to_owned()),
        (
            "AWS4-HMAC-SHA256 Credential=A/b, Signature=0123456789abcdef0123".to_owned(),
            "AWS4-HMAC-SHA256 Credential=A/b, Signature=[redacted]".to_owned(),
        ),
    ];
    for (text, clean) in table {
        assert_eq!(redactor.text(&text), clean);
    }
}

#[test]
fn an_address_of_a_setting_shows_no_user_however_it_is_written() {
    let table = [
        ("me:hunter22@proxy.example.com:3128", "[redacted]@proxy.example.com:3128"),
        ("me:hunter22@proxy.example.com", "[redacted]@proxy.example.com"),
        ("hunter22@proxy.example.com", "[redacted]@proxy.example.com"),
        ("http://me:hunt/er#22?@proxy.example.com/", "http://[redacted]@proxy.example.com/"),
        ("me:hunter://22@proxy", "[redacted]@proxy"),
        ("://me:hunter22@proxy", "[redacted]@proxy"),
        ("SOCKS5H://me:hunter22@proxy", "SOCKS5H://[redacted]@proxy"),
        ("ssh://me@far.example", "ssh://me@far.example"),
        ("ssh://me:hunter22@far.example", "ssh://[redacted]@far.example"),
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("localhost,.example.com,10.0.0.0/8", "localhost,.example.com,10.0.0.0/8"),
        ("", ""),
    ];
    for (text, shown) in table {
        assert_eq!(super::address(text), shown, "{text}");
    }
}

#[test]
fn the_credential_of_a_presigned_url_goes_and_the_rest_of_the_url_stays() {
    let redactor = Redactor::default();
    let table = [
        ("https://h/b?X-Amz-Signature=abc123&X-Amz-Date=1", "https://h/b?X-Amz-Signature=[redacted]&X-Amz-Date=1"),
        ("GET /b?x-amz-signature=abc HTTP/1.1", "GET /b?x-amz-signature=[redacted] HTTP/1.1"),
        (
            "\"u?X-Amz-Security-Token=ab%2Fc\" and X-Amz-Signature=f",
            "\"u?X-Amz-Security-Token=[redacted]\" and X-Amz-Signature=[redacted]",
        ),
        (
            "?u=https%3A%2F%2Fh%2Fb%3FX-Amz-Signature%3Dab12%26a%3Db",
            "?u=https%3A%2F%2Fh%2Fb%3FX-Amz-Signature%3D[redacted]%26a%3Db",
        ),
        ("X-Amz-Signature=", "X-Amz-Signature="),
        ("häßlich X-Amz-Signature=ä&ö", "häßlich X-Amz-Signature=[redacted]&ö"),
    ];
    for (text, clean) in table {
        assert_eq!(redactor.text(text), clean);
    }
}

#[test]
fn fields_that_hold_credentials_go_unregistered_too() {
    let mut value = json!({
        "access_key": "AKIA", "secret_key": "short", "list": [{"session_token": "t"}], "headers": {"Authorization": "Bearer x"},
    });
    Redactor::default().apply(&mut value);
    assert_eq!(
        value.to_string(),
        r#"{"access_key":"AKIA","secret_key":"[redacted]","list":[{"session_token":"[redacted]"}],"headers":{"Authorization":"[redacted]"}}"#
    );
}

#[test]
fn names_within_an_object_are_redacted_and_none_is_lost() {
    let mut value = json!({ (MARKER): 1, (format!("x{MARKER}")): [2], (format!("{MARKER}{MARKER}")): 3 });
    knowing(&[MARKER]).apply(&mut value);
    assert_eq!(value, json!({ "[redacted]": 1, "x[redacted]": [2], "[redacted]'": 3 }));
}

#[test]
fn an_empty_or_tiny_secret_does_not_eat_the_record() {
    let redactor = knowing(&["", "a", "-----BEGIN A-----\n-----END A-----"]);
    redactor.register_found("namespace", "default");
    redactor.register_found("key", "-----BEGIN CERTIFICATE-----\nMIIB1234MIIB1234\n-----END CERTIFICATE-----");
    for text in ["as expected", "in default", "MIIB1234MIIB1234", "-----END A-----"] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn a_plain_word_is_secret_where_its_name_says_so() {
    let table = [
        ("password", true),
        ("root-password", true),
        ("POSTGRES_PASSWD", true),
        ("secret-key", true),
        ("api.token", true),
        ("tls.key", true),
        ("credentials", true),
        ("namespace", false),
        ("access-key", false),
        ("AWS_ACCESS_KEY_ID", false),
        ("public_key", false),
    ];
    for (name, is_secret) in table {
        let redactor = Redactor::default();
        redactor.register_found(name, "sunflower");
        assert_eq!(redactor.text("a sunflower"), if is_secret { "a [redacted]" } else { "a sunflower" }, "{name}");
    }
}

#[test]
fn each_text_of_a_list_is_secret_where_its_name_says_so() {
    let mut found = json!({ "set-cookie": ["session=one", { "plain": "two" }], "set": ["three"] });
    Redactor::default().apply(&mut found);
    assert_eq!(found["set-cookie"][0], REDACTED);
    assert_eq!((&found["set-cookie"][1]["plain"], &found["set"][0]), (&"two".into(), &"three".into()));
}

#[test]
fn no_piece_of_a_long_secret_is_left_up_to_a_limit() {
    let long = |length: usize| -> String {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[usize::try_from(seed >> 33).unwrap_or(0) % 36])
        };
        (0..length).map(|_| next()).collect()
    };
    let secret = long(EVERY_PIECE_UP_TO);
    let redactor = knowing(&[&secret]);
    for form in forms(&secret) {
        for from in (0..form.len() - PIECE).step_by(97) {
            assert_eq!(redactor.text(&format!("<{}>", &form[from..from + PIECE])), "<[redacted]>", "{from}");
        }
    }
    let longer = long(EVERY_PIECE_UP_TO + 1);
    let redactor = knowing(&[&longer]);
    assert_eq!(redactor.text(&format!("<{longer}>")), "<[redacted]>");
    for form in forms(&longer) {
        let left = redactor.text(&form[5..form.len() - 5]).replace(REDACTED, "");
        assert!(left.len() < 2 * PIECE, "{left}");
    }
}

#[test]
fn what_all_keys_have_in_common_is_no_secret() {
    let redactor =
        knowing(&[&format!("-----BEGIN PRIVATE KEY-----\n{BEGINNING_OF_KEYS}{MARKER}\n-----END PRIVATE KEY-----")]);
    let certificate = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE CCqGSM49AwEHA0IABA";
    assert_eq!(redactor.text(certificate), certificate);
    assert_eq!(redactor.text(&format!("is {}", &MARKER[4..])), "is [redacted]");
}

#[test]
fn a_private_key_in_the_lines_of_a_log_goes() {
    let mut value = json!({ "logs": ["before", "-----BEGIN PRIVATE KEY-----", "QUJDREVGR0hJSktMTU5PUA==",
        "-----END PRIVATE KEY-----", "after"] });
    Redactor::default().apply(&mut value);
    let text = value.to_string();
    assert!(!text.contains("QUJDREVG"), "{text}");
    assert!(text.contains("before") && text.contains("after"), "{text}");
}

/// The document in this test is a list of users as SeaweedFS reads it. It comes from a Kubernetes Secret.
#[test]
fn only_the_texts_of_a_document_are_secret_and_not_its_words() {
    let redactor = Redactor::default();
    let document = r#"{"identities":[{"name":"applications","credentials":[{"accessKey":"SY1UUH4BPW6JAGKWD0VM",
        "secretKey":"sunflower"}],"actions":["Admin","Read:photos-2026"]}]}"#;
    redactor.register_found("s3.json", document);
    for word in ["identities", "InvalidAccessKeyId", "X-Amz-Credential", "applications"] {
        assert_eq!(redactor.text(word), word);
    }
    for secret in ["SY1UUH4BPW6JAGKWD0VM", "sunflower"] {
        assert!(!redactor.text(document).contains(secret), "{secret}");
    }
}
