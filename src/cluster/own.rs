//! The owner's operations on a cluster that the harness started: on its nodes, on the world, and on the fixtures'
//! containers outside the cluster. All operations need access to the containers in the engine. Therefore they are not
//! available for a cluster that the harness does not own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use parallax_vocab::Secret;
use parallax_vocab::question::Identity;
use time::OffsetDateTime;

use super::agents::{Agent, Agents};
use super::error::ClusterError;
use super::kubeconfig;
use crate::probe::{ContainerSession, ProbeError, Vantage};
use crate::world::World;
use parallax_engine::{Container, Engine, Executed, Written};
use parallax_language::scenario::model::SERVER_NODE;
use parallax_plan::ClusterPlan;
use parallax_record::Noted as _;

/// The number of last lines of the server node's log that an error contains.
const EVIDENCE_LINES: usize = 40;
/// The files in which k3s stores the keys that sign ServiceAccounts' tokens. If the first file exists, it contains the
/// key that signs new tokens. Otherwise, the second file contains the only key.
const TOKEN_KEYS: [&str; 2] =
    ["/var/lib/rancher/k3s/server/tls/service.current.key", "/var/lib/rancher/k3s/server/tls/service.key"];

/// The containers and secrets of a cluster that the harness owns.
#[derive(Debug)]
pub struct Own {
    pub(super) engine: Engine,
    /// The cluster's name in the plan.
    pub(super) name: String,
    pub(super) kubeconfig: Secret,
    pub(super) secrets: Vec<Secret>,
    pub(super) world: World,
    pub(super) node: Container,
    /// The agent nodes, by name.
    pub(super) agents: Agents,
    /// The containers of vantages outside the cluster, by image name. There is one container for each image that such a
    /// vantage names.
    pub(super) outside: BTreeMap<String, Container>,
}

impl Own {
    /// Returns the role of the server node's container in the run, for example `c1-node`. The name of the container is
    /// made from this role.
    pub fn node_of(plan: &ClusterPlan) -> String {
        format!("{}-node", plan.name)
    }

    /// Returns the role of an agent node's container in the run, for example `c1-agent-second`. The name of the
    /// container is made from this role.
    pub fn agent_of(plan: &ClusterPlan, agent: &str) -> String {
        format!("{}-agent-{agent}", plan.name)
    }

    /// A kubeconfig with which the cluster's administrator can use the cluster from this machine. The text is JSON,
    /// which is valid YAML.
    pub fn kubeconfig(&self) -> &Secret {
        &self.kubeconfig
    }

    /// Returns the client certificate and the private key with which the administrator authenticates.
    pub fn administrator(&self) -> Result<Identity, String> {
        kubeconfig::identity(self.kubeconfig.expose())
    }

    /// The credentials of the administrator and of the agent nodes. The caller registers them with the redactor.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Returns the address on this machine at which a port of the edge is published. `None` if the edge does not have
    /// the port.
    pub fn edge_on_this_machine(&self, port: u16) -> Option<SocketAddr> {
        self.world.detours().iter().find(|it| it.from.port() == port).map(|it| it.to)
    }

    /// Reads from the node the private key that signs new tokens of ServiceAccounts, as PEM.
    pub async fn token_key(&self) -> Result<Secret, ClusterError> {
        let [current, only] = TOKEN_KEYS;
        let bytes = match self.engine.read_file(&self.node.name, current).await.noted("read the newest token key") {
            Some(bytes) => bytes,
            None => self.engine.read_file(&self.node.name, only).await?,
        };
        Ok(Secret::new(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns the last `tail` lines of the world's log. The log has one line for each DNS question to the world's name
    /// server.
    pub async fn asked_outside(&self, tail: usize) -> Result<Vec<String>, ClusterError> {
        Ok(self.engine.logs(self.world.container(), tail).await?)
    }

    /// Returns log lines of the container that a fixture runs outside the cluster. At most the last `tail` lines are
    /// read. Of these, the lines whose time satisfies `counts` are returned.
    pub async fn written_beside(
        &self,
        (namespace, fixture): (&str, &str),
        tail: usize,
        counts: impl Fn(OffsetDateTime) -> bool,
    ) -> Result<Written, String> {
        let beside = self.neighbour(namespace, fixture).ok_or_else(|| format!("`{fixture}` has no container"))?;
        let written = self.engine.logs_when(&beside.container.name, tail, counts).await;
        written.map_err(|error| error.to_string())
    }

    /// Returns log lines of a node. At most the last `tail` lines are read. Of these, the lines whose time satisfies
    /// `counts` are returned.
    pub async fn written_by_node(
        &self,
        node: &str,
        tail: usize,
        counts: impl Fn(OffsetDateTime) -> bool,
    ) -> Result<Written, String> {
        let agent = || self.agents.0.get(node).map(Agent::container);
        let container = if node == SERVER_NODE { Some(self.node.name.as_str()) } else { agent() };
        let container = container.ok_or_else(|| format!("the cluster has no node `{node}`"))?;
        let written = self.engine.logs_when(container, tail, counts).await;
        written.map_err(|error| error.to_string())
    }

    /// Returns the names of the cluster's nodes. The server node comes first.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        [SERVER_NODE].into_iter().chain(self.agents.0.keys().map(String::as_str))
    }

    /// Returns the name of the container outside the cluster in which the vantages with this image run.
    pub fn container_of(&self, image: &str) -> Option<&str> {
        self.outside.get(image).map(|it| it.name.as_str())
    }

    /// Opens a vantage in the container outside the cluster that was started with this image.
    ///
    /// # Panics
    ///
    /// Panics if the plan of the cluster does not name the image. Each image that the plan names has a container.
    pub async fn vantage(&self, image: &str) -> Result<Vantage, ProbeError> {
        let container = self.outside.get(image).expect("a cluster starts a container for each image that is named");
        Ok(Vantage::Container(ContainerSession::open(&self.engine, &container.name).await?))
    }

    /// Runs a command in the container of the server node. `within` is the time limit of the command.
    pub(super) async fn exec(&self, command: &[&str], within: Duration) -> Result<Executed, ClusterError> {
        Ok(self.engine.exec(&self.node.name, command, within).await?)
    }

    /// Resolves when the container of the server node ends. This is always an error, because the node should run until
    /// the cluster is removed.
    pub(super) async fn exited(&self) -> ClusterError {
        match self.engine.wait_exit(&self.node.name).await {
            Ok(code) => {
                let lines = self.last_lines().await;
                ClusterError::NodeExited { cluster: self.name.clone(), code, lines }
            }
            Err(error) => error.into(),
        }
    }

    /// Returns the last lines of the server node's log, as evidence for an error.
    pub(super) async fn last_lines(&self) -> Vec<String> {
        let lines = self.engine.logs(&self.node.name, EVIDENCE_LINES).await;
        lines.unwrap_or_else(|error| vec![format!("(the node's log cannot be read: {error})")])
    }
}
