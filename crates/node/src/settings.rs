//! The validated settings from the command line and the config file.

use std::net::Ipv4Addr;

use crate::arguments::Argument;
use crate::network::Range;

/// The number of CoreDNS's default address within the services' range: 10 means `10.43.0.10` in `10.43.0.0/16`.
const DNS_ADDRESS: u8 = 10;

/// The settings of a server node or an agent node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether CoreDNS runs in the cluster.
    pub(crate) coredns: bool,
    /// The packaged components of k3s, other than CoreDNS, that the user did not disable. This image has none of them,
    /// so the node prints a line about them.
    pub(crate) absent: Vec<&'static str>,
    /// Additional host names and addresses in the apiserver's certificate.
    pub(crate) tls_san: Vec<String>,
    /// The user's arguments for kube-apiserver.
    pub(crate) apiserver: Vec<Argument>,
    /// The user's arguments for kube-controller-manager.
    pub(crate) controller_manager: Vec<Argument>,
    /// The user's arguments for kube-scheduler.
    pub(crate) scheduler: Vec<Argument>,
    /// The user's arguments for the kubelet.
    pub(crate) kubelet: Vec<Argument>,
    /// The user's arguments for kube-proxy.
    pub(crate) proxy: Vec<Argument>,
    /// The file mode of the administrator's kubeconfig.
    pub(crate) kubeconfig_mode: u32,
    /// The address range of pods.
    pub(crate) cluster_range: Range,
    /// The address range of Services.
    pub(crate) service_range: Range,
    /// The address of the Service of CoreDNS.
    pub(crate) cluster_dns: Ipv4Addr,
    /// The domain of the cluster, for example `cluster.local`.
    pub(crate) cluster_domain: String,
    /// The snapshotter with which containerd stores images.
    pub(crate) snapshotter: Snapshotter,
    /// The path of the `resolv.conf` for CoreDNS and for pods with `dnsPolicy: Default`. `None` if the user gave none.
    pub(crate) resolv_conf: Option<String>,
    /// The name of the node; `None` means the host name.
    pub(crate) node_name: Option<String>,
    /// The secret with which agent nodes join this server. `None` at an agent node, and at a server that admits no
    /// agent nodes.
    pub(crate) token: Option<String>,
    /// The cluster that the node joins. `None` at a server.
    pub(crate) join: Option<Join>,
}

/// What an agent node needs to know to join a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    /// The URL of the cluster's apiserver.
    pub(crate) server: String,
    /// The secret with which the agent node joins.
    pub(crate) token: String,
    /// The taints with which the node registers.
    pub(crate) taints: Vec<String>,
}

/// The snapshotters of containerd that this image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Snapshotter {
    /// Mounts layers as overlays. This needs a file system that is not itself an overlay, for example a volume.
    Overlayfs,
    /// Copies all files of each layer. This is slow, but works on every file system.
    Native,
}

impl Snapshotter {
    /// The name that containerd uses for the snapshotter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overlayfs => "overlayfs",
            Self::Native => "native",
        }
    }
}

/// The name and the address of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// The name of the node in the cluster.
    pub(crate) name: String,
    /// The node's address on the interface of the default route.
    pub(crate) address: Ipv4Addr,
}

impl Settings {
    /// The address of the `kubernetes` Service: `10.43.0.1` in the range `10.43.0.0/16`.
    pub(crate) fn kubernetes_service(&self) -> Ipv4Addr {
        self.service_range.nth(1)
    }

    /// The address of CoreDNS if `--cluster-dns` is not given.
    pub(crate) fn default_dns(service_range: Range) -> Ipv4Addr {
        service_range.nth(DNS_ADDRESS)
    }
}
