//! Tests the agent as a process: environment variables do not change its answers, and it ends when its input ends.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use parallax_vocab::question::{
    Detour, DnsQuestion, HttpQuestion, PresignQuestion, S3Access, S3Operation, S3Question, TlsQuestion,
};
use parallax_vocab::wire::{self, FromAgent, ToAgent};
use parallax_vocab::{Answer, Probe, Question, Reply, Secret, View};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

struct Agent {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    buffer: Vec<u8>,
}

impl Agent {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parallax-agent"));
        command.arg("session").env_clear().envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut agent = Self { child, input, output, buffer: Vec::new() };
        assert!(matches!(agent.read(), FromAgent::Hello { version: wire::VERSION, .. }));
        agent
    }

    fn read(&mut self) -> FromAgent {
        loop {
            if let Some(message) = wire::decode(&mut self.buffer).unwrap() {
                return message;
            }
            let mut part = [0; 4096];
            let read = self.output.read(&mut part).unwrap();
            assert!(read > 0, "the agent ended");
            self.buffer.extend_from_slice(&part[..read]);
        }
    }

    fn ask(&mut self, view: &View, probe: Probe) -> Answer {
        let question = Box::new(Question { view: view.clone(), deadline_ms: 10_000, probe });
        self.input.write_all(&wire::encode(&ToAgent::Ask { request: 7, question }).unwrap()).unwrap();
        match self.read() {
            FromAgent::Answered { request: 7, answer } => *answer,
            other => panic!("{other:?}"),
        }
    }

    /// Closes the agent's standard input and waits until the process ends.
    fn end(self) -> std::process::ExitStatus {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait().unwrap()
    }
}

/// Starts a TLS server that answers every request with 403. Returns its address and its certificate.
fn server() -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["minio.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                let body = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
                let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    (at, certificate.pem())
}

/// Environment variables that a laptop or a CI machine may have. If the agent read one of them, its probes would fail.
const RUBBISH: [(&str, &str); 22] = [
    ("AWS_ACCESS_KEY_ID", "rubbish"),
    ("AWS_SECRET_ACCESS_KEY", "rubbish"),
    ("AWS_SESSION_TOKEN", "rubbish"),
    ("AWS_REGION", "rubbish"),
    ("AWS_DEFAULT_REGION", "rubbish"),
    ("AWS_PROFILE", "rubbish"),
    ("AWS_CONFIG_FILE", "/rubbish"),
    ("AWS_CA_BUNDLE", "/rubbish"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED"),
    ("AWS_EXECUTION_ENV", "rubbish"),
    ("SSL_CERT_FILE", "/rubbish"),
    ("SSL_CERT_DIR", "/rubbish"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ("https_proxy", "http://127.0.0.1:1"),
    ("ALL_PROXY", "http://127.0.0.1:1"),
    ("NO_PROXY", ""),
    ("RES_OPTIONS", "ndots:15 timeout:1"),
    ("LOCALDOMAIN", "rubbish.example.com"),
];

#[test]
fn nothing_is_inherited_from_the_environment() {
    let (at, pem) = server();
    let from = "127.0.0.1:443".parse().unwrap();
    // The list of name servers is empty, because the agent resolves `localhost` itself.
    let view = View {
        trust: vec![pem],
        pin: None,
        name_servers: vec![],
        detours: vec![Detour { from, to: at }],
        identity: None,
        own_resolver: None,
    };
    let access = S3Access {
        endpoint: "https://127.0.0.1".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("secret"),
        session_token: None,
        addressing: parallax_vocab::question::Addressing::Path,
    };
    let tls = |name: &str| {
        Probe::Tls(TlsQuestion { host: "127.0.0.1".to_owned(), port: 443, server_name: Some(name.to_owned()) })
    };
    let presign = PresignQuestion::new(access.clone(), "GET", "photos", "a.txt", 60);
    let list = S3Operation::List { bucket: "photos".to_owned(), prefix: String::new() };
    let get = HttpQuestion::new("GET", format!("http://{at}/"));
    let pinned = View { pin: Some(leaf(&view.trust[0])), ..view.clone() };
    let questions = [
        (&view, tls("minio.example.com")),
        (&view, tls("other.example.com")),
        (&view, Probe::Http(get)),
        (&view, Probe::Dns(DnsQuestion { name: "localhost".to_owned() })),
        (&view, Probe::Presign(presign)),
        (&pinned, Probe::S3(S3Question { access, operation: list, headers: BTreeMap::new() })),
    ];
    let (mut clean, mut soiled) = (Agent::start(&[]), Agent::start(&RUBBISH));
    for (view, probe) in questions {
        let (expected, seen) = (clean.ask(view, probe.clone()), soiled.ask(view, probe));
        assert_eq!(without_variable_parts(expected.clone()), without_variable_parts(seen), "{expected:?}");
    }
    assert!(clean.end().success() && soiled.end().success());
}

/// Removes the parts of an answer that differ in each run: times, ports, and the signature, which depends on the time.
fn without_variable_parts(mut answer: Answer) -> Answer {
    let evidence = &mut answer.evidence;
    (evidence.started_unix_ms, evidence.took_us, evidence.local) = (0, 0, None);
    (evidence.dns_us, evidence.connect_us, evidence.tls_us) = (None, None, None);
    if let Ok(Reply::Presign(reply)) = &mut answer.outcome {
        let parts = reply.url.split('&').filter(|part| !part.contains("Date=") && !part.contains("Signature="));
        reply.url = parts.collect::<Vec<_>>().join("&");
    }
    answer
}

fn leaf(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn questions_are_answered_concurrently_and_the_agent_ends_with_its_input() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut agent = Agent::start(&[]);
    let url = format!("http://{}/", silent.local_addr().unwrap());
    for (request, deadline_ms) in [(1, 1_500), (2, 100), (3, 100)] {
        let get = HttpQuestion::new("GET", url.clone());
        let question = Box::new(Question { view: View::default(), deadline_ms, probe: Probe::Http(get) });
        agent.input.write_all(&wire::encode(&ToAgent::Ask { request, question }).unwrap()).unwrap();
    }
    let order: Vec<_> = (0..3)
        .map(|_| match agent.read() {
            FromAgent::Answered { request, .. } => request,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order[2], 1, "the slow question does not delay the others: {order:?}");
    assert!(agent.end().success());
}
