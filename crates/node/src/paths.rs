//! Paths in the node's container. A file that k3s has too is at k3s's path, because scenarios and users look there
//! (docs/facts.md#paths-and-flags-of-k3s).

/// The path of k3s's configuration file.
pub(crate) const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// The folder with additional config files of k3s. This image does not read them and refuses to start if the folder
/// exists.
pub(crate) const CONFIG_FOLDER: &str = "/etc/rancher/k3s/config.yaml.d";
/// k3s's registry configuration. This image does not read it and refuses to start if the file exists.
pub(crate) const REGISTRIES: &str = "/etc/rancher/k3s/registries.yaml";
/// The path of the administrator's kubeconfig.
pub(crate) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// The folder whose manifests the node applies to the cluster, at the start and when they change.
pub(crate) const MANIFESTS: &str = "/var/lib/rancher/k3s/server/manifests";
/// The folder of the image archives that are imported before the kubelet starts.
pub(crate) const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// The folder of the server's certificates and keys.
pub(crate) const TLS: &str = "/var/lib/rancher/k3s/server/tls";
/// The folder of the kubeconfigs of the server's own components.
pub(crate) const CREDENTIALS: &str = "/var/lib/rancher/k3s/server/cred";
/// The folder of the kubeconfigs and certificates of the kubelet and kube-proxy, on every node.
pub(crate) const AGENT: &str = "/var/lib/rancher/k3s/agent";
/// The folder of etcd's data.
pub(crate) const ETCD: &str = "/var/lib/rancher/k3s/server/db/etcd";
/// The possible root folders of containerd: k3s's own, then containerd's default. The first one whose file system can
/// hold overlays is used.
pub(crate) const CONTAINERD_ROOTS: [&str; 2] = ["/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"];
/// The path of containerd's socket.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The folder for files of this program for which k3s has no path.
pub(crate) const OWN: &str = "/etc/parallax-node";
/// The folder of the CNI configuration.
pub(crate) const CNI_CONFIG: &str = "/etc/cni/net.d";
/// The folder of the CNI plugins. Debian's package installs them there.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// The folder of the components' log files.
pub(crate) const LOGS: &str = "/var/log/parallax-node";

/// The path of a file in [`OWN`].
pub(crate) fn own(name: &str) -> String {
    format!("{OWN}/{name}")
}

/// The path of a file in [`TLS`], a certificate or a key of the server.
pub(crate) fn tls(name: &str) -> String {
    format!("{TLS}/{name}")
}

/// The path of a file in [`AGENT`].
pub(crate) fn agent(name: &str) -> String {
    format!("{AGENT}/{name}")
}

/// The path of a kubeconfig in [`CREDENTIALS`].
pub(crate) fn credential(name: &str) -> String {
    format!("{CREDENTIALS}/{name}.kubeconfig")
}
