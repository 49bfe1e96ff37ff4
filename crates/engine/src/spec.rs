//! The specification of a container, and the started container.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A container to start. Nothing is inherited from the caller's environment.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// The container's role in the run: `world`, `c1`, `c1-minio`. It is unique in the run, and part of the name.
    pub what: String,
    /// Image reference with a tag or digest. The image must be in the engine.
    pub image: String,
    /// Replaces the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command, if it is not empty.
    pub command: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Name of the network, created before with [`super::Site::network`].
    pub network: String,
    /// A second name by which containers of the same network resolve it, besides its full name.
    pub hostname: Option<String>,
    /// Name servers that the engine's own resolver forwards to.
    pub dns: Vec<IpAddr>,
    /// Files and folders of the engine's machine that are mounted into the container.
    pub binds: Vec<Bind>,
    /// Paths at which a tmpfs is mounted, each with its mount options (`size=64m`), which may be empty.
    pub tmpfs: BTreeMap<String, String>,
    /// Paths at which anonymous volumes are mounted. The volumes are labelled, and removed with the container.
    pub volumes: Vec<String>,
    /// Ports to publish on 127.0.0.1, each at a free port that the engine chooses.
    pub ports: Vec<Port>,
    /// Whether it is privileged: it may do everything on the engine's machine.
    pub privileged: bool,
    /// Whether it has its own cgroup namespace.
    pub private_cgroup_namespace: bool,
    /// Kernel parameters of its network namespace (`net.ipv4.…`), each with its value.
    pub sysctls: BTreeMap<String, String>,
    /// Small files, written before it starts.
    pub files: Vec<InlineFile>,
    /// When it counts as ready.
    pub ready: Ready,
    /// How long the container may take to become ready, counted from its start.
    pub ready_within: Duration,
    /// Additional labels.
    pub labels: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// A container of an image on a network, ready when it runs.
    pub fn new(what: impl Into<String>, image: impl Into<String>, network: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            image: image.into(),
            entrypoint: None,
            command: Vec::new(),
            env: BTreeMap::new(),
            network: network.into(),
            hostname: None,
            dns: Vec::new(),
            binds: Vec::new(),
            tmpfs: BTreeMap::new(),
            volumes: Vec::new(),
            ports: Vec::new(),
            privileged: false,
            private_cgroup_namespace: false,
            sysctls: BTreeMap::new(),
            files: Vec::new(),
            ready: Ready::Running,
            ready_within: Duration::from_mins(1),
            labels: BTreeMap::new(),
        }
    }

    /// Why the specification is not valid, if that is known before the start.
    pub(super) fn problem(&self) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.what.is_empty() || !self.what.chars().all(allowed) {
            return Some(format!("{:?} is no name for a container", self.what));
        }
        if self.entrypoint.as_ref().is_some_and(Vec::is_empty) {
            return Some("its entry point is an empty list".to_owned());
        }
        for bind in &self.binds {
            if !bind.host.is_absolute() {
                return Some(format!("{} is not an absolute path", bind.host.display()));
            }
        }
        for file in &self.files {
            // The engine writes files before it mounts memory file systems, which would then hide them.
            let hiding = self.tmpfs.keys().find(|folder| below(folder, &file.path));
            if let Some(folder) = hiding {
                return Some(format!("file {} would be hidden by the tmpfs at {folder}", file.path));
            }
            if !file.path.starts_with('/') {
                return Some(format!("file {} is not an absolute path", file.path));
            }
        }
        None
    }
}

fn below(folder: &str, path: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// A file or folder of the engine's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Its path on the engine's machine; it must exist.
    pub host: PathBuf,
    /// Its path in the container.
    pub container: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// A small file to write before the container starts.
#[derive(Clone)]
pub struct InlineFile {
    /// Absolute path in the container. Missing folders are created.
    pub path: String,
    /// Permissions: `0o600`.
    pub mode: u32,
    /// Content. It may be secret, so `Debug` does not print it.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for InlineFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InlineFile({}, {:o}, {} bytes)", self.path, self.mode, self.bytes.len())
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Parses a port in the engine's form: `9000/tcp`.
    pub(super) fn parse_port(text: &str) -> Option<(u16, Self)> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            _ => return None,
        };
        Some((port.parse().ok()?, protocol))
    }
}

/// A container's port to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The port in the container.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl Port {
    /// A TCP port.
    pub fn tcp(container: u16) -> Self {
        Self { container, protocol: Protocol::Tcp }
    }

    /// A UDP port.
    pub fn udp(container: u16) -> Self {
        Self { container, protocol: Protocol::Udp }
    }

    /// The port in the engine's form: `9000/tcp`.
    pub(super) fn key(self) -> String {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        format!("{}/{protocol}", self.container)
    }
}

/// When a container counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Its first process runs.
    Running,
    /// It printed a line that contains this, on either stream.
    LogLine(String),
}

/// A container that was started. It is a plain value: dropping it removes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its role in the run, as in [`ContainerSpec::what`].
    pub what: String,
    /// Its name in the engine: `parallax-<run>-<what>`.
    pub name: String,
    /// Its id in the engine.
    pub id: String,
    /// Its address on its network.
    pub address: IpAddr,
    /// The addresses of its published ports on this machine (always 127.0.0.1).
    pub ports: BTreeMap<(u16, Protocol), SocketAddr>,
}

impl Container {
    /// The address at which a TCP port is published.
    pub fn tcp(&self, port: u16) -> Option<SocketAddr> {
        self.ports.get(&(port, Protocol::Tcp)).copied()
    }

    /// The address at which a UDP port is published.
    pub fn udp(&self, port: u16) -> Option<SocketAddr> {
        self.ports.get(&(port, Protocol::Udp)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_said_beforehand() {
        let base = || ContainerSpec::new("x", "i:1", "n");
        let file = |path: &str| vec![InlineFile { path: path.into(), mode: 0o600, bytes: vec![] }];
        let run = || BTreeMap::from([("/run/".to_owned(), String::new())]);
        let bind = |host: &str| vec![Bind { host: host.into(), container: "/a".into(), read_only: true }];
        let cases = [
            (base(), None),
            (ContainerSpec { what: String::new(), ..base() }, Some("no name")),
            (ContainerSpec { what: "a/b".into(), ..base() }, Some("no name")),
            (ContainerSpec { entrypoint: Some(vec![]), ..base() }, Some("empty list")),
            (ContainerSpec { files: file("/run/x"), tmpfs: run(), ..base() }, Some("hidden by the tmpfs")),
            (ContainerSpec { files: file("/runner/x"), tmpfs: run(), ..base() }, None),
            (ContainerSpec { files: file("etc/x"), ..base() }, Some("not an absolute path")),
            (ContainerSpec { binds: bind("relative"), ..base() }, Some("not an absolute path")),
        ];
        for (spec, expected) in cases {
            let problem = spec.problem();
            match expected {
                None => assert_eq!(problem, None, "{spec:?}"),
                Some(part) => assert!(problem.unwrap().contains(part), "{spec:?}"),
            }
        }
    }

    #[test]
    fn ports_read_as_the_engine_writes_them() {
        for port in [Port::tcp(9000), Port::udp(53)] {
            assert_eq!(Protocol::parse_port(&port.key()), Some((port.container, port.protocol)));
        }
        assert_eq!(Protocol::parse_port("9/sctp"), None);
    }
}
