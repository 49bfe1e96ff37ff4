//! The agent nodes of a cluster, which are all nodes except the server node. A flow may stop and start them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::ClusterError;
use super::own::Own;
use parallax_engine::{ContainerSpec, Life, Site};

/// The time that a node gets to stop its components by itself. After this time, the engine kills the components.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// The agent nodes, by name.
#[derive(Debug, Default)]
pub(super) struct Agents(pub(super) BTreeMap<String, Agent>);

/// The container of an agent node.
#[derive(Debug)]
pub(super) struct Agent {
    site: Site,
    spec: ContainerSpec,
    /// The name of the container in the engine. The container may not exist yet.
    container: String,
    /// The address of the container at its last start. `None` if the container does not exist yet. Another start can
    /// change the address.
    address: Mutex<Option<IpAddr>>,
}

impl Agent {
    pub(super) fn of(site: &Site, spec: ContainerSpec) -> Self {
        let container = site.name_of(&spec.what);
        Self { site: site.clone(), spec, container, address: Mutex::default() }
    }

    /// Starts the container of the agent node. If the container already exists, it is started again and keeps the
    /// content of its disk. Returns the new address.
    pub(super) async fn start(&self) -> Result<IpAddr, ClusterError> {
        let exists = self.present().is_some();
        let container = if exists {
            let engine = self.site.engine();
            engine.start_again(&self.container).await?;
            engine.locate(&self.spec.what, &self.container).await?
        } else {
            self.site.start(self.spec.clone()).await?
        };
        *self.present() = Some(container.address);
        Ok(container.address)
    }

    /// The name of the node's container.
    pub(super) fn container(&self) -> &str {
        &self.container
    }

    /// The address of the node's container. `None` if the container does not exist yet.
    pub(super) fn address(&self) -> Option<IpAddr> {
        *self.present()
    }

    fn present(&self) -> MutexGuard<'_, Option<IpAddr>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of an operation that the state of a node or a container does not allow: it should be stopped but does not
/// run, or it should be started but already runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSo;

impl Own {
    /// Kills all processes of an agent node at once, without giving them time to stop.
    ///
    /// # Errors
    ///
    /// The inner error says that the node does not run.
    pub async fn kill_node(&self, name: &str) -> Result<Result<(), NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if !self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        self.engine.kill(agent.container(), "SIGKILL").await?;
        self.engine.wait_exit(agent.container()).await?;
        Ok(Ok(()))
    }

    /// Stops an agent node as an administrator does: its components get time to stop by themselves.
    ///
    /// # Errors
    ///
    /// The inner error says that the node does not run.
    pub async fn stop_node(&self, name: &str) -> Result<Result<(), NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if !self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        self.engine.stop(agent.container(), STOPPED_WITHIN).await?;
        Ok(Ok(()))
    }

    /// Starts an agent node, and returns its address.
    ///
    /// # Errors
    ///
    /// The inner error says that the node already runs.
    pub async fn start_node(&self, name: &str) -> Result<Result<IpAddr, NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        Ok(Ok(agent.start().await?))
    }

    /// Returns the state of each agent node, by name. A node that was never started counts as not running.
    pub(super) async fn lives_of_nodes(&self) -> Result<Vec<(String, Life)>, ClusterError> {
        let mut lives = Vec::new();
        for (name, agent) in &self.agents.0 {
            lives.push((name.clone(), self.engine.life(agent.container()).await?));
        }
        Ok(lives)
    }

    async fn runs(&self, agent: &Agent) -> Result<bool, ClusterError> {
        Ok(self.engine.is_running(agent.container()).await?)
    }

    fn agent(&self, name: &str) -> Result<&Agent, ClusterError> {
        let unknown = || ClusterError::NoNode { cluster: self.name.clone(), node: name.to_owned() };
        self.agents.0.get(name).ok_or_else(unknown)
    }
}
