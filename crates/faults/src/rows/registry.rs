//! A registry that is reachable but does not work. It is a small server on loopback in this process. The engine pulls
//! from it as from any registry.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bench::Bench;
use crate::project::Project;
use crate::row::{Row, Seen};

/// A scenario with a pod whose image only this registry offers.
const PULLS: &str = r"name: pulls
summary: A pod whose image must be pulled
vantages:
  app: { pod: { image: pulled } }
flow:
  - { id: asks, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
";
/// The first byte of a TLS handshake. Engines try TLS first, and continue without it if the registry is on loopback.
const HANDSHAKE: u8 = 22;
/// The time that the registry waits for data from the client. After this time, it closes the connection.
const CLIENT_WAITS: Duration = Duration::from_mins(2);

/// The way in which the registry fails: it answers 429 to each request, it never answers, or it cuts the connection
/// within an answer.
#[derive(Clone, Copy, Debug)]
enum Does {
    TooMany,
    Nothing,
    Cuts,
}

pub(super) fn rows() -> [Row; 3] {
    [
        Row {
            name: "registry-429",
            fault: "The registry answers 429",
            code: Some(3),
            says: &["could not be pulled: toomanyrequests", "nothing is said about the system under test", "(exit 3,"],
            run: |bench, _| pulls(bench, Does::TooMany, "at each request of a pull"),
        },
        Row {
            name: "registry-hangs",
            fault: "The registry takes connections and never answers",
            code: Some(3),
            says: &[
                "could not be pulled: no answer within 10 s",
                "nothing is said about the system under test",
                "(exit 3,",
            ],
            run: |bench, _| pulls(bench, Does::Nothing, "at the first request of a pull"),
        },
        Row {
            name: "registry-cuts",
            fault: "The registry cuts the connection",
            code: Some(3),
            says: &["could not be pulled: unexpected EOF", "nothing is said about the system under test", "(exit 3,"],
            run: |bench, _| pulls(bench, Does::Cuts, "within the image's manifest"),
        },
    ]
}

fn pulls(bench: &Bench, does: Does, when: &str) -> Result<Vec<Seen>> {
    let port = registry(does)?;
    let project = Project::of("pulls", PULLS)?;
    project.own_images()?;
    let lock = project.path("images/images.lock");
    let mut text = std::fs::read_to_string(&lock)?;
    ensure!(text.contains("\nimages:\n"), "images.lock has no list of images");
    let reference = format!("127.0.0.1:{port}/pulled:1");
    text.push_str("\n  - name: pulled\n    for: a pull that goes wrong\n    digest: null\n    reference: ");
    text.push_str(&reference);
    text.push('\n');
    std::fs::write(&lock, text)?;
    let mut seen = project.e2e(bench, &["--lock", "project"])?.end(when)?;
    seen.text = seen.text.replace(&format!("127.0.0.1:{port}"), "REGISTRY");
    Ok(vec![seen])
}

/// Starts the registry, which listens until this process ends. Returns its port.
fn registry(does: Does) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(client, does));
        }
    });
    Ok(port)
}

/// Handles one connection up to its first answer. Errors are ignored, because the registry is meant to be broken.
fn serve(mut client: TcpStream, does: Does) {
    drop(client.set_read_timeout(Some(CLIENT_WAITS)));
    let mut request = [0; 8 * 1024];
    let Ok(read @ 1..) = client.read(&mut request) else { return };
    let answer = match does {
        Does::Nothing => {
            // The registry does not answer. The code only waits until the client closes the connection.
            while let Ok(1..) = client.read(&mut request) {}
            return;
        }
        _ if request[0] == HANDSHAKE => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        Does::TooMany => "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        Does::Cuts if request[..read].windows(10).any(|it| it == b"/manifests") => {
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 1000\r\n\r\n{\"schema"
        }
        Does::Cuts => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    };
    drop(client.write_all(answer.as_bytes()));
}
