//! Tests the name server and the edge of the external network together, on loopback.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_vocab::question::{Detour, DnsQuestion, HttpQuestion, TlsQuestion};
use parallax_vocab::world::{EdgeRule, Entry, NameTarget, WorldConfig};
use parallax_vocab::{Answer, Cause, DnsFault, Probe, Question, Reply, TlsFault, View};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::log::Log;
use super::{Running, start};

const HOST: &str = "minio.example.com";
const EDGE: &str = "192.0.2.2";

/// The name server and the edge, on loopback, and the entries that they logged.
struct World {
    running: Running,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl World {
    async fn start(backend: &str) -> Self {
        Self::start_with(backend, None).await
    }

    async fn start_with(backend: &str, cluster: Option<&str>) -> Self {
        let listen = own_address();
        let port = free_port(listen).await;
        let config = WorldConfig {
            names: BTreeMap::from([(HOST.to_owned(), NameTarget::Edge)]),
            edge: vec![EdgeRule { host: HOST.to_owned(), port, backend: backend.to_owned() }],
            cluster: cluster.map(str::to_owned),
            address: Some(EDGE.parse().unwrap()),
            listen: Some(listen),
            dns_port: 0,
        };
        let entries: Arc<Mutex<Vec<Entry>>> = Arc::default();
        let taker = entries.clone();
        let log = Log::new(move |line| taker.lock().unwrap().push(serde_json::from_str(&line).unwrap()));
        Self { running: start(&config, log).await.unwrap(), entries }
    }

    fn edge(&self) -> SocketAddr {
        self.running.at.1[0]
    }

    async fn ask(&self, trust: &str, probe: Probe) -> Answer {
        let from = SocketAddr::new(EDGE.parse().unwrap(), 443);
        let view = View {
            trust: vec![trust.to_owned()],
            pin: None,
            name_servers: vec![self.running.at.0],
            detours: vec![Detour { from, to: self.edge() }],
            identity: None,
            own_resolver: None,
        };
        parallax_probe::ask(&Question { view, deadline_ms: 10_000, probe }).await
    }

    /// Waits until a log entry satisfies `wanted`, and returns this entry. The edge logs a connection only after its
    /// end, so the entry may be late.
    async fn until(&self, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let found = async {
            loop {
                if let Some(entry) = self.entries.lock().unwrap().iter().find(|entry| wanted(entry)) {
                    return entry.clone();
                }
                // The list of entries does not signal changes, so the test polls it. The timeout below limits the wait.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), found).await.expect("the entry was logged")
    }
}

/// Returns a loopback address that no other test of this process uses. The name server uses the same port number for
/// UDP and for TCP. At a shared address, another test could already use that number for one of the two protocols.
fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    IpAddr::from([127, 1, 0, NEXT.fetch_add(1, Ordering::Relaxed)])
}

async fn free_port(address: IpAddr) -> u16 {
    TcpListener::bind((address, 0)).await.unwrap().local_addr().unwrap().port()
}

/// Starts a TLS server that answers every connection with one word. Returns its address and its certificate.
async fn backend() -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned(), "other.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (at, certificate.pem())
}

#[tokio::test]
async fn names_of_the_edge_do_not_exist_for_the_cluster() {
    let question = || Probe::Dns(DnsQuestion { name: HOST.to_owned() });
    let outside = World::start_with("127.0.0.1:1", Some("192.0.2.9")).await.ask("", question()).await;
    assert!(outside.outcome.is_ok(), "{outside:?}");
    let inside = World::start_with("127.0.0.1:1", Some("127.0.0.1")).await.ask("", question()).await;
    assert!(matches!(inside.outcome, Err(Cause::Dns { fault: DnsFault::NoSuchName, .. })), "{inside:?}");
}

#[tokio::test]
async fn a_name_leads_through_the_edge_to_the_backend_and_is_logged() {
    let (at, pem) = backend().await;
    let world = World::start(&at.to_string()).await;
    let question = HttpQuestion::new("GET", format!("https://{HOST}/"));
    let answer = world.ask(&pem, Probe::Http(question)).await;
    let Ok(Reply::Http(reply)) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
    assert_eq!(answer.evidence.dialled, Some(world.edge()));

    let dns = |entry: &Entry| matches!(entry, Entry::Dns { name, kind_asked, answer, .. } if name == HOST && kind_asked == "A" && answer == EDGE);
    world.until(dns).await;
    let edge = world.until(|entry| matches!(entry, Entry::Edge { .. })).await;
    let Entry::Edge { sni, backend, bytes_in, bytes_out, error, from, .. } = edge else { unreachable!() };
    assert_eq!((sni.as_deref(), backend, error), (Some(HOST), Some(at.to_string()), None));
    assert!(bytes_in > 200 && bytes_out > 200, "{bytes_in} {bytes_out}");
    assert_eq!(Some(from), answer.evidence.local);
    assert!(matches!(world.entries.lock().unwrap()[0], Entry::Listening { .. }));
}

#[tokio::test]
async fn a_name_that_is_not_declared_does_not_exist() {
    let world = World::start("127.0.0.1:1").await;
    for (name, expected) in [
        ("sts.us-east-1.amazonaws.com", DnsFault::NoSuchName),
        ("example.com", DnsFault::NoAddress),
        ("x.minio.example.com", DnsFault::NoSuchName),
    ] {
        let answer = world.ask("", Probe::Dns(DnsQuestion { name: name.to_owned() })).await;
        assert!(matches!(answer.outcome, Err(Cause::Dns { fault, .. }) if fault == expected), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn the_edge_sends_a_tls_alert_if_it_has_no_rule() {
    let (_, pem) = backend().await;
    let world = World::start("127.0.0.1:1").await;
    let question = |server_name: &str| {
        let server_name = Some(server_name.to_owned());
        Probe::Tls(TlsQuestion { host: HOST.to_owned(), port: 443, server_name })
    };
    let answer = world.ask(&pem, question("other.example.com")).await;
    let Err(Cause::Tls { fault: TlsFault::Handshake, detail }) = &answer.outcome else { panic!("{answer:?}") };
    assert!(detail.contains("UnrecognisedName"), "{detail}");
    world
        .until(
            |entry| matches!(entry, Entry::Edge { sni: Some(name), backend: None, .. } if name == "other.example.com"),
        )
        .await;

    // The rule's backend is a port where no process listens. The client sees a closed connection, and the log contains
    // the reason.
    let answer = world.ask(&pem, question(HOST)).await;
    assert!(matches!(answer.outcome, Err(Cause::Connect { .. })), "{answer:?}");
    let refused = |entry: &Entry| matches!(entry, Entry::Edge { error: Some(why), .. } if why.contains("refused"));
    world.until(refused).await;
}

#[tokio::test]
async fn the_error_names_a_port_that_is_in_use() {
    let address = own_address();
    let taken = TcpListener::bind((address, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = WorldConfig {
        edge: vec![EdgeRule { host: HOST.to_owned(), port, backend: "b:1".to_owned() }],
        listen: Some(address),
        address: Some(EDGE.parse().unwrap()),
        dns_port: 0,
        ..WorldConfig::default()
    };
    let refused = start(&config, Log::new(drop)).await.err().map(|why| why.to_string());
    assert_eq!(refused, Some(format!("failed to listen for TLS at {address}:{port}")));
}
