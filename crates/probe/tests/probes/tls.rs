//! Tests of certificates and handshakes: each rejection has its own cause, and the chain is recorded.

use parallax_vocab::{Probe, Reply, View, question::TlsQuestion};
use tokio::io::AsyncWriteExt as _;

use super::names::NameServer;
use super::server::{self, Authority, Identity};
use super::{ask, kind, tls, view};

const HOST: &str = "minio.example.com";

async fn quiet<S>(_: S) {}

#[tokio::test]
async fn each_certificate_has_its_own_verdict() {
    let names = NameServer::start().await;
    let (ours, other) = (Authority::new("our CA"), Authority::new("other CA"));
    let table: [(&str, Identity, &Authority); 6] = [
        ("none", ours.issue(&[HOST], -1, 1), &ours),
        ("tls unknown-authority", ours.issue(&[HOST], -1, 1), &other),
        ("tls expired", ours.issue(&[HOST], -3, -1), &ours),
        ("tls not-yet-valid", ours.issue(&[HOST], 1, 3), &ours),
        ("tls name-mismatch", ours.issue(&["minio.foo.svc"], -1, 1), &ours),
        ("tls expired", ours.issue(&["minio.foo.svc"], -3, -1), &ours),
    ];
    for (expected, identity, trusted) in table {
        let at = server::tls(identity, quiet).await;
        let answer = ask(view(&names, std::slice::from_ref(&trusted.pem), 443, at), tls(HOST, 443)).await;
        assert_eq!(kind(&answer), expected, "{answer:?}");
        let evidence = &answer.evidence;
        assert_eq!(evidence.chain.len(), 2, "the chain is recorded, accepted or not");
        assert_eq!(evidence.chain[0].issuer, "CN=our CA");
        assert_eq!(evidence.dialled, Some(at));
        assert_eq!(evidence.peer.map(|peer| peer.port()), Some(443));
        assert!(evidence.connect_us.is_some() && evidence.tls_us.is_some() && evidence.local.is_some());
        if expected == "none" {
            assert_eq!(evidence.tls_version.as_deref(), Some("TLSv1.3"));
            assert_eq!(evidence.chain[0].names, [HOST]);
            assert!(matches!(&answer.outcome, Ok(Reply::Tls(reply)) if reply.server_name == HOST));
        }
    }
}

#[tokio::test]
async fn no_trust_means_that_nobody_is_trusted() {
    let names = NameServer::start().await;
    let at = server::tls(Authority::new("our CA").issue(&[HOST], -1, 1), quiet).await;
    let answer = ask(view(&names, &[], 443, at), tls(HOST, 443)).await;
    assert_eq!(kind(&answer), "tls unknown-authority");
    assert!(answer.outcome.unwrap_err().to_string().contains("ends at issuer CN=our CA"));
}

#[tokio::test]
async fn a_pin_accepts_exactly_its_leaf_and_checks_nothing_else() {
    let names = NameServer::start().await;
    let ours = Authority::new("our CA");
    let expired = ours.issue(&["elsewhere.example.com"], -3, -1);
    let leaf = expired.chain[0].to_vec();
    let at = server::tls(expired, quiet).await;
    let other = server::tls(ours.issue(&[HOST], -1, 1), quiet).await;
    for (at, expected) in [(at, "none"), (other, "tls bad-certificate")] {
        let view = View { pin: Some(leaf.clone()), ..view(&names, std::slice::from_ref(&ours.pem), 443, at) };
        assert_eq!(kind(&ask(view, tls(HOST, 443)).await), expected);
    }
}

#[tokio::test]
async fn the_name_that_is_verified_may_differ_from_the_one_dialled() {
    let ours = Authority::new("our CA");
    let at = server::tls(ours.issue(&[HOST, "127.0.0.1"], -1, 1), quiet).await;
    let trust = View { trust: vec![ours.pem], ..View::default() };
    // The host is an IP address, so no name server is needed. If the question has no server name, the certificate must
    // be valid for this IP address.
    for (server_name, expected) in [(None, "none"), (Some(HOST), "none"), (Some("x.example.com"), "tls name-mismatch")]
    {
        let server_name = server_name.map(str::to_owned);
        let probe = Probe::Tls(TlsQuestion { host: at.ip().to_string(), port: at.port(), server_name });
        assert_eq!(kind(&ask(trust.clone(), probe).await), expected);
    }
}

#[tokio::test]
async fn what_is_not_tls_and_what_breaks_off() {
    let names = NameServer::start().await;
    let plain = server::tcp(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await.ok();
        server::head(&mut stream).await;
    })
    .await;
    let banner = server::tcp(|mut stream| async move {
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await.ok();
        server::head(&mut stream).await;
    })
    .await;
    let alert = server::tcp(|mut stream| async move {
        // The server answers with a fatal TLS alert: handshake_failure.
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.ok();
        server::head(&mut stream).await;
    })
    .await;
    let cut = server::tcp(|mut stream| async move {
        // The server sends only the first bytes of a TLS record, and then closes the connection.
        stream.write_all(&[22, 3, 3, 0, 80, 2]).await.ok();
    })
    .await;
    let mute = server::tcp(quiet).await;
    let table = [
        (plain, "tls not-tls"),
        (banner, "tls not-tls"),
        (alert, "tls handshake"),
        (cut, "tls handshake"),
        (mute, "connect reset"),
    ];
    for (at, expected) in table {
        let answer = ask(view(&names, &[], 443, at), tls(HOST, 443)).await;
        assert_eq!(kind(&answer), expected, "{answer:?}");
    }
}
