//! A proxy in front of a kept store, for the tests of `parallax check`. The proxy terminates TLS, and has one fault
//! at a time.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The time limit of each read and write, so that the threads of the proxy end soon after the test.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest request body that the proxy reads, in bytes.
const BODY_LIMIT_BYTES: usize = 8 << 20;
/// The default limit of nginx for bodies, in bytes.
const NGINX_LIMIT_BYTES: usize = 1 << 20;

/// What the proxy does to requests and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The proxy passes requests and answers on unchanged.
    None,
    /// The proxy puts a prefix before the path.
    AddsPrefix(&'static str),
    /// The proxy strips the first segment of the path.
    StripsSegment,
    /// The proxy replaces a text in the path.
    Replaces(&'static str, &'static str),
    /// The proxy replaces several slashes in a row in the path by one slash.
    MergesSlashes,
    /// The proxy replaces the header `Host` by another one.
    Host(String),
    /// The proxy asks the store for compressed bodies (`Accept-Encoding: gzip`).
    Compresses,
    /// The proxy limits bodies as nginx does by default.
    LimitsBodies,
    /// The proxy adds the CORS header that the store also adds, so that the header occurs twice.
    AddsCors,
    /// The proxy replaces the header `Date` of each answer by a date in the past.
    Late,
    /// The proxy adds `Via`, and weakens entity tags.
    Marks,
    /// The proxy answers each request itself, with this text.
    Answers(&'static str),
}

/// A running proxy, and a name server that answers questions for the store's host name with the proxy's address.
pub(super) struct Proxy {
    pub(super) port: u16,
    pub(super) name_server: SocketAddr,
    /// The certificate of the authority that issued the proxy's certificate, in PEM format.
    pub(super) authority: String,
    fault: Arc<Mutex<Fault>>,
}

impl Proxy {
    /// Starts a proxy for the store with the host name `host`. The proxy connects to the store at the address `store`.
    /// The certificate of the store must come from an authority in `trust` (PEM).
    pub(super) fn start(host: &'static str, store: SocketAddr, trust: &[u8]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (authority, server) = served(host);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(trust).map(Result::unwrap));
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let (server, client) = (Arc::new(server), Arc::new(client));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let current = Arc::clone(&fault);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (server, client, current) = (Arc::clone(&server), Arc::clone(&client), Arc::clone(&current));
                std::thread::spawn(move || {
                    let fault = current.lock().unwrap().clone();
                    // A client may close the connection at any time, so an error here does not fail the test.
                    let _ = pass(stream, server, || connect(host, store, client), &fault);
                });
            }
        });
        Self { port, name_server: names(host), authority, fault }
    }

    pub(super) fn has(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

/// Returns an authority's certificate and the settings of a server with a certificate of this authority.
fn served(host: &str) -> (String, ServerConfig) {
    let mut of_authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = of_authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(of_authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    (authority, config.with_single_cert(vec![leaf.der().clone()], key).unwrap())
}

/// Starts a name server that answers only questions for `host`, with the address 127.0.0.1.
fn names(host: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&answer(&query[..length], host), from);
        }
    });
    at
}

/// Returns the answer to a query for one name (RFC 1035, section 4.1).
fn answer(query: &[u8], host: &str) -> Vec<u8> {
    const A: [u8; 2] = [0, 1];
    let name: Vec<u8> = host
        .split('.')
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .chain([0])
        .collect();
    let end = 12 + query[12..].iter().position(|it| *it == 0).unwrap() + 1;
    let (asked, kind) = (query[12..end].to_ascii_lowercase(), &query[end..end + 2]);
    let (code, answers) = if asked == name { (0, u8::from(kind == A)) } else { (3, 0) };
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(&query[12..end + 4]);
    if answers == 1 {
        // In the answer, the host name is a pointer to the name in the question (0xc00c). The time to live is one
        // second.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    reply
}

fn connect(
    host: &'static str,
    store: SocketAddr,
    client: Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let stream = TcpStream::connect_timeout(&store, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(StreamOwned::new(ClientConnection::new(client, name).map_err(io::Error::other)?, stream))
}

/// Passes one request to the store, and its answer back.
fn pass<S: Read + Write>(
    stream: TcpStream,
    server: Arc<ServerConfig>,
    connect: impl FnOnce() -> io::Result<S>,
    fault: &Fault,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(server).map_err(io::Error::other)?;
    let mut from = BufReader::new(StreamOwned::new(connection, stream));
    let (first, mut headers) = head(&mut from)?;
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, it)| it.parse().ok());
    let mut body = vec![0; length.unwrap_or(0).min(BODY_LIMIT_BYTES)];
    from.read_exact(&mut body)?;
    let too_large = *fault == Fault::LimitsBodies && body.len() > NGINX_LIMIT_BYTES;
    let own = match fault {
        Fault::Answers(answer) => Some(*answer),
        _ if too_large => Some("HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n"),
        _ => None,
    };
    let answer = if let Some(own) = own {
        own.as_bytes().to_vec()
    } else {
        let mut to = connect()?;
        let first = changed_path(&first, fault);
        for (name, value) in &mut headers {
            match (name.as_str(), fault) {
                ("host", Fault::Host(host)) => value.clone_from(host),
                ("accept-encoding", Fault::Compresses) => "gzip".clone_into(value),
                _ => {}
            }
        }
        headers.retain(|(name, _)| name != "connection");
        headers.push(("connection".to_owned(), "close".to_owned()));
        write!(to, "{first}\r\n")?;
        for (name, value) in &headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        to.write_all(b"\r\n")?;
        to.write_all(&body)?;
        to.flush()?;
        let mut answer = Vec::new();
        // A server may close a connection without a TLS close notification. The resulting error is ignored, because the
        // client sees the length of the answer in the answer itself.
        let _ = to.read_to_end(&mut answer);
        changed_answer(&answer, fault)
    };
    let to = from.get_mut();
    to.write_all(&answer)?;
    to.conn.send_close_notify();
    to.flush()
}

/// Reads the first line and the headers of a request. The names of the headers are in lower case.
fn head(from: &mut impl io::BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the connection ended in the head"));
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let first = lines.next().ok_or_else(|| io::Error::other("no request line"))?;
    let headers =
        lines.filter_map(|it| it.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())));
    Ok((first, headers.collect()))
}

fn changed_path(first: &str, fault: &Fault) -> String {
    let mut words = first.split(' ');
    let (method, target, version) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').map_or((target, String::new()), |(path, it)| (path, format!("?{it}")));
    let path = match fault {
        Fault::AddsPrefix(prefix) => format!("{prefix}{path}"),
        Fault::StripsSegment => format!("/{}", path.splitn(3, '/').nth(2).unwrap_or_default()),
        Fault::Replaces(from, to) => path.replace(from, to),
        Fault::MergesSlashes => path.replace("//", "/"),
        _ => path.to_owned(),
    };
    format!("{method} {path}{query} {version}")
}

fn changed_answer(answer: &[u8], fault: &Fault) -> Vec<u8> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    let named = |line: &String, name: &str| line.to_lowercase().starts_with(&format!("{name}: "));
    match fault {
        Fault::AddsCors => lines.push("Access-Control-Allow-Origin: *".to_owned()),
        Fault::Late => {
            lines.retain(|it| !named(it, "date"));
            lines.push("Date: Sun, 01 Jan 2023 00:00:00 GMT".to_owned());
        }
        Fault::Marks => {
            lines.push("Via: 1.1 proxy".to_owned());
            for line in lines.iter_mut().filter(|it| named(it, "etag")) {
                *line = line.replacen(": ", ": W/", 1);
            }
        }
        _ => {}
    }
    [lines.join("\r\n").as_bytes(), &answer[end..]].concat()
}
