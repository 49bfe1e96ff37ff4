//! The command-line arguments of each component, computed by pure functions from the settings and the node's address.
//!
//! There are three kinds of defaults: those of k3s, those that a container needs, and those that make the start faster.
//! A comment gives the reason for each default of the last two kinds. A user's argument replaces a default ([`merge`]).

use crate::arguments::merge;
use crate::paths::{agent, credential, own, tls};
use crate::settings::{Node, Settings};

/// The URL at which etcd listens for the apiserver, on loopback only.
pub(crate) const ETCD_CLIENT: &str = "http://127.0.0.1:2379";
/// The port of the apiserver on every node, as in k3s.
pub(crate) const API_PORT: u16 = 6443;
/// The address and the port in the URL [`ETCD_CLIENT`].
pub(crate) const ETCD_ADDRESS: &str = "127.0.0.1:2379";
/// The address of kube-proxy's metrics page, which shows when kube-proxy last wrote its rules.
pub(crate) const PROXY_METRICS: &str = "127.0.0.1:10249";

/// The name of the file with the tokens that the apiserver accepts. The file is in [`crate::paths::OWN`].
pub(crate) const TOKENS: &str = "tokens.csv";
/// The name of the kubeconfig file with which the kubelet of an agent node requests its certificate.
pub(crate) const BOOTSTRAP: &str = "bootstrap.kubeconfig";

const LOOPBACK: &str = "127.0.0.1";

/// The default issuer of ServiceAccount tokens. A user can replace it with an argument for kube-apiserver.
pub(crate) fn issuer(settings: &Settings) -> String {
    format!("https://kubernetes.default.svc.{}", settings.cluster_domain)
}

/// Returns the command-line arguments of etcd.
pub(crate) fn etcd() -> Vec<String> {
    let defaults = [
        ("data-dir", crate::paths::ETCD.to_owned()),
        ("listen-client-urls", ETCD_CLIENT.to_owned()),
        ("advertise-client-urls", ETCD_CLIENT.to_owned()),
        ("listen-peer-urls", "http://127.0.0.1:2380".to_owned()),
        // A test's cluster need not survive a power failure. Without fsync, etcd is much faster on the disk of a CI
        // machine.
        ("unsafe-no-fsync", "true".to_owned()),
        // etcd's only member elects itself, but only after an election timeout. Short timers make the start faster.
        ("heartbeat-interval", "50".to_owned()),
        ("election-timeout", "500".to_owned()),
    ];
    merge(&defaults, &[])
}

/// Returns the command-line arguments of kube-apiserver.
pub(crate) fn apiserver(settings: &Settings, node: &Node) -> Vec<String> {
    let issuer = issuer(settings);
    let mut defaults = vec![
        ("advertise-address", node.address.to_string()),
        ("allow-privileged", "true".to_owned()),
        ("api-audiences", format!("{issuer},k3s")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("bind-address", "0.0.0.0".to_owned()),
        ("client-ca-file", tls("client-ca.crt")),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("etcd-servers", ETCD_CLIENT.to_owned()),
        ("kubelet-certificate-authority", tls("server-ca.crt")),
        ("kubelet-client-certificate", tls("client-kube-apiserver.crt")),
        ("kubelet-client-key", tls("client-kube-apiserver.key")),
        ("kubelet-preferred-address-types", "InternalIP,Hostname".to_owned()),
        ("profiling", "false".to_owned()),
        ("proxy-client-cert-file", tls("client-auth-proxy.crt")),
        ("proxy-client-key-file", tls("client-auth-proxy.key")),
        ("requestheader-allowed-names", "system:auth-proxy".to_owned()),
        ("requestheader-client-ca-file", tls("request-header-ca.crt")),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("secure-port", API_PORT.to_string()),
        ("service-account-issuer", issuer.clone()),
        // By default, the URL of the issuer's keys contains the node's address. Clients could then not verify the
        // connection, because the certificate of the issuer's server may lack that address
        // (docs/facts.md#issuer-and-discovery).
        ("service-account-jwks-uri", format!("{issuer}/openid/v1/jwks")),
        ("service-account-key-file", tls("service.key")),
        ("service-account-signing-key-file", tls("service.key")),
        ("service-cluster-ip-range", settings.service_range.to_string()),
        ("tls-cert-file", tls("serving-kube-apiserver.crt")),
        ("tls-private-key-file", tls("serving-kube-apiserver.key")),
    ];
    // The `anonymous` field of an authentication config and the flag `anonymous-auth` exclude each other: with both,
    // the apiserver does not start (docs/facts.md#issuer-and-discovery).
    if !settings.apiserver.iter().any(|argument| argument.name() == "authentication-config") {
        defaults.push(("anonymous-auth", "false".to_owned()));
    }
    if settings.token.is_some() {
        defaults.push(("token-auth-file", own(TOKENS)));
    }
    merge(&defaults, &settings.apiserver)
}

/// Returns the command-line arguments of kube-controller-manager.
pub(crate) fn controller_manager(settings: &Settings) -> Vec<String> {
    let mut defaults = vec![
        ("allocate-node-cidrs", "true".to_owned()),
        ("authentication-kubeconfig", credential("controller")),
        ("authorization-kubeconfig", credential("controller")),
        ("bind-address", LOOPBACK.to_owned()),
        ("cluster-cidr", settings.cluster_range.to_string()),
        ("kubeconfig", credential("controller")),
        // The controller-manager's default limit of 20 requests a second would slow down the start of the cluster.
        ("kube-api-burst", "400".to_owned()),
        ("kube-api-qps", "200".to_owned()),
        ("leader-elect", "false".to_owned()),
        ("profiling", "false".to_owned()),
        ("root-ca-file", tls("server-ca.crt")),
        ("service-account-private-key-file", tls("service.key")),
        ("service-cluster-ip-range", settings.service_range.to_string()),
        ("use-service-account-credentials", "true".to_owned()),
    ];
    for (cert, key, ca) in [
        (
            "cluster-signing-kube-apiserver-client-cert-file",
            "cluster-signing-kube-apiserver-client-key-file",
            "client-ca",
        ),
        ("cluster-signing-kubelet-client-cert-file", "cluster-signing-kubelet-client-key-file", "client-ca"),
        ("cluster-signing-kubelet-serving-cert-file", "cluster-signing-kubelet-serving-key-file", "server-ca"),
        ("cluster-signing-legacy-unknown-cert-file", "cluster-signing-legacy-unknown-key-file", "server-ca"),
    ] {
        defaults.push((cert, tls(&format!("{ca}.crt"))));
        defaults.push((key, tls(&format!("{ca}.key"))));
    }
    merge(&defaults, &settings.controller_manager)
}

/// Returns the command-line arguments of kube-scheduler.
pub(crate) fn scheduler(settings: &Settings) -> Vec<String> {
    let defaults = [
        ("authentication-kubeconfig", credential("scheduler")),
        ("authorization-kubeconfig", credential("scheduler")),
        ("bind-address", LOOPBACK.to_owned()),
        ("kubeconfig", credential("scheduler")),
        ("leader-elect", "false".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    merge(&defaults, &settings.scheduler)
}

/// Returns the command-line arguments of the kubelet. All other settings of the kubelet are in a file
/// ([`crate::files::kubelet_config`]).
pub(crate) fn kubelet(settings: &Settings, node: &Node) -> Vec<String> {
    let mut defaults = vec![
        ("config", own("kubelet.yaml")),
        ("hostname-override", node.name.clone()),
        // The kubelet collects the containers' resource usage in this interval. The interval is long, because no part
        // of this cluster reads the collected numbers. With the default of ten seconds, the collection is a tenth of
        // the kubelet's work.
        ("housekeeping-interval", "1m".to_owned()),
        ("kubeconfig", agent("kubelet.kubeconfig")),
        ("node-ip", node.address.to_string()),
    ];
    match &settings.join {
        None => {
            defaults.push(("tls-cert-file", agent("serving-kubelet.crt")));
            defaults.push(("tls-private-key-file", agent("serving-kubelet.key")));
        }
        // The kubelet of an agent node requests its client certificate and its serving certificate from the apiserver.
        // For these requests, the kubelet authenticates with the bootstrap kubeconfig.
        Some(join) => {
            defaults.push(("bootstrap-kubeconfig", agent(BOOTSTRAP)));
            if !join.taints.is_empty() {
                defaults.push(("register-with-taints", join.taints.join(",")));
            }
        }
    }
    merge(&defaults, &settings.kubelet)
}

/// Returns the command-line arguments of kube-proxy.
pub(crate) fn proxy(settings: &Settings, node: &Node) -> Vec<String> {
    let defaults = [
        ("cluster-cidr", settings.cluster_range.to_string()),
        // 0 means "do not change" in the three conntrack flags. A container has no permission to write the host's
        // conntrack limits.
        ("conntrack-max-per-core", "0".to_owned()),
        ("conntrack-tcp-timeout-close-wait", "0s".to_owned()),
        ("conntrack-tcp-timeout-established", "0s".to_owned()),
        ("healthz-bind-address", "127.0.0.1:10256".to_owned()),
        ("hostname-override", node.name.clone()),
        // A new Service works only after kube-proxy has written its rule. By default, kube-proxy waits up to a second
        // before it writes.
        ("iptables-min-sync-period", "10ms".to_owned()),
        ("kubeconfig", agent("kubeproxy.kubeconfig")),
        ("metrics-bind-address", PROXY_METRICS.to_owned()),
        ("proxy-mode", "iptables".to_owned()),
    ];
    merge(&defaults, &settings.proxy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    fn node() -> Node {
        Node { name: "node0".to_owned(), address: "172.17.0.2".parse().expect("address") }
    }

    fn value<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
        let prefix = format!("--{flag}=");
        arguments.iter().filter_map(|argument| argument.strip_prefix(&prefix)).collect()
    }

    #[test]
    fn anonymous_is_off_unless_something_else_decides() {
        for (flags, expected) in [
            (&[][..], &["false"][..]),
            (&["--kube-apiserver-arg=anonymous-auth=true"], &["true"]),
            (&["--kube-apiserver-arg=authentication-config=/a.yaml"], &[]),
            (
                &["--kube-apiserver-arg=authentication-config=/a.yaml", "--kube-apiserver-arg=anonymous-auth=true"],
                &["true"],
            ),
        ] {
            let arguments = apiserver(&settings(flags), &node());
            assert_eq!(value(&arguments, "anonymous-auth"), expected, "{flags:?}");
        }
    }

    #[test]
    fn issuer_and_keys_follow_the_cluster_domain_and_the_user() {
        let arguments = apiserver(&settings(&["--cluster-domain=k.test"]), &node());
        assert_eq!(value(&arguments, "service-account-issuer"), ["https://kubernetes.default.svc.k.test"]);
        assert_eq!(value(&arguments, "api-audiences"), ["https://kubernetes.default.svc.k.test,k3s"]);
        let user = "--kube-apiserver-arg=service-account-jwks-uri=https://x.test/keys";
        let arguments = apiserver(&settings(&[user]), &node());
        assert_eq!(value(&arguments, "service-account-jwks-uri"), ["https://x.test/keys"]);
    }

    #[test]
    fn the_default_arguments_as_a_whole() {
        let settings = settings(&[]);
        let mut text = String::new();
        for (name, arguments) in [
            ("etcd", etcd()),
            ("kube-apiserver", apiserver(&settings, &node())),
            ("kube-controller-manager", controller_manager(&settings)),
            ("kube-scheduler", scheduler(&settings)),
            ("kubelet", kubelet(&settings, &node())),
            ("kube-proxy", proxy(&settings, &node())),
        ] {
            text = format!("{text}{name}\n  {}\n", arguments.join("\n  "));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_but_apiserver_and_kubelet_listens_beyond_loopback() {
        let settings = settings(&[]);
        for arguments in [etcd(), controller_manager(&settings), scheduler(&settings), proxy(&settings, &node())] {
            let listens = arguments.iter().filter(|argument| {
                let name = argument.split('=').next().unwrap_or_default();
                name.contains("bind-address") || name.contains("listen-")
            });
            for argument in listens {
                assert!(argument.contains("127.0.0.1"), "{argument}");
            }
        }
    }
}
