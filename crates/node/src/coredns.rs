//! The Kubernetes objects of CoreDNS, as k3s deploys them. Users of k3s rely on the names of these objects, on the
//! files that the Corefile imports, and on the optional volume `coredns-custom` (docs/facts.md#coredns-on-k3s).

use serde_json::{Value, json};

use crate::components::API_PORT;
use crate::settings::{Node, Settings};

/// The image of CoreDNS. Like every image, it is imported from an archive in k3s's image folder.
pub(crate) const IMAGE: &str = "rancher/mirrored-coredns-coredns:1.12.4";
/// The namespace of all objects of CoreDNS.
pub(crate) const NAMESPACE: &str = "kube-system";

/// The Corefile. It imports the keys of the ConfigMap `coredns-custom`: `*.override` inside the server block, and
/// `*.server` outside it.
fn corefile(domain: &str) -> String {
    format!(
        ".:53 {{
    errors
    health
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    hosts /etc/coredns/NodeHosts {{
        ttl 60
        reload 15s
        fallthrough
    }}
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
    forward . /etc/resolv.conf
}}
import /etc/coredns/custom/*.server
"
    )
}

/// The objects that the Deployment of CoreDNS needs. They are applied before the Deployment.
pub(crate) fn dependencies(settings: &Settings, node: &Node) -> Vec<Value> {
    let metadata = json!({ "name": "coredns", "namespace": NAMESPACE });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": "system:coredns" },
            "rules": [
                { "apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "system:coredns" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns" },
            "subjects": [{ "kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE }],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {
                "Corefile": corefile(&settings.cluster_domain),
                "NodeHosts": format!("{} {}\n", node.address, node.name),
            },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kube-dns",
                "namespace": NAMESPACE,
                "labels": { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
            },
            "spec": {
                "clusterIP": settings.cluster_dns,
                "selector": { "k8s-app": "kube-dns" },
                "ports": [
                    { "name": "dns", "port": 53, "protocol": "UDP" },
                    { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
                    { "name": "metrics", "port": 9153, "protocol": "TCP" },
                ],
            },
        }),
    ]
}

/// Returns the Deployment of CoreDNS.
pub(crate) fn deployment(node: &Node) -> Value {
    let labels = json!({ "k8s-app": "kube-dns" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "coredns", "namespace": NAMESPACE, "labels": labels },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 0,
            "selector": { "matchLabels": labels },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    // With this policy, the pod gets the file that the kubelet's setting `resolvConf` gives. CoreDNS
                    // forwards questions to the name servers in this file.
                    "dnsPolicy": "Default",
                    "nodeSelector": { "kubernetes.io/os": "linux" },
                    "tolerations": [
                        { "key": "CriticalAddonsOnly", "operator": "Exists" },
                        { "key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule" },
                        // The pod may be scheduled before the node is Ready, so that CoreDNS starts as early as
                        // possible.
                        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule" },
                    ],
                    "containers": [container(node)],
                    "volumes": [
                        {
                            "name": "config-volume",
                            "configMap": {
                                "name": "coredns",
                                "items": [{ "key": "Corefile", "path": "Corefile" }, { "key": "NodeHosts", "path": "NodeHosts" }],
                            },
                        },
                        { "name": "custom-config-volume", "configMap": { "name": "coredns-custom", "optional": true } },
                    ],
                },
            },
        },
    })
}

fn container(node: &Node) -> Value {
    json!({
        "name": "coredns",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        // CoreDNS connects to the apiserver's own address and not to its Service, so that it need not wait for
        // kube-proxy. A connection to the Service that is opened before kube-proxy has written its rules never reaches
        // the apiserver.
        "env": [
            { "name": "KUBERNETES_SERVICE_HOST", "value": node.address },
            { "name": "KUBERNETES_SERVICE_PORT", "value": API_PORT.to_string() },
        ],
        "resources": { "limits": { "memory": "170Mi" }, "requests": { "cpu": "100m", "memory": "70Mi" } },
        "ports": [
            { "containerPort": 53, "name": "dns", "protocol": "UDP" },
            { "containerPort": 53, "name": "dns-tcp", "protocol": "TCP" },
            { "containerPort": 9153, "name": "metrics", "protocol": "TCP" },
        ],
        "volumeMounts": [
            { "name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true },
            { "name": "custom-config-volume", "mountPath": "/etc/coredns/custom", "readOnly": true },
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["all"] },
            "readOnlyRootFilesystem": true,
        },
        "livenessProbe": {
            "httpGet": { "path": "/health", "port": 8080 },
            "initialDelaySeconds": 60, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3,
        },
        // The start of the node ends only when CoreDNS answers through its Service, and CoreDNS gets no question
        // before this probe succeeds. Therefore the period is one second, the shortest that Kubernetes allows. Many
        // failures are allowed, so that the only replica stays in the Service even if it is slow.
        "readinessProbe": {
            "httpGet": { "path": "/ready", "port": 8181 },
            "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 30,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn overrides_are_inside_the_block_and_servers_outside() {
        let text = corefile("cluster.local");
        let end = text.find("\n}\n").expect("the block ends");
        assert!(text[..end].contains("import /etc/coredns/custom/*.override"));
        assert!(text[end..].contains("import /etc/coredns/custom/*.server"));
    }

    #[test]
    fn service_hosts_and_domain_follow_the_settings() {
        let settings = settings(&["--service-cidr=10.96.0.0/16", "--cluster-domain=k.test"]);
        let node = Node { name: "n".to_owned(), address: "172.17.0.2".parse().expect("address") };
        let all = dependencies(&settings, &node);
        let of = |kind: &str| all.iter().find(|object| object["kind"] == kind).expect("present");
        assert_eq!(of("Service")["spec"]["clusterIP"], "10.96.0.10");
        assert_eq!(of("ConfigMap")["data"]["NodeHosts"], "172.17.0.2 n\n");
        assert!(of("ConfigMap")["data"]["Corefile"].as_str().expect("text").contains("kubernetes k.test "));
    }

    #[test]
    fn the_custom_volume_is_optional_and_the_resolver_is_the_nodes() {
        let node = Node { name: "n".to_owned(), address: "172.17.0.2".parse().expect("address") };
        let pod = &deployment(&node)["spec"]["template"]["spec"];
        assert_eq!(pod["dnsPolicy"], "Default");
        assert_eq!(pod["volumes"][1]["configMap"], json!({ "name": "coredns-custom", "optional": true }));
    }
}
