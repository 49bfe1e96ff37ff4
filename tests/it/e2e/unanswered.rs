//! Tests of an apiserver that does not answer, and of an apiserver whose connections break. In both cases, the result
//! must be an error of the harness and never a verdict.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parallax_vocab::EventKind;
use parallax_vocab::event::Outcome;
use serial_test::serial;

use super::bench::{Ended, Project, Run, lists, no_engine, reserve};
use crate::engine::bench::docker;

/// A scenario that asks the apiserver, then looks up a name again and again for 25 s, and then runs the step `STEP`.
/// During the 25 s, the test pauses the node.
const STILL: &str = r"name: NAME
summary: A step after the node stopped
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: NAME.example.com, tls: { issuer: ca } }
vantages:
  host: { outside: { trust: [ca] } }
flow:
  - { id: begun, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: still, from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 25s }
  - { id: stuck, needs: [still], STEP }
";
/// The scenarios, each with its name, its step, and the time limit of the step in seconds.
const STEPS: [(&str, &str, u64); 4] = [
    (
        "looks",
        "resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } }",
        15,
    ),
    ("reads", "sqlite: { pod: db-0, container: app, database: /data/app.db }, expect: { integrity: ok }", 15),
    ("applies", "apply: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }] }", 60),
    ("rotates", "rotate: { certificate: store.serving }", 60),
];

/// Returns the name of the container in which the node of a run's only cluster runs.
pub(super) fn node(run: &str) -> String {
    let label = format!("label=io.parallax.run={run}");
    let what = "label=io.parallax.what=c1-node";
    docker(&["ps", "--filter", &label, "--filter", what, "--format", "{{.Names}}"]).trim().to_owned()
}

/// Returns the time of the first event for which `wanted` holds, in milliseconds since the start of the run.
fn at(ended: &Ended, wanted: impl Fn(&EventKind) -> bool) -> u64 {
    let found = ended.events.iter().find(|event| wanted(&event.event));
    found.unwrap_or_else(|| panic!("it did not happen:\n{}", ended.stderr)).at_ms
}

#[test]
#[serial(engine)]
fn a_paused_node_ends_each_step_in_time_and_gives_no_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    for (name, step, _) in STEPS {
        project.scenario(name, &STILL.replace("NAME", name).replace("STEP", step));
    }
    let before = lists(&[]);
    let run = project.e2e(&["--jobs", "4"]);
    let id = run.id.clone();
    run.wait_for_steps("begun", STEPS.len());
    docker(&["pause", &node(&id)]);
    let ended = run.end();
    ended.assert_code(3);
    for (name, _, bound_s) in STEPS {
        let began = at(
            &ended,
            |event| matches!(event, EventKind::StepEnded(it) if it.variant.as_str() == name && it.step.as_str() == "still"),
        );
        let over = at(&ended, |event| matches!(event, EventKind::VariantEnded(it) if it.variant.as_str() == name));
        let took = Duration::from_millis(over - began);
        eprintln!("{name}: its verdict {took:?} after the step began, which may take {bound_s} s");
        assert!(took <= Duration::from_secs(bound_s + 10), "{name}: {took:?}");
        assert!(matches!(ended.outcome(name), Outcome::Error { .. }), "{name}: {:?}", ended.outcome(name));
    }
    eprintln!("the run ended {} ms after its beginning", ended.events.last().map_or(0, |it| it.at_ms));
    assert_eq!(lists(&[&id]), before);
    let log = std::fs::read_to_string(ended.directory.join("harness.log")).unwrap();
    assert!(!log.is_empty(), "the harness logged no error");
}

#[test]
#[serial(engine)]
fn the_timeout_of_a_run_ends_it_and_lists_variants_without_a_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::held();
    let before = lists(&[]);
    let run = project.e2e(&["--timeout", "40s"]);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(3);
    ended.assert_says(&["the run's time of 40 s (--timeout) was over", "no verdict: held"]);
    assert!(matches!(ended.outcome("held"), Outcome::Error { .. }), "{:?}", ended.outcome("held"));
    assert_eq!(lists(&[&id]), before);
}

/// The moment at which the proxy resets a connection.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The connection is reset before any byte is forwarded.
    AtOnce,
    /// The connection is reset after this many bytes from the apiserver.
    After(usize),
}

/// A proxy between the harness and the apiserver of a run's only cluster.
struct Proxy {
    port: u16,
    upstream: Arc<std::sync::OnceLock<SocketAddr>>,
    reset: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy that resets every third connection. The proxy ends with the process of the test.
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, upstream: Arc::default(), reset: Arc::default(), passed: Arc::default() };
        let (upstream, reset, passed) =
            (Arc::clone(&proxy.upstream), Arc::clone(&proxy.reset), Arc::clone(&proxy.passed));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (Ok(client), Some(upstream)) = (client, upstream.get().copied()) else { continue };
                let fate = match (number + 1) % 9 {
                    3 => Some(Fate::AtOnce),
                    // After 100 bytes, the reset comes in the middle of the TLS handshake. A later reset could break
                    // the session of an agent. A broken session is an error of the harness, because the harness cannot
                    // know whether the agent has executed the unanswered question.
                    6 => Some(Fate::After(100)),
                    0 => Some(Fate::After(1_000)),
                    _ => None,
                };
                if fate.is_none() { &passed } else { &reset }.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || relay(&client, upstream, fate));
            }
        });
        proxy
    }
}

fn relay(client: &TcpStream, upstream: SocketAddr, fate: Option<Fate>) {
    if matches!(fate, Some(Fate::AtOnce)) {
        return abort(client);
    }
    let Ok(server) = TcpStream::connect(upstream) else { return abort(client) };
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut server, mut to) = (server, client.try_clone().unwrap());
    let mut left = match fate {
        Some(Fate::After(bytes)) => bytes,
        _ => usize::MAX,
    };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let part = read.min(left);
        if to.write_all(&buffer[..part]).is_err() {
            break;
        }
        left -= part;
        if left == 0 {
            let _ = server.shutdown(Shutdown::Both);
            return abort(client);
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Ends a connection with a reset, like a router that has lost its state.
fn abort(client: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO)).unwrap();
    let _ = client.shutdown(Shutdown::Both);
}

/// A scenario whose flow uses the apiserver in every way: for objects, logs, events, changes, and sessions in pods.
const BUSY: &str = r#"name: busy
summary: A flow that asks the apiserver again and again
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: put, from: app, s3: { put: photos/a.txt, body: hello } }
  - { id: url, from: host, presign: { get: photos/a.txt, expires: 5m } }
  - { id: inside, needs: [put], from: app, http: { get: "{{ url }}" }, expect: { status: 200, body: hello } }
  - { id: look, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: make, apply: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { x: "1" } }] } }
  - { id: change, needs: [make], patch: { api-version: v1, kind: ConfigMap, name: a, merge: { data: { x: "2" } } } }
  - { id: changed, needs: [change], resource: { api-version: v1, kind: ConfigMap, name: a }, expect: { object: { data: { x: "2" } } }, consistently: 5s }
  - { id: says, log: { of: deployment/minio }, expect: { line: MinIO }, eventually: 20s }
  - { id: restart, restart: { deployment: minio } }
  - { id: again, needs: [restart, put], from: host, http: { get: "{{ url }}" }, expect: { status: 404 }, eventually: 30s }
  - { id: rotated, rotate: { certificate: store.serving } }
  - { id: gone, needs: [changed], delete: { api-version: v1, kind: ConfigMap, name: a } }
breaks:
  no-rewrite:
    change: { fixtures: { names: remove } }
    fails: { put: { dns: no-such-name } }
    blocks: [inside, again]
"#;

#[test]
#[serial(engine)]
fn broken_connections_to_the_apiserver_change_no_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("busy", BUSY);
    let plain = project.e2e(&[]).end();
    plain.assert_code(0);

    let proxy = Proxy::start();
    let mut command = project.parallax(&["e2e"]);
    command.env("PARALLAX_TEST_APISERVER", format!("127.0.0.1:{}", proxy.port));
    let mut run = Run::start(command, &project);
    run.wait_for("cluster/c1  cluster c1");
    // The published port of the node is known as soon as its container runs. The proxy gets the port early enough,
    // because the harness connects only when k3s is ready.
    super::bench::eventually("the node's port", || {
        let name = node(&run.id);
        let port = if name.is_empty() { String::new() } else { docker(&["port", &name, "6443/tcp"]) };
        port.lines().next().and_then(|it| it.trim().parse().ok()).is_some_and(|at| proxy.upstream.set(at).is_ok())
    });
    let ended = run.end();
    let (reset, passed) = (proxy.reset.load(Ordering::Relaxed), proxy.passed.load(Ordering::Relaxed));
    eprintln!("{reset} connections were reset, {passed} were not");
    ended.assert_code(0);
    assert!(reset >= 5, "only {reset} connections were reset");
    for variant in ["busy", "busy+no-rewrite"] {
        assert_eq!(ended.outcome(variant), plain.outcome(variant), "{variant}");
    }
    let log = std::fs::read_to_string(ended.directory.join("harness.log")).unwrap();
    assert!(log.contains("the apiserver is asked again"), "{log}");
}
