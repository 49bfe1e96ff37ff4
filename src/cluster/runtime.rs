//! The container runtime of a node of ours: the one way to a container's main process that does not go through the apiserver.
//! Published k3s and the source-built node both have containerd's `ctr` on the path, with their own socket as its default.

use std::time::Duration;

use super::error::ClusterError;
use super::own::Own;

/// The namespace in which the kubelet keeps its containers in containerd.
const NAMESPACE: &str = "k8s.io";
/// What containerd says of a task that has ended (`errdefs.ErrNotFound`, and the shim's own words).
const ENDED: [&str; 2] = ["not found", "process already finished"];
/// How long the runtime may take to deliver a signal.
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// The runtime delivered it.
    Delivered,
    /// The container does not run.
    NotRunning,
}

impl Own {
    /// Sends a signal to the main process of a container, which a pod's status names: `containerd://ID`.
    pub async fn signal(&self, container_id: &str, signal: &str) -> Result<Signalled, ClusterError> {
        let command = ["ctr", "--namespace", NAMESPACE, "tasks", "kill", "--signal", signal, bare(container_id)];
        let delivered = self.exec(&command, DELIVERED_WITHIN).await?;
        if delivered.code == 0 {
            return Ok(Signalled::Delivered);
        }
        if ENDED.iter().any(|said| delivered.output.contains(said)) {
            return Ok(Signalled::NotRunning);
        }
        Err(ClusterError::Runtime { command: command.join(" "), code: delivered.code, said: delivered.output })
    }

    /// Kills the main processes of containers at once. What comes back is what the runtime complains of.
    pub async fn kill_at_once(
        &self,
        container_ids: impl Iterator<Item = &str>,
    ) -> Result<Option<String>, ClusterError> {
        let one = |id: &str| format!("ctr --namespace {NAMESPACE} tasks kill --signal SIGKILL {} &", bare(id));
        let script = format!("{} wait", container_ids.map(one).collect::<Vec<_>>().join(" "));
        let delivered = self.exec(&["sh", "-c", &script], DELIVERED_WITHIN).await?;
        // `wait` succeeds whatever its jobs did: what the runtime complains of is written.
        let said = delivered.output.trim();
        Ok((!said.is_empty()).then(|| said.to_owned()))
    }
}

fn bare(container_id: &str) -> &str {
    container_id.split_once("://").map_or(container_id, |(_, id)| id)
}
