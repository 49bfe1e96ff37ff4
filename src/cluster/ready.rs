//! Waits until a cluster is ready. Each function uses a watch and does not poll.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::time::Instant;

use super::until::{Ended, until};
use super::watched::watched;

/// Resolves when some node of the cluster reports that it is ready. The caller sets the time limit. If the watch
/// breaks, it is started again, because the apiserver often ends connections while a node starts.
pub async fn nodes_ready(client: Client) {
    let nodes: Api<Node> = Api::all(client);
    let mut seen = watched(nodes, watcher::Config::default(), "nodes");
    while let Some(node) = seen.next().await {
        if is_ready(&node) {
            return;
        }
    }
    // The watch ended, but no node is ready. Therefore the future never resolves, and the caller's time limit ends the
    // wait.
    std::future::pending::<()>().await;
}

/// Waits until the node with this name is ready.
pub async fn node_ready(client: Client, name: &str, deadline: Instant) -> Ended<Node> {
    until(&Api::<Node>::all(client), name, |it: Option<&Node>| it.is_some_and(is_ready), deadline).await
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Waits until a namespace has its default ServiceAccount. Before that, the apiserver refuses to create a pod in the
/// namespace.
pub async fn service_account_ready(client: Client, namespace: &str, deadline: Instant) -> Ended<ServiceAccount> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    until(&accounts, "default", |it: Option<&ServiceAccount>| it.is_some(), deadline).await
}
