//! The container as a machine: mounts, kernel settings, control groups, address. Everything here happens once,
//! before any component starts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;

use rustix::fs::statfs;
use rustix::mount::{MountPropagationFlags, mount_change};

use crate::error::NodeError;
use crate::network::Range;
use crate::paths;
use crate::settings::{Node, Settings, Snapshotter};

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// Any address beyond every local network; nothing is sent to it (RFC 5737).
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// How often the root group is emptied before giving up: processes may start meanwhile.
const EVACUATIONS: usize = 10;

/// The node's name and address.
pub(crate) fn node(settings: &Settings) -> Result<Node, NodeError> {
    let name = settings
        .node_name
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase());
    // Connecting a datagram socket sends nothing; it asks the routing table which address would be used.
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    match asked.map_err(NodeError::NoRoute)?.ip() {
        IpAddr::V4(address) => Ok(Node { name, address }),
        IpAddr::V6(address) => Err(NodeError::NoRoute(std::io::Error::other(format!("{address} is not IPv4")))),
    }
}

/// Makes the container fit to hold pods.
pub(crate) fn prepare() -> Result<(), NodeError> {
    // The kubelet's mounts must reach the pods.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .map_err(|error| NodeError::Mount(error.into()))?;
    // Pods are routed. Failing is left to the first packet: a read-only /proc/sys with forwarding on is fine.
    let _ = fs::write("/proc/sys/net/ipv4/ip_forward", "1");
    let folders = [
        paths::OWN,
        paths::LOGS,
        paths::CNI_CONFIG,
        paths::MANIFESTS,
        paths::IMAGES,
        paths::ETCD,
        "/run/containerd",
        "/var/lib/kubelet",
    ];
    for folder in folders {
        fs::create_dir_all(folder).map_err(NodeError::file("create the folder", folder))?;
    }
    if cgroup_v1() { Ok(()) } else { leave_root_group() }
}

/// Gives pods the node's address beyond the pods' range. The network plugin could do it for each pod; but then its
/// many calls of iptables, beside kube-proxy's, stand between a pod and its start.
pub(crate) fn masquerade(pods: Range) -> Result<(), NodeError> {
    let pods = pods.to_string();
    let rule = ["--source", &pods, "!", "--destination", &pods, "--jump", "MASQUERADE"];
    append("nat", "POSTROUTING", &rule)
}

/// Refuses what is sent to an address of a Service that there is not, or no more. kube-proxy refuses only those that it
/// knows; the others would leave the node for whatever gateway it has, and be answered, or not, by a machine out there. What
/// kube-proxy does know goes elsewhere before it comes here.
pub(crate) fn keep_services_inside(services: Range) -> Result<(), NodeError> {
    let services = services.to_string();
    let rule = ["--destination", &services, "--jump", "REJECT", "--reject-with", "icmp-port-unreachable"];
    ["FORWARD", "OUTPUT"].into_iter().try_for_each(|chain| append("filter", chain, &rule))
}

fn append(table: &str, chain: &str, rule: &[&str]) -> Result<(), NodeError> {
    let output = Command::new("iptables")
        .args(["--wait", "--table", table, "--append", chain])
        .args(rule)
        .output()
        .map_err(|source| NodeError::Spawn { name: "iptables", program: "iptables".to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(NodeError::Iptables(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Whether control groups are of version 1 here.
pub(crate) fn cgroup_v1() -> bool {
    !Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// In version 2 a group either holds processes or hands controllers to its children. Pods need the latter of the
/// root group, so everything that runs already moves into a child.
fn leave_root_group() -> Result<(), NodeError> {
    let root = Path::new(CGROUPS);
    let child = root.join("init");
    fs::create_dir_all(&child).map_err(NodeError::file("create the control group", &child))?;
    for _ in 0..EVACUATIONS {
        let list = root.join("cgroup.procs");
        let processes = fs::read_to_string(&list).map_err(NodeError::file("read", &list))?;
        if processes.trim().is_empty() {
            break;
        }
        for process in processes.lines() {
            // One that ended meanwhile cannot be moved, and need not be.
            let _ = fs::write(child.join("cgroup.procs"), process);
        }
    }
    let offered = root.join("cgroup.controllers");
    let offered = fs::read_to_string(&offered).map_err(NodeError::file("read", offered))?;
    let handed = root.join("cgroup.subtree_control");
    for controller in offered.split_whitespace() {
        fs::write(&handed, format!("+{controller}")).map_err(NodeError::file("hand controllers to", &handed))?;
    }
    Ok(())
}

/// The folder in which containerd keeps images: the first place that may hold overlays.
pub(crate) fn containerd_root(snapshotter: Snapshotter) -> Result<&'static str, NodeError> {
    let [first, second] = paths::CONTAINERD_ROOTS;
    for root in paths::CONTAINERD_ROOTS {
        fs::create_dir_all(root).map_err(NodeError::file("create the folder", root))?;
        let kind = statfs(root).map_err(|error| NodeError::file("look at", root)(error.into()))?;
        let overlay = u64::try_from(kind.f_type).is_ok_and(|kind| kind == OVERLAY_MAGIC);
        if !overlay || snapshotter == Snapshotter::Native {
            return Ok(root);
        }
    }
    Err(NodeError::NoOverlay(first, second))
}

/// The `resolv.conf` that the kubelet hands to pods with `dnsPolicy: Default`: the one asked for, the container's own,
/// or, where that names only loopback servers that a pod cannot reach (an engine's embedded one), a stand-in on which
/// every question fails at once. k3s falls back to a public resolver there; a test must not depend on one.
pub(crate) fn resolv_conf(settings: &Settings, node: &Node) -> Result<String, NodeError> {
    const CONTAINER: &str = "/etc/resolv.conf";
    if let Some(path) = &settings.resolv_conf {
        fs::metadata(path).map_err(NodeError::file("read --resolv-conf", path))?;
        return Ok(path.clone());
    }
    let text = fs::read_to_string(CONTAINER).unwrap_or_default();
    if reachable_from_pods(&text) {
        return Ok(CONTAINER.to_owned());
    }
    crate::say::say(
        "the container's resolv.conf names no server that pods can reach; names beyond the cluster will fail; give --resolv-conf",
    );
    let path = paths::own("resolv.conf");
    // Nothing listens on the node's port 53: refused, not timed out.
    fs::write(&path, format!("nameserver {}\n", node.address)).map_err(NodeError::file("write", &path))?;
    Ok(path)
}

/// Whether a `resolv.conf` names any server beyond loopback.
fn reachable_from_pods(text: &str) -> bool {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        words.next()?.parse::<IpAddr>().ok()
    });
    servers.into_iter().any(|address| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_name_servers_do_not_count() {
        for (text, reachable) in [
            ("nameserver 192.0.2.53\n", true),
            ("search x\nnameserver 127.0.0.11\noptions ndots:0\n", false),
            ("nameserver 127.0.0.11\nnameserver 192.0.2.53\n", true),
            ("nameserver ::1\n", false),
            ("# nameserver 192.0.2.53\n", false),
            ("nameserver\n", false),
            ("", false),
        ] {
            assert_eq!(reachable_from_pods(text), reachable, "{text:?}");
        }
    }
}
