//! When a cluster is ready. Each of these watches; none polls.

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::runtime::wait::{Error, await_condition};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

/// Waits until a node says that it is ready.
pub async fn nodes_ready(client: Client) -> Result<(), watcher::Error> {
    use futures::TryStreamExt as _;
    let nodes: Api<Node> = Api::all(client);
    let stream = watcher(nodes, watcher::Config::default()).applied_objects();
    let mut stream = std::pin::pin!(stream);
    while let Some(node) = stream.try_next().await? {
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True") {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits until a namespace has its default ServiceAccount: before, no pod can be created there.
pub async fn service_account_ready(client: Client, namespace: &str) -> Result<(), Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    await_condition(accounts, "default", |it: Option<&ServiceAccount>| it.is_some()).await.map(drop)
}
