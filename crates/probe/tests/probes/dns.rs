//! Tests that each possible answer of a name server leads to its own cause.

use std::net::SocketAddr;

use parallax_vocab::question::DnsQuestion;
use parallax_vocab::{Answer, Probe, Question, Reply, View};

use super::names::NameServer;
use super::{NOWHERE, kind};

async fn resolve(server: SocketAddr, name: &str, deadline_ms: u64) -> Answer {
    let view = View { name_servers: vec![server], ..View::default() };
    let probe = Probe::Dns(DnsQuestion { name: name.to_owned() });
    parallax_probe::ask(&Question { view, deadline_ms, probe }).await
}

#[tokio::test]
async fn each_answer_has_its_own_cause() {
    let names = NameServer::start().await;
    let table = [
        ("gone.example.com", "dns no-such-name"),
        ("empty.example.com", "dns no-address"),
        ("broken.example.com", "dns server-failure"),
        ("closed.example.com", "dns refused"),
        ("silent.example.com", "dns timeout"),
        ("minio.example.com", "none"),
        ("minio.example.com.", "none"),
        ("not a..name", "client"),
    ];
    for (name, expected) in table {
        let answer = resolve(names.at, name, 2_000).await;
        assert_eq!(kind(&answer), expected, "{name}: {answer:?}");
        assert_eq!(answer.evidence.name_servers, [names.at], "{name}");
        if expected == "none" {
            assert_eq!(answer.evidence.addresses, [NOWHERE.parse::<std::net::IpAddr>().unwrap()]);
            assert!(answer.evidence.dns_us.is_some());
        }
    }
}

#[tokio::test]
async fn no_server_at_all_is_a_time_out_too() {
    let closed = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(kind(&resolve(closed, "minio.example.com", 2_000).await), "dns timeout");
}

#[tokio::test]
async fn aliases_ttl_and_long_answers_are_read() {
    let names = NameServer::start().await;
    let answer = resolve(names.at, "alias.example.com", 5_000).await;
    let Ok(Reply::Dns(reply)) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!((reply.cnames.as_slice(), reply.ttl_s), (["target.example.com".to_owned()].as_slice(), 9));

    let answer = resolve(names.at, "many.example.com", 5_000).await;
    let Ok(Reply::Dns(reply)) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!(reply.addresses.len(), 256);
}
