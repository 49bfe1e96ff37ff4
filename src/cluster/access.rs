//! Access to a cluster: the Kubernetes client, and how the cluster's network looks from outside. The harness has this
//! access to every cluster, whether it started the cluster or not. If the harness started the cluster, [`Access::own`]
//! gives access to the owner's operations.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use parallax_vocab::question::View;

use super::beside::LifeBeside;
use super::error::ClusterError;
use super::own::Own;
use parallax_engine::Life;

/// A cluster whose apiserver answers. Dropping this value removes nothing from the cluster, and does not end it.
#[derive(Clone)]
pub struct Access {
    /// The name of the cluster in the plan. If the harness did not start the cluster, this is the name of the
    /// kubeconfig's context.
    pub name: String,
    /// A Kubernetes client. For a cluster that the harness started, the client has the rights of the administrator.
    pub client: Client,
    /// The certificate of the apiserver's authority, as PEM. It is empty if the kubeconfig does not contain the
    /// certificate.
    pub authority: String,
    /// The issuer in the tokens of the cluster's ServiceAccounts. It is empty if the harness did not start the cluster,
    /// because the issuer is then unknown.
    pub issuer: String,
    /// How the network looks to this process when it asks questions from outside the cluster: the name servers and the
    /// detours. The certificates to trust are not set here.
    pub outside: View,
    /// How the network looks to a container outside the cluster when questions are asked there: the name servers. There
    /// are no detours, because a container reaches the edge directly. The certificates to trust are not set here.
    pub beside: View,
    /// The address of the edge on the network outside the cluster, if there is an edge.
    pub edge: Option<IpAddr>,
    /// The source address that pods' requests have after they leave the cluster. `None` if it is unknown.
    pub egress: Option<IpAddr>,
    /// The owner's operations; `None` if the harness did not start the cluster.
    pub(super) own: Option<Arc<Own>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("name", &self.name).field("own", &self.own).finish_non_exhaustive()
    }
}

impl Access {
    /// Returns the owner's operations on the cluster.
    ///
    /// # Errors
    ///
    /// Fails if the harness does not own the cluster. `purpose` says for the error message which operation is
    /// impossible, for example `end a process on its node`.
    pub fn own(&self, purpose: &str) -> Result<&Own, ClusterError> {
        let not_owned = || ClusterError::NotOwned { cluster: self.name.clone(), purpose: purpose.to_owned() };
        self.own.as_deref().ok_or_else(not_owned)
    }

    /// Whether the harness started the cluster. If not, the cluster is shared with others and stays after the run.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns the address of the container that a fixture started outside the cluster. `None` if there is no such
    /// container.
    pub fn address_beside(&self, namespace: &str, fixture: &str) -> Option<IpAddr> {
        self.own.as_ref()?.neighbour(namespace, fixture).map(|it| it.container.address)
    }

    /// Returns the source address that requests from the pods of a node have after they leave the cluster. If `node` is
    /// `None` or is not an agent node, returns the address for pods on the server node.
    pub fn egress_of(&self, node: Option<&str>) -> Option<IpAddr> {
        let agent = self.own.as_ref().zip(node).and_then(|(own, node)| own.agents.0.get(node)?.address());
        agent.or(self.egress)
    }

    /// Returns the addresses outside the cluster from which requests can reach a store: the address of the edge, the
    /// addresses of the fixtures' containers in the environment, and the addresses of vantages in containers. The edge
    /// and a fixture's container forward requests. A load balancer may keep the address of a vantage as the source
    /// address of a request.
    pub fn hops(&self, namespace: &str) -> Vec<IpAddr> {
        let beside = self.own.iter().flat_map(|own| {
            let vantages = own.outside.values().map(|it| it.address);
            own.addresses_beside(namespace).chain(vantages)
        });
        self.edge.into_iter().chain(beside).collect()
    }

    /// Returns the states of the containers outside the cluster that an environment uses. `images` are the images of
    /// the environment's vantages that run in such containers.
    pub async fn lives_beside(
        &self,
        namespace: &str,
        images: impl Iterator<Item = &str>,
    ) -> Result<Vec<LifeBeside>, ClusterError> {
        match &self.own {
            Some(own) => own.lives_beside(namespace, images).await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns the state of each agent node (whether it runs), by the name of the node.
    pub async fn lives_of_nodes(&self) -> Result<Vec<(String, Life)>, ClusterError> {
        match &self.own {
            Some(own) => own.lives_of_nodes().await,
            None => Ok(Vec::new()),
        }
    }

    /// Resolves when the cluster's server node ends. Only the owner of a cluster can observe this. For a cluster that
    /// the harness does not own, the future never resolves.
    pub async fn lost(&self) -> ClusterError {
        match &self.own {
            Some(own) => own.exited().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for an event of the cluster, with a time limit. `what` names the event for the error. If the limit is
    /// exceeded and the harness owns the cluster, the error also contains the last log lines of the server node.
    pub async fn within<T>(
        &self,
        what: &str,
        limit: Duration,
        wait: impl Future<Output = T>,
    ) -> Result<T, ClusterError> {
        if let Ok(value) = tokio::time::timeout(limit, wait).await {
            return Ok(value);
        }
        let lines = match &self.own {
            Some(own) => own.last_lines().await,
            None => Vec::new(),
        };
        Err(ClusterError::Deadline {
            cluster: self.name.clone(),
            what: what.to_owned(),
            within_s: limit.as_secs(),
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{apiserver, status};

    #[tokio::test]
    async fn a_cluster_that_the_harness_does_not_own_can_be_used() {
        let (client, _server) = apiserver(Duration::from_secs(5), |_, _| status(404, "not found")).await;
        let access = Access {
            name: "theirs".to_owned(),
            client,
            authority: String::new(),
            issuer: String::new(),
            outside: View::default(),
            beside: View::default(),
            edge: None,
            egress: None,
            own: None,
        };
        let refused = access.own("end a process on its node").map(drop).expect_err("nobody owns it").failure();
        assert_eq!(refused.what, "cluster theirs is not the harness's own: cannot end a process on its node");
        assert!(refused.fix.is_some());
        assert_eq!(access.address_beside("n", "store"), None);
        let lives = access.lives_beside("n", std::iter::empty()).await.expect("there are none");
        assert!(lives.is_empty(), "{lives:?}");
        let (soon, never) = (Duration::from_millis(10), std::future::pending::<()>());
        assert!(tokio::time::timeout(soon, access.lost()).await.is_err(), "only an owner knows of a node's end");
        let late = access.within("a ready node", soon, never).await.expect_err("it never comes").failure();
        assert_eq!((late.what.contains("a ready node"), late.evidence), (true, Vec::new()));
    }
}
