//! The addresses from which a store in the cluster sees the requests of outside clients. A store sees only the last
//! hop: a node, which replaces the source address, or a proxy. If a store sees any other address, the request did not
//! come from an outside vantage.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;

use super::scene::Scene;
use crate::probe::lives;
use parallax_record::Noted as _;

/// The known addresses of nodes and proxies. The set can grow, because nodes and proxies may start during a flow.
#[derive(Debug, Default)]
pub(super) struct Inbound(Mutex<BTreeSet<IpAddr>>);

impl Inbound {
    /// Whether a request with this source address may have come from outside the cluster. If the address is not in the
    /// set of known addresses, the nodes and pods are read again.
    pub(super) async fn has(&self, source: &str, scene: &Scene<'_>, client: &kube::Client) -> bool {
        let Ok(source) = source.parse::<IpAddr>() else { return false };
        let is_known = || self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&source);
        if is_known() {
            return true;
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default()).await.noted("list the nodes").map(|it| it.items);
        let pods = lives::pods(client, &scene.plan.namespace, "").await.noted("list the pods of a namespace");
        let vantages: BTreeSet<&str> = scene.environment.pods.values().map(|(_, address)| address.as_str()).collect();
        let of_nodes = nodes.iter().flatten().flat_map(of_node);
        let of_proxies = pods.iter().flatten().filter_map(|pod| of_proxy(pod, &vantages));
        let found = of_nodes.chain(of_proxies).chain(scene.cluster.hops(&scene.plan.namespace));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        is_known()
    }
}

/// The addresses of a node: its own addresses, and the addresses of its pod network's bridge and tunnel. The bridge and
/// the tunnel have the first two addresses of the node's pod range.
fn of_node(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|it| it.addresses.iter().flatten());
    let own = addresses.filter_map(|it| it.address.parse().ok());
    let ranges = node.spec.iter().filter_map(|it| it.pod_cidr.as_deref()?.split('/').next()?.parse().ok());
    let bridges = ranges.flat_map(|first: Ipv4Addr| {
        let bridge = Ipv4Addr::from_bits(first.to_bits().saturating_add(1));
        [IpAddr::V4(first), IpAddr::V4(bridge)]
    });
    own.chain(bridges).collect()
}

/// The address of a pod, if the pod may be a proxy. Every pod except the pods of vantages may be a proxy.
fn of_proxy(pod: &Pod, vantages: &BTreeSet<&str>) -> Option<IpAddr> {
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    if vantages.contains(address) { None } else { address.parse().ok() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_from_outside_comes_by_a_node_or_by_a_proxy_and_by_no_vantage() {
        let addresses = json!([
            { "type": "InternalIP", "address": "172.19.0.3" }, { "type": "Hostname", "address": "node" },
        ]);
        let node = json!({ "spec": { "podCIDR": "10.42.1.0/24" }, "status": { "addresses": addresses } });
        let node: Node = serde_json::from_value(node).expect("a node");
        let text = |it: &IpAddr| it.to_string();
        assert_eq!(of_node(&node).iter().map(text).collect::<Vec<_>>(), ["172.19.0.3", "10.42.1.0", "10.42.1.1"]);
        let pod = |address: &str| -> Pod {
            serde_json::from_value(json!({ "status": { "podIP": address } })).expect("a pod")
        };
        let vantages = BTreeSet::from(["10.42.1.9"]);
        assert_eq!(of_proxy(&pod("10.42.1.8"), &vantages).as_ref().map(text).as_deref(), Some("10.42.1.8"));
        assert_eq!(of_proxy(&pod("10.42.1.9"), &vantages), None);
    }
}
