//! Tests of the search for an engine: the places and their order, and the error if there is no engine.

use std::collections::HashMap;

use super::*;

/// A fake machine for tests. Its environment, files and sockets are maps in memory.
#[derive(Default)]
struct Machine {
    env: HashMap<&'static str, &'static str>,
    files: HashMap<String, String>,
    sockets: HashMap<&'static str, Reach>,
}

impl Machine {
    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.insert(name, value);
        self
    }

    fn file(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    fn socket(mut self, path: &'static str, reach: Reach) -> Self {
        self.sockets.insert(path, reach);
        self
    }

    /// Adds a Docker context to the fake machine. The name of the context's folder is the output of `printf NAME |
    /// sha256sum`.
    fn context(self, name: &str, host: &str) -> Self {
        let id = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()));
        self.file(
            format!("/home/u/.docker/contexts/meta/{id}/meta.json"),
            format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#),
        )
    }
}

impl Surroundings for Machine {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path.to_str().unwrap()).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn reach(&self, socket: &Path) -> Reach {
        self.sockets.get(socket.to_str().unwrap()).cloned().unwrap_or(Reach::Absent)
    }
}

fn laptop() -> Machine {
    Machine::default().env("HOME", "/home/u").socket(DEFAULT_SOCKET, Reach::Answers)
}

#[test]
fn the_first_choice_wins() {
    let config = |context: &str| format!(r#"{{"auths":{{}},"currentContext":"{context}"}}"#);
    let colima = || {
        laptop()
            .file("/home/u/.docker/config.json", config("colima"))
            .context("colima", "unix:///c.sock")
            .socket("/c.sock", Reach::Answers)
    };
    let remote = || laptop().context("far", "tcp://far.example:2376").env("DOCKER_CONTEXT", "far");
    let cases = [
        (laptop(), "unix:///var/run/docker.sock"),
        (laptop().file("/home/u/.docker/config.json", config("default")), "unix:///var/run/docker.sock"),
        (laptop().file("/home/u/.docker/config.json", "{}"), "unix:///var/run/docker.sock"),
        (colima(), "unix:///c.sock"),
        (colima().env("DOCKER_CONTEXT", "default"), "unix:///var/run/docker.sock"),
        (remote(), "tcp://far.example:2376"),
        (remote().env("DOCKER_HOST", "unix:///h.sock").socket("/h.sock", Reach::Answers), "unix:///h.sock"),
    ];
    for (machine, expected) in cases {
        assert_eq!(find(&machine).unwrap().host, expected);
    }
}

#[test]
fn without_a_choice_rootless_and_desktop_sockets_are_tried() {
    let base = || Machine::default().env("HOME", "/home/u").env("XDG_RUNTIME_DIR", "/run/user/7");
    for (socket, host) in [
        ("/run/user/7/docker.sock", "unix:///run/user/7/docker.sock"),
        ("/home/u/.docker/run/docker.sock", "unix:///home/u/.docker/run/docker.sock"),
        ("/home/u/.docker/desktop/docker.sock", "unix:///home/u/.docker/desktop/docker.sock"),
    ] {
        let machine = base().socket(DEFAULT_SOCKET, Reach::Denied).socket(socket, Reach::Answers);
        assert_eq!(find(&machine).unwrap().host, host);
    }
}

#[test]
fn the_context_brings_its_certificates() {
    let id = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"far"));
    let machine = laptop()
        .context("far", "tcp://far.example:2376")
        .env("DOCKER_CONTEXT", "far")
        .file(format!("/home/u/.docker/contexts/tls/{id}/docker/ca.pem"), "x");
    let tls = find(&machine).unwrap().tls.unwrap();
    assert_eq!(tls, PathBuf::from(format!("/home/u/.docker/contexts/tls/{id}/docker")));

    let machine = laptop()
        .env("DOCKER_HOST", "tcp://far.example:2376")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", "/certs");
    assert_eq!(find(&machine).unwrap().tls.unwrap(), PathBuf::from("/certs"));
}

#[test]
fn every_failure_says_what_was_tried_and_what_to_do() {
    let rootless = || Machine::default().env("HOME", "/home/u").env("XDG_RUNTIME_DIR", "/run/user/7");
    let bad_context = || laptop().env("DOCKER_CONTEXT", "gone");
    let cases = [
        ("nothing", rootless()),
        ("socket without a server", rootless().socket(DEFAULT_SOCKET, Reach::Silent)),
        ("no permission", rootless().socket(DEFAULT_SOCKET, Reach::Denied)),
        ("chosen and absent", laptop().env("DOCKER_HOST", "unix:///gone.sock")),
        ("chosen and denied", laptop().env("DOCKER_HOST", "unix:///x.sock").socket("/x.sock", Reach::Denied)),
        ("ssh", laptop().env("DOCKER_HOST", "ssh://me@far.example")),
        ("no address", laptop().env("DOCKER_HOST", "localhost:2375")),
        ("no such context", bad_context()),
        ("broken config", laptop().file("/home/u/.docker/config.json", "{")),
    ];
    let lines: Vec<String> = cases
        .into_iter()
        .map(|(case, machine)| {
            let error = find(&machine).unwrap_err();
            format!("{case}\n  {error}\n  fix: {}", error.fix().unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
