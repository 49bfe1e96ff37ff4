//! Generates the configuration files of containerd, the CNI plugins, the kubelet and the apiserver.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::json;

use crate::error::NodeError;
use crate::paths;
use crate::settings::{Settings, Snapshotter};

/// The image of the sandbox container that every pod has. Like every image, it is imported from an archive in k3s's
/// image folder.
pub(crate) const PAUSE_IMAGE: &str = "rancher/mirrored-pause:3.6";

/// Returns the configuration of containerd.
pub(crate) fn containerd_config(root: &str, snapshotter: Snapshotter) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[timeouts]
  # A shim that is asked for its state has 2 s by default. When it is late, containerd 1.7 goes on with the process id 0
  # and no error, and the container cannot start (docs/facts.md#source-built-node).
  "io.containerd.timeout.task.state" = "30s"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE, OOM scores cannot be lowered.
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE_IMAGE}"
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{config}"
"#,
        socket = paths::CONTAINERD_SOCKET,
        snapshotter = snapshotter.name(),
        plugins = paths::CNI_PLUGINS,
        config = paths::CNI_CONFIG,
    )
}

/// The tokens that the apiserver accepts, as CSV (`token,user,uid,"groups"`). There is only one token: the token with
/// which agent nodes join. The group of this token may request certificates and do nothing else.
pub(crate) fn tokens(token: &str) -> String {
    format!("{token},{user},{user},\"{group}\"\n", user = crate::approve::USER, group = crate::approve::GROUP)
}

/// Writes a file that only root may read, because it contains a secret.
pub(crate) fn write_private(path: &str, text: &str) -> Result<(), NodeError> {
    let mut options = File::options();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(NodeError::file("write", path))
}

/// The CNI configuration of the pods' network: each pod has its own routed link to the node. A bridge would not be
/// enough: a pod could then reach another pod of its node through a Service only if the host had the module
/// `br_netfilter`.
pub(crate) fn network_config(pods: &str) -> String {
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "parallax",
        "plugins": [
            {
                "type": "ptp",
                // The CNI plugin adds no masquerading rule for each pod. One rule for all pods is added at the start
                // (`machine::masquerade`).
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{ "subnet": pods }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    format!("{config:#}\n")
}

/// The kubelet's configuration as JSON, which is valid YAML. `resolv_conf` is the path of the file that CoreDNS and
/// pods with `dnsPolicy: Default` get.
pub(crate) fn kubelet_config(settings: &Settings, resolv_conf: &str, cgroup_v1: bool) -> String {
    let client_authority = if settings.join.is_some() { paths::agent } else { paths::tls }("client-ca.crt");
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": client_authority },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [settings.cluster_dns],
        "clusterDomain": settings.cluster_domain,
        "containerRuntimeEndpoint": format!("unix://{}", paths::CONTAINERD_SOCKET),
        // Eviction and garbage collection of images are switched off. The disk belongs to the host, so its fill level
        // says nothing about this node, and a removed image could not be pulled again.
        "evictionHard": { "imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": false,
        // A container cannot write to parts of /proc/sys, and cannot lower OOM scores. With this feature gate, the
        // kubelet treats these failures as warnings.
        "featureGates": { "KubeletInUserNamespace": true },
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "resolvConf": resolv_conf,
        "serializeImagePulls": false,
        // The longest time until a changed ConfigMap or Secret appears in the volumes of pods.
        "syncFrequency": "5s",
    });
    if cgroup_v1 {
        // Since Kubernetes 1.35 the kubelet refuses cgroup v1 by default. The field exists since 1.31
        // (docs/facts.md#cgroup-v1).
        config["failCgroupV1"] = false.into();
    }
    if settings.join.is_some() {
        // With rotation, the kubelet repeats the request for its first certificate until it gets one. Without rotation,
        // the kubelet gives up after a minute.
        config["rotateCertificates"] = true.into();
        config["serverTLSBootstrap"] = true.into();
    }
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;
    use crate::settings::Join;

    #[test]
    fn the_kubelet_reads_the_resolv_conf_that_was_asked_for() {
        let text = kubelet_config(&settings(&["--cluster-domain=k.test"]), "/x/resolv.conf", false);
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["resolvConf"], "/x/resolv.conf");
        assert_eq!(config["clusterDomain"], "k.test");
        assert_eq!(config["clusterDNS"][0], "10.43.0.10");
        assert!(config.get("failCgroupV1").is_none());
        assert!(kubelet_config(&settings(&[]), "/x", true).contains("\"failCgroupV1\": false"));
    }

    #[test]
    fn the_kubelet_of_an_agent_asks_for_its_certificates() {
        let mut settings = settings(&[]);
        let of_server = kubelet_config(&settings, "/x", false);
        let join = Join { server: "https://node:6443".to_owned(), token: "t".to_owned(), taints: Vec::new() };
        settings.join = Some(join);
        let of_agent = kubelet_config(&settings, "/x", false);
        for key in ["rotateCertificates", "serverTLSBootstrap"] {
            assert!(!of_server.contains(key) && of_agent.contains(&format!("\"{key}\": true")), "{key}");
        }
        assert!(of_agent.contains("/agent/client-ca.crt") && of_server.contains("/server/tls/client-ca.crt"));
    }

    #[test]
    fn a_nodes_pods_get_its_own_range() {
        assert!(network_config("10.42.1.0/24").contains("\"10.42.1.0/24\""));
    }

    #[test]
    fn containerd_takes_root_snapshotter_and_pause_image() {
        let text = containerd_config("/var/lib/containerd", Snapshotter::Native);
        for line in ["root = \"/var/lib/containerd\"", "snapshotter = \"native\"", "\"rancher/mirrored-pause:3.6\""] {
            assert!(text.contains(line), "{line}");
        }
    }
}
