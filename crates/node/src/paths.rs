//! Paths in the container. What k3s has a path for is at that path, because scenarios and people look there
//! (docs/facts.md#paths-and-flags-of-k3s).

/// k3s's configuration file.
pub(crate) const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// k3s's drop-in folder for configuration, which this image does not read.
pub(crate) const CONFIG_FOLDER: &str = "/etc/rancher/k3s/config.yaml.d";
/// k3s's registry configuration, which this image does not read.
pub(crate) const REGISTRIES: &str = "/etc/rancher/k3s/registries.yaml";
/// The administrator's kubeconfig.
pub(crate) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// Manifests that are applied, now and when they change.
pub(crate) const MANIFESTS: &str = "/var/lib/rancher/k3s/server/manifests";
/// Image archives that are imported before the kubelet starts.
pub(crate) const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// Certificates and keys of the server.
pub(crate) const TLS: &str = "/var/lib/rancher/k3s/server/tls";
/// Kubeconfigs of the server's own components.
pub(crate) const CREDENTIALS: &str = "/var/lib/rancher/k3s/server/cred";
/// Kubeconfigs and certificates of kubelet and kube-proxy.
pub(crate) const AGENT: &str = "/var/lib/rancher/k3s/agent";
/// etcd's data.
pub(crate) const ETCD: &str = "/var/lib/rancher/k3s/server/db/etcd";
/// Roots for containerd, the first that may hold an overlay is taken: k3s's own, then containerd's.
pub(crate) const CONTAINERD_ROOTS: [&str; 2] = ["/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"];
/// containerd's socket.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// Files that this program writes and k3s has no place for.
pub(crate) const OWN: &str = "/etc/parallax-node";
/// Network configuration.
pub(crate) const CNI_CONFIG: &str = "/etc/cni/net.d";
/// Network plugins, where Debian puts them.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// One log a component.
pub(crate) const LOGS: &str = "/var/log/parallax-node";

/// An own file by name.
pub(crate) fn own(name: &str) -> String {
    format!("{OWN}/{name}")
}

/// A server certificate or key by name.
pub(crate) fn tls(name: &str) -> String {
    format!("{TLS}/{name}")
}

/// A file of the agent by name.
pub(crate) fn agent(name: &str) -> String {
    format!("{AGENT}/{name}")
}

/// A kubeconfig of the server by name.
pub(crate) fn credential(name: &str) -> String {
    format!("{CREDENTIALS}/{name}.kubeconfig")
}
