//! Generates the configuration files of containerd, the network plugins and the kubelet, without I/O.

use serde_json::json;

use crate::paths;
use crate::settings::{Settings, Snapshotter};

/// The image of every pod's first container; imported like any other.
pub(crate) const PAUSE_IMAGE: &str = "rancher/mirrored-pause:3.6";

/// containerd's configuration.
pub(crate) fn containerd_config(root: &str, snapshotter: Snapshotter) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
  address = "{socket}"
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

/// The pods' network: a routed link for each pod. Unlike a bridge it needs no `br_netfilter` on the host for a pod to
/// reach its neighbour through a Service.
pub(crate) fn network_config(settings: &Settings) -> String {
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "parallax",
        "plugins": [
            {
                "type": "ptp",
                // One rule for all pods is written at the start (`machine::masquerade`).
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{ "subnet": settings.cluster_range.first_node().to_string() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    format!("{config:#}\n")
}

/// The kubelet's configuration. JSON is YAML.
pub(crate) fn kubelet_config(settings: &Settings, resolv_conf: &str, cgroup_v1: bool) -> String {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": paths::tls("client-ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [settings.cluster_dns],
        "clusterDomain": settings.cluster_domain,
        "containerRuntimeEndpoint": format!("unix://{}", paths::CONTAINERD_SOCKET),
        // No eviction and no image collection: the disk is the host's, and images cannot be pulled again.
        "evictionHard": { "imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": false,
        // Operations that a container may not do (write to parts of /proc/sys, lower OOM scores) become warnings.
        "featureGates": { "KubeletInUserNamespace": true },
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "resolvConf": resolv_conf,
        "serializeImagePulls": false,
        // A changed ConfigMap or Secret reaches the volumes of pods within this time.
        "syncFrequency": "5s",
    });
    if cgroup_v1 {
        // The kubelet refuses cgroup v1 by default since Kubernetes 1.35; the field exists since 1.31
        // (docs/facts.md#cgroup-v1).
        config["failCgroupV1"] = false.into();
    }
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

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
    fn pods_get_the_first_part_of_the_cluster_range() {
        assert!(network_config(&settings(&["--cluster-cidr=10.99.0.0/16"])).contains("\"10.99.0.0/24\""));
    }

    #[test]
    fn containerd_takes_root_snapshotter_and_pause_image() {
        let text = containerd_config("/var/lib/containerd", Snapshotter::Native);
        for line in ["root = \"/var/lib/containerd\"", "snapshotter = \"native\"", "\"rancher/mirrored-pause:3.6\""] {
            assert!(text.contains(line), "{line}");
        }
    }
}
