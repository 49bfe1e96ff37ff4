//! The further nodes of a cluster. A flow may end and start them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::ClusterError;
use super::own::Own;
use parallax_engine::{ContainerSpec, Life, Site};

/// How long a node may take to stop its components before they are killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// The further nodes, by name.
#[derive(Debug, Default)]
pub(super) struct Agents(pub(super) BTreeMap<String, Agent>);

/// The container of a further node.
#[derive(Debug)]
pub(super) struct Agent {
    site: Site,
    spec: ContainerSpec,
    /// The container's name in the engine.
    container: String,
    /// Its address when it was last started. `None` if the container does not exist yet. A new start can change the
    /// address.
    address: Mutex<Option<IpAddr>>,
}

impl Agent {
    pub(super) fn of(site: &Site, spec: ContainerSpec) -> Self {
        let container = site.name_of(&spec.what);
        Self { site: site.clone(), spec, container, address: Mutex::default() }
    }

    /// Starts the container: creates it, or starts the existing one with the content of its disk.
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

    /// The name of its container.
    pub(super) fn container(&self) -> &str {
        &self.container
    }

    /// The address of its container.
    pub(super) fn address(&self) -> Option<IpAddr> {
        *self.present()
    }

    fn present(&self) -> MutexGuard<'_, Option<IpAddr>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of an operation on a node that does not run, or that runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSo;

impl Own {
    /// Ends every process of a further node at once.
    ///
    /// # Errors
    ///
    /// The inner error says that it does not run.
    pub async fn kill_node(&self, name: &str) -> Result<Result<(), NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if !self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        self.engine.kill(agent.container(), "SIGKILL").await?;
        self.engine.wait_exit(agent.container()).await?;
        Ok(Ok(()))
    }

    /// Stops a further node as an administrator does.
    ///
    /// # Errors
    ///
    /// The inner error says that it does not run.
    pub async fn stop_node(&self, name: &str) -> Result<Result<(), NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if !self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        self.engine.stop(agent.container(), STOPPED_WITHIN).await?;
        Ok(Ok(()))
    }

    /// Starts a further node that does not run. Returns its address.
    ///
    /// # Errors
    ///
    /// The inner error says that it runs already.
    pub async fn start_node(&self, name: &str) -> Result<Result<IpAddr, NotSo>, ClusterError> {
        let agent = self.agent(name)?;
        if self.runs(agent).await? {
            return Ok(Err(NotSo));
        }
        Ok(Ok(agent.start().await?))
    }

    /// The state of each further node, by name. A node that was never started does not run.
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
