//! The description of a container to start ([`ContainerSpec`]), and what is known about a started container
//! ([`Container`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The description of a container to start. The container inherits no variable of the harness's environment.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// The role of the container in the run, for example `world`, `c1` or `c1-minio`. The role is unique in the run,
    /// and part of the container's name.
    pub what: String,
    /// The image reference, with a tag or a digest. The engine must already have the image.
    pub image: String,
    /// The entry point, in place of the image's entry point. `None` keeps the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The command that replaces the image's command. An empty list keeps the image's command.
    pub command: Vec<String>,
    /// The environment variables of the container, by name.
    pub env: BTreeMap<String, String>,
    /// The name in the engine of the network to which the container is attached ([`super::Site::network`] creates one).
    pub network: String,
    /// A second name of the container for the engine's DNS, in addition to its full name. Containers of the same
    /// network can resolve it.
    pub hostname: Option<String>,
    /// The name servers to which the engine's DNS forwards the DNS questions of this container.
    pub dns: Vec<IpAddr>,
    /// Files and folders of the engine's machine that are mounted into the container.
    pub binds: Vec<Bind>,
    /// The paths at which a memory file system (tmpfs) is mounted. The values are mount options such as `size=64m`, and
    /// may be empty.
    pub tmpfs: BTreeMap<String, String>,
    /// The paths at which anonymous volumes are mounted. Each volume has the run's labels, and is removed with the
    /// container.
    pub volumes: Vec<String>,
    /// The container's ports that are published on 127.0.0.1. The engine chooses a free port for each.
    pub ports: Vec<Port>,
    /// Whether the container is privileged. A privileged container may do everything on the engine's machine.
    pub privileged: bool,
    /// Whether the container has its own cgroup namespace.
    pub private_cgroup_namespace: bool,
    /// Kernel parameters of the container's network namespace (`net.ipv4.…`), each with its value.
    pub sysctls: BTreeMap<String, String>,
    /// Small files that the engine writes into the container before the container starts.
    pub files: Vec<InlineFile>,
    /// The condition under which the container counts as ready.
    pub ready: Ready,
    /// The time limit for the container to become ready, counted from its start.
    pub ready_within: Duration,
    /// Labels of the container, in addition to those that every object of a run has.
    pub labels: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// Describes a container, with defaults for all fields that are not parameters. By default, the container counts
    /// as ready when its first process runs.
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

    /// The reason why the specification is not valid; `None` if no mistake is found before the start.
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
            // The engine writes the files of the specification first, and then mounts the memory file systems.
            // Therefore a tmpfs hides every file below its mount point.
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

/// A file or folder of the engine's machine that is mounted into the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The path of the file or folder on the engine's machine. It must exist.
    pub host: PathBuf,
    /// The path in the container at which the file or folder appears.
    pub container: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

/// A small file that the engine writes into the container before the start.
#[derive(Clone)]
pub struct InlineFile {
    /// The absolute path of the file in the container. Missing folders are created.
    pub path: String,
    /// The permissions of the file, for example `0o600`.
    pub mode: u32,
    /// The content of the file. It may be secret, so `Debug` does not print it.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for InlineFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InlineFile({}, {:o}, {} bytes)", self.path, self.mode, self.bytes.len())
    }
}

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// The protocol TCP.
    Tcp,
    /// The protocol UDP.
    Udp,
}

impl Protocol {
    /// Parses a port in the form that the engine writes: `9000/tcp`. `None` for another protocol than TCP and UDP.
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

/// A port of a container that is published on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The port in the container.
    pub container: u16,
    /// The transport protocol of the port.
    pub protocol: Protocol,
}

impl Port {
    /// Returns a TCP port of a container.
    pub fn tcp(container: u16) -> Self {
        Self { container, protocol: Protocol::Tcp }
    }

    /// Returns a UDP port of a container.
    pub fn udp(container: u16) -> Self {
        Self { container, protocol: Protocol::Udp }
    }

    /// The port in the form that the engine reads: `9000/tcp`.
    pub(super) fn key(self) -> String {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        format!("{}/{protocol}", self.container)
    }
}

/// The condition under which a container counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The first process of the container runs.
    Running,
    /// The container printed a line that contains this text, on either stream.
    LogLine(String),
}

/// A container that was started. Dropping this value does not remove the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The role of the container in the run ([`ContainerSpec::what`]), for example `world`.
    pub what: String,
    /// The name of the container in the engine: `parallax-<run>-<what>`.
    pub name: String,
    /// The id of the container in the engine.
    pub id: String,
    /// The address of the container on its network.
    pub address: IpAddr,
    /// The addresses on this machine (always 127.0.0.1) at which the container's ports are published. The key is the
    /// port inside the container.
    pub ports: BTreeMap<(u16, Protocol), SocketAddr>,
}

impl Container {
    /// The address on this machine at which the container's TCP port is published; `None` if the port is not published.
    pub fn tcp(&self, port: u16) -> Option<SocketAddr> {
        self.ports.get(&(port, Protocol::Tcp)).copied()
    }

    /// The address on this machine at which the container's UDP port is published; `None` if the port is not published.
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
