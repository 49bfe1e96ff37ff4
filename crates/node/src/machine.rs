//! Prepares the container: mounts, kernel settings, control groups. Finds the node's address. This happens once, before
//! any component starts.

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

/// The constant `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// An address outside every local network (RFC 5737). The address is used only to find the default route; no packet is
/// sent to the address.
const REMOTE_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
/// The folder at which the control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The largest number of attempts to move all processes out of the root control group. Processes may start during an
/// attempt, so one attempt may leave some processes there.
const MOVE_ATTEMPTS: usize = 10;

/// Returns the node's name, and its IPv4 address on the interface of the default route.
pub(crate) fn node(settings: &Settings) -> Result<Node, NodeError> {
    let name = settings
        .node_name
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase());
    // Connecting a datagram socket sends no packet. The kernel only chooses the local address for packets to the remote
    // address.
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(REMOTE_ADDRESS)?;
        socket.local_addr()
    });
    match asked.map_err(NodeError::NoRoute)?.ip() {
        IpAddr::V4(address) => Ok(Node { name, address }),
        IpAddr::V6(address) => Err(NodeError::NoRoute(std::io::Error::other(format!("{address} is not IPv4")))),
    }
}

/// Prepares the container for pods: mount propagation, IP forwarding, folders and control groups.
pub(crate) fn prepare() -> Result<(), NodeError> {
    // Mounts that the kubelet makes later must be visible in the pods, so the root mount is shared.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .map_err(|error| NodeError::Mount(error.into()))?;
    // Packets between pods are routed, so the kernel must forward them. If /proc/sys is read-only, the write fails, but
    // forwarding is usually on already.
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

/// Adds a rule that masquerades packets from pods to addresses outside the pods' range. The CNI plugin could add a rule
/// for each pod, but its many calls of iptables would delay the start of each pod.
pub(crate) fn masquerade(pods: Range) -> Result<(), NodeError> {
    let pods = pods.to_string();
    let rule = ["--source", &pods, "!", "--destination", &pods, "--jump", "MASQUERADE"];
    append("nat", "POSTROUTING", &rule)
}

/// Adds rules that reject packets to addresses in the services' range that no Service has. Without these rules, the
/// packets would leave the node through its gateway, because kube-proxy handles only Services that exist
/// (docs/facts.md#services-and-addresses). Packets for existing Services are redirected before they reach these rules.
pub(crate) fn reject_unknown_service_addresses(services: Range) -> Result<(), NodeError> {
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

/// Whether this machine uses cgroup v1 and not v2.
pub(crate) fn cgroup_v1() -> bool {
    !Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// Moves all running processes from the root control group into a child group. In cgroup v2, a group either contains
/// processes or delegates controllers to its child groups. The root group must delegate controllers, because pods need
/// them.
fn leave_root_group() -> Result<(), NodeError> {
    let root = Path::new(CGROUPS);
    let child = root.join("init");
    fs::create_dir_all(&child).map_err(NodeError::file("create the control group", &child))?;
    for _ in 0..MOVE_ATTEMPTS {
        let list = root.join("cgroup.procs");
        let processes = fs::read_to_string(&list).map_err(NodeError::file("read", &list))?;
        if processes.trim().is_empty() {
            break;
        }
        for process in processes.lines() {
            // The write fails if the process has ended in the meantime. A process that has ended need not be moved.
            let _ = fs::write(child.join("cgroup.procs"), process);
        }
    }
    let available = root.join("cgroup.controllers");
    let available = fs::read_to_string(&available).map_err(NodeError::file("read", available))?;
    let delegated = root.join("cgroup.subtree_control");
    for controller in available.split_whitespace() {
        fs::write(&delegated, format!("+{controller}"))
            .map_err(NodeError::file("delegate controllers in", &delegated))?;
    }
    Ok(())
}

/// The folder in which containerd stores images. For the overlay snapshotter, it is the first folder whose file system
/// can hold overlays. The native snapshotter works in any folder, so it gets the first folder.
pub(crate) fn containerd_root(snapshotter: Snapshotter) -> Result<&'static str, NodeError> {
    let [first, second] = paths::CONTAINERD_ROOTS;
    for root in paths::CONTAINERD_ROOTS {
        fs::create_dir_all(root).map_err(NodeError::file("create the folder", root))?;
        let kind = statfs(root).map_err(|error| NodeError::file("examine", root)(error.into()))?;
        let overlay = u64::try_from(kind.f_type).is_ok_and(|kind| kind == OVERLAY_MAGIC);
        if !overlay || snapshotter == Snapshotter::Native {
            return Ok(root);
        }
    }
    Err(NodeError::NoOverlay(first, second))
}

/// The path of the `resolv.conf` for CoreDNS and for pods with `dnsPolicy: Default`: the user's file, or the
/// container's own. A pod cannot reach DNS servers on loopback. If the container's file has only servers on loopback,
/// the node writes another file. With this other file, every question fails at once. k3s uses a public resolver
/// instead, but a test must not depend on a public resolver.
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
        "the container's resolv.conf names no server that pods can reach; names outside the cluster will not resolve; pass --resolv-conf",
    );
    let path = paths::own("resolv.conf");
    // No process listens on port 53 of the node's address. So a question is refused at once, instead of waiting for a
    // timeout.
    fs::write(&path, format!("nameserver {}\n", node.address)).map_err(NodeError::file("write", &path))?;
    Ok(path)
}

/// Whether the text of a `resolv.conf` contains a name server that is not on loopback. A pod cannot reach a server on
/// the node's loopback.
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
