//! The ConfigMap `coredns-custom`. k3s reads its keys `*.override` inside the server block `.:53`, and its keys
//! `*.server` outside it (docs/facts.md#coredns-on-k3s).

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::cluster::ClusterPlan;
use parallax_language::fixture::{DnsPlace, DnsRule};

/// The ConfigMap with all DNS rules of a cluster. The ConfigMap is created even if there are no rules. CoreDNS mounts
/// it as optional, so CoreDNS would have to restart to see a ConfigMap that is created later. `address_of` gives the
/// address of a fixture's container, by namespace and fixture id.
pub fn custom_config_map(cluster: &ClusterPlan, address_of: &dyn Fn(&str, &str) -> Option<IpAddr>) -> Value {
    let mut data = serde_json::Map::new();
    let rules: Vec<&DnsRule> = cluster.dns_rules().collect();
    let mut overrides = String::new();
    for rule in rules.iter().filter(|rule| rule.place == DnsPlace::Override) {
        writeln!(overrides, "rewrite name exact {} {}", rule.from, rule.to).expect("a String takes every write");
    }
    if !overrides.is_empty() {
        data.insert("parallax.override".to_owned(), Value::String(overrides));
    }
    let servers = rules.iter().filter(|rule| rule.place == DnsPlace::Server);
    for (number, rule) in servers.enumerate() {
        let block = format!(
            "{from}:53 {{\n    rewrite name exact {from} {to}\n    forward . /etc/resolv.conf\n}}\n",
            from = rule.from,
            to = rule.to
        );
        data.insert(format!("parallax-{number}.server"), Value::String(block));
    }
    // The Corefile already has one `hosts` plugin, for NodeHosts. CoreDNS does not start if the same block has a second
    // `hosts` plugin.
    let hosts = cluster.dns_hosts().filter_map(|(namespace, it)| Some((it, address_of(namespace, &it.address_of)?)));
    for (number, (host, address)) in hosts.enumerate() {
        let block = format!("{name}:53 {{\n    hosts {{\n        {address} {name}\n    }}\n}}\n", name = host.name);
        data.insert(format!("parallax-host-{number}.server"), Value::String(block));
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "coredns-custom", "namespace": "kube-system" },
        "data": data,
    })
}
