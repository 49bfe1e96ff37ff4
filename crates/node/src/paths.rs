//! Paths in the container. If k3s has a path for a file, the same path is used here, because scenarios and users look
//! there (docs/facts.md#paths-and-flags-of-k3s).

/// The path of k3s's configuration file.
pub(crate) const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// k3s's drop-in folder for configuration, which this image does not read.
pub(crate) const CONFIG_FOLDER: &str = "/etc/rancher/k3s/config.yaml.d";
/// k3s's registry configuration, which this image does not read.
pub(crate) const REGISTRIES: &str = "/etc/rancher/k3s/registries.yaml";
/// The path of the administrator's kubeconfig.
pub(crate) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// Manifests in this folder are applied at the start and when they change.
pub(crate) const MANIFESTS: &str = "/var/lib/rancher/k3s/server/manifests";
/// Image archives that are imported before the kubelet starts.
pub(crate) const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// Certificates and keys of the server.
pub(crate) const TLS: &str = "/var/lib/rancher/k3s/server/tls";
/// Kubeconfigs of the server's own components.
pub(crate) const CREDENTIALS: &str = "/var/lib/rancher/k3s/server/cred";
/// Kubeconfigs and certificates of kubelet and kube-proxy.
pub(crate) const AGENT: &str = "/var/lib/rancher/k3s/agent";
/// The path of etcd's data.
pub(crate) const ETCD: &str = "/var/lib/rancher/k3s/server/db/etcd";
/// Root folders for containerd: k3s's own, then containerd's default. The first that supports overlays is used.
pub(crate) const CONTAINERD_ROOTS: [&str; 2] = ["/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"];
/// The path of containerd's socket.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// Files of this program for which k3s has no path.
pub(crate) const OWN: &str = "/etc/parallax-node";
/// The folder of the network configuration.
pub(crate) const CNI_CONFIG: &str = "/etc/cni/net.d";
/// Network plugins; the path is Debian's.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// The folder of the components' logs.
pub(crate) const LOGS: &str = "/var/log/parallax-node";

/// The path of a file in [`OWN`].
pub(crate) fn own(name: &str) -> String {
    format!("{OWN}/{name}")
}

/// The path of a server certificate or key.
pub(crate) fn tls(name: &str) -> String {
    format!("{TLS}/{name}")
}

/// The path of a file of the agent.
pub(crate) fn agent(name: &str) -> String {
    format!("{AGENT}/{name}")
}

/// The path of a kubeconfig of the server.
pub(crate) fn credential(name: &str) -> String {
    format!("{CREDENTIALS}/{name}.kubeconfig")
}
