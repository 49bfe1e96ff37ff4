//! Routes to the pods of other nodes. The pod range of each node is routed to that node's address, as in flannel's
//! `host-gw` mode. The nodes of a cluster are on one network, so packets need no encapsulation.

use std::net::Ipv4Addr;
use std::process::Stdio;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::process::Command;

use crate::say::say;

/// Adds a route for each node that joins, and removes the route of each node that leaves, as long as this node runs.
/// `own` is the name of this node, which needs no route to itself.
pub(crate) async fn keep(client: Client, own: String) {
    let nodes: Api<Node> = Api::all(client);
    let mut seen = Box::pin(watcher(nodes, watcher::Config::default()).default_backoff());
    while let Some(event) = seen.next().await {
        let (verb, node) = match event {
            Ok(Event::Apply(node) | Event::InitApply(node)) => ("replace", node),
            Ok(Event::Delete(node)) => ("del", node),
            // After an error, the watch of the nodes starts again automatically.
            Ok(Event::Init | Event::InitDone) | Err(_) => continue,
        };
        if node.name_any() == own {
            continue;
        }
        if let Some((pods, address)) = route(&node) {
            set(verb, &pods, address).await;
        }
    }
}

/// The address range of a node's pods, and the node's own address. `None` as long as one of them is not known.
pub(crate) fn route(node: &Node) -> Option<(String, Ipv4Addr)> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|it| it.type_ == "InternalIP")?;
    Some((node.spec.as_ref()?.pod_cidr.clone()?, internal.address.parse().ok()?))
}

async fn set(verb: &str, pods: &str, address: Ipv4Addr) {
    let address = address.to_string();
    let mut command = Command::new("ip");
    command.args(["route", verb, pods, "via", &address]).stdin(Stdio::null()).kill_on_drop(true);
    let failed = match command.output().await {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    say(format!("the route to {pods} through {address} is not set: {failed}"));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_route_needs_the_range_and_the_address() {
        let node = |spec: Value, addresses: Value| -> Node {
            serde_json::from_value(json!({ "spec": spec, "status": { "addresses": addresses } })).expect("a node")
        };
        let range = json!({ "podCIDR": "10.42.1.0/24" });
        let addresses =
            json!([{ "type": "Hostname", "address": "far" }, { "type": "InternalIP", "address": "172.18.0.4" }]);
        let found = route(&node(range.clone(), addresses.clone()));
        assert_eq!(found, Some(("10.42.1.0/24".to_owned(), Ipv4Addr::new(172, 18, 0, 4))));
        assert_eq!(route(&node(json!({}), addresses)), None);
        assert_eq!(route(&node(range, json!([]))), None);
    }
}
