//! The container runtime of a node that the harness owns. The harness needs the runtime because the apiserver offers no
//! way to send a signal to a container's main process. Both the published k3s image and the source-built node have
//! containerd's `ctr` in `PATH`, and `ctr` uses the socket of the node's own containerd by default.

use std::time::Duration;

use super::error::ClusterError;
use super::own::Own;

/// The namespace of containerd in which the kubelet keeps its containers.
const NAMESPACE: &str = "k8s.io";
/// Parts of the messages with which containerd reports that a process to be signalled has ended (`errdefs.ErrNotFound`,
/// and the message of the shim).
const ENDED: [&str; 2] = ["not found", "process already finished"];
/// The time limit for the container runtime of the node to deliver a signal.
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);

/// The result of sending a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// The runtime delivered the signal.
    Delivered,
    /// The container is not running.
    NotRunning,
}

impl Own {
    /// Sends a signal to the main process of a container. `container_id` is the id from the pod's status:
    /// `containerd://ID`.
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

    /// Kills the main processes of several containers at the same time. Returns the error output of the runtime. `None`
    /// if there is no output.
    pub async fn kill_at_once(
        &self,
        container_ids: impl Iterator<Item = &str>,
    ) -> Result<Option<String>, ClusterError> {
        let one = |id: &str| format!("ctr --namespace {NAMESPACE} tasks kill --signal SIGKILL {} &", bare(id));
        let script = format!("{} wait", container_ids.map(one).collect::<Vec<_>>().join(" "));
        let delivered = self.exec(&["sh", "-c", &script], DELIVERED_WITHIN).await?;
        // The shell's `wait` succeeds even if a background command failed, so only the output shows a failure.
        let said = delivered.output.trim();
        Ok((!said.is_empty()).then(|| said.to_owned()))
    }
}

fn bare(container_id: &str) -> &str {
    container_id.split_once("://").map_or(container_id, |(_, id)| id)
}
