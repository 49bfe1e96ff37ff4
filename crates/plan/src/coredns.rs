//! The ConfigMap `coredns-custom`. In k3s, the Corefile imports the keys `*.override` of this ConfigMap into the server
//! block `.:53`, and the keys `*.server` as further server blocks (docs/facts.md#coredns-on-k3s).

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::cluster::ClusterPlan;
use parallax_language::fixture::{DnsPlace, DnsRule};

/// The time for which clients may keep the address of a host, in seconds.
const TTL_S: u32 = 60;

/// The ConfigMap with all DNS rules of a cluster. The ConfigMap is created even if there are no rules. The pod of
/// CoreDNS mounts the ConfigMap as an optional volume. If the ConfigMap were created later, CoreDNS would have to
/// restart to see it. `address_of` returns the address of a fixture's container, by namespace and fixture id.
pub fn custom_config_map(cluster: &ClusterPlan, address_of: &dyn Fn(&str, &str) -> Option<IpAddr>) -> Value {
    let mut data = serde_json::Map::new();
    let rules: Vec<&DnsRule> = cluster.dns_rules().collect();
    let mut overrides = String::new();
    for rule in rules.iter().filter(|rule| rule.place == DnsPlace::Override) {
        for directive in rule.directives() {
            writeln!(overrides, "{directive}").expect("a String takes every write");
        }
    }
    // The entries for hosts are templates in the server block `.:53`. A separate server block for a host would also
    // answer for every name below the host's name, and would hide a rule that rewrites the host's name. The plugin
    // `hosts` is no alternative: the Corefile already uses it in the block `.:53`, and CoreDNS accepts it only once in
    // each block.
    for (namespace, host) in cluster.dns_hosts() {
        if let Some(address) = address_of(namespace, &host.address_of) {
            overrides.push_str(&host_templates(&host.name, address));
        }
    }
    if !overrides.is_empty() {
        data.insert("parallax.override".to_owned(), Value::String(overrides));
    }
    let servers = rules.iter().filter(|rule| rule.place == DnsPlace::Server);
    for (number, rule) in servers.enumerate() {
        let block = format!(
            "{}:53 {{\n    {}\n    forward . /etc/resolv.conf\n}}\n",
            rule.from,
            rule.directives().join("\n    "),
        );
        data.insert(format!("parallax-{number}.server"), Value::String(block));
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "coredns-custom", "namespace": "kube-system" },
        "data": data,
    })
}

/// The directives that answer exactly `name` with `address`. A question for a type that the name does not have gets an
/// answer without records, as from the plugin `hosts`.
fn host_templates(name: &str, address: IpAddr) -> String {
    let record = if address.is_ipv4() { "A" } else { "AAAA" };
    let only_this_name = format!("match \"^{}[.]$\"", name.replace('.', "[.]"));
    format!(
        "template IN {record} {name} {{\n    {only_this_name}\n    answer \"{{{{ .Name }}}} {TTL_S} IN {record} {address}\"\n    \
         fallthrough\n}}\ntemplate IN ANY {name} {{\n    {only_this_name}\n    rcode NOERROR\n    fallthrough\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_of_a_host_is_answered() {
        let templates = host_templates("s3.example.com", IpAddr::from([172, 18, 0, 5]));
        let expected = "\
template IN A s3.example.com {
    match \"^s3[.]example[.]com[.]$\"
    answer \"{{ .Name }} 60 IN A 172.18.0.5\"
    fallthrough
}
template IN ANY s3.example.com {
    match \"^s3[.]example[.]com[.]$\"
    rcode NOERROR
    fallthrough
}
";
        assert_eq!(templates, expected);
    }
}
