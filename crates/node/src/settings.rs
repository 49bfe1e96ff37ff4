//! The validated settings from the command line and the config file.

use std::net::Ipv4Addr;

use crate::arguments::Argument;
use crate::network::Range;

/// The last byte of the name server's default address: `.10` of the services' range.
const DNS_ADDRESS: u8 = 10;

/// The settings of a server or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether CoreDNS runs in the cluster.
    pub(crate) coredns: bool,
    /// k3s's other packaged components that were not disabled, but that this image does not contain.
    pub(crate) absent: Vec<&'static str>,
    /// Further names and addresses of the apiserver's certificate.
    pub(crate) tls_san: Vec<String>,
    /// Users' arguments for kube-apiserver.
    pub(crate) apiserver: Vec<Argument>,
    /// Users' arguments for kube-controller-manager.
    pub(crate) controller_manager: Vec<Argument>,
    /// Users' arguments for kube-scheduler.
    pub(crate) scheduler: Vec<Argument>,
    /// Users' arguments for the kubelet.
    pub(crate) kubelet: Vec<Argument>,
    /// Users' arguments for kube-proxy.
    pub(crate) proxy: Vec<Argument>,
    /// Mode of the administrator's kubeconfig.
    pub(crate) kubeconfig_mode: u32,
    /// The range of the addresses of pods.
    pub(crate) cluster_range: Range,
    /// The range of the addresses of services.
    pub(crate) service_range: Range,
    /// The address of CoreDNS.
    pub(crate) cluster_dns: Ipv4Addr,
    /// The domain of the cluster, for example `cluster.local`.
    pub(crate) cluster_domain: String,
    /// The snapshotter of containerd.
    pub(crate) snapshotter: Snapshotter,
    /// The `resolv.conf` of pods with `dnsPolicy: Default`, which include CoreDNS.
    pub(crate) resolv_conf: Option<String>,
    /// Node name; the host name if absent.
    pub(crate) node_name: Option<String>,
    /// The secret with which agents join. Only a server has it.
    pub(crate) token: Option<String>,
    /// The cluster that the node joins. Only an agent has it.
    pub(crate) join: Option<Join>,
}

/// The cluster that an agent joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    /// The URL of the apiserver.
    pub(crate) server: String,
    /// The secret of the cluster.
    pub(crate) token: String,
    /// Taints with which the node registers.
    pub(crate) taints: Vec<String>,
}

/// Snapshotters that this image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Snapshotter {
    /// Needs a file system that is not itself an overlay: a volume.
    Overlayfs,
    /// It copies files: slow, but it works on every file system.
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

/// The node as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// The name of the node in the cluster.
    pub(crate) name: String,
    /// The node's address on the interface of the default route.
    pub(crate) address: Ipv4Addr,
}

impl Settings {
    /// The address of the `kubernetes` Service.
    pub(crate) fn kubernetes_service(&self) -> Ipv4Addr {
        self.service_range.nth(1)
    }

    /// The address of CoreDNS if no `--cluster-dns` is given.
    pub(crate) fn default_dns(service_range: Range) -> Ipv4Addr {
        service_range.nth(DNS_ADDRESS)
    }
}
