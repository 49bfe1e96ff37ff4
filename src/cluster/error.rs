//! The errors that can occur while a cluster is started or used.

use parallax_vocab::event::Failure;

use parallax_engine::EngineError;

/// The reason why a cluster cannot be started or used. All these errors are faults of the harness or the machine, and
/// never of the system under test.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The engine could not start a container.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig of cluster {cluster} cannot be used: {reason}")]
    Kubeconfig {
        /// The name of the cluster.
        cluster: String,
        /// The reason why the kubeconfig cannot be used.
        reason: String,
    },
    /// The apiserver did not carry out a request that the harness needs.
    #[error("cluster {cluster}: cannot {doing}: {source}")]
    Api {
        /// The name of the cluster.
        cluster: String,
        /// The operation that failed.
        doing: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
    /// An expected event did not happen before its deadline.
    #[error("cluster {cluster}: {what} did not come about within {within_s} s")]
    Deadline {
        /// The name of the cluster.
        cluster: String,
        /// The event that was expected, in words.
        what: String,
        /// The time that the harness waited for the event, in seconds.
        within_s: u64,
        /// The last log lines of the server node.
        lines: Vec<String>,
    },
    /// The container of the server node ended.
    #[error("the node of cluster {cluster} ended with code {code}")]
    NodeExited {
        /// The name of the cluster.
        cluster: String,
        /// The exit code of the server node's container.
        code: i64,
        /// The last log lines of the server node's container.
        lines: Vec<String>,
    },
    /// A command of the node's container runtime failed.
    #[error("`{command}` on the node ended with {code}: {said}")]
    Runtime {
        /// The command that failed.
        command: String,
        /// The exit code of the command.
        code: i64,
        /// The output of the command.
        said: String,
    },
    /// The node image has another version of Kubernetes than the user chose.
    #[error("cluster {cluster} has Kubernetes {said}, and {chosen} was chosen (--k8s)")]
    OtherVersion {
        /// The name of the cluster.
        cluster: String,
        /// The version that the user chose.
        chosen: String,
        /// The version that the apiserver reports.
        said: String,
    },
    /// The cluster was started without a node of this name.
    #[error("cluster {cluster} has no further node {node}")]
    NoNode {
        /// The name of the cluster.
        cluster: String,
        /// The name of the missing node.
        node: String,
    },
    /// No fixture has a container of this name outside the cluster.
    #[error("cluster {cluster} has no container {container} beside it")]
    NoContainer {
        /// The name of the cluster.
        cluster: String,
        /// The name of the missing container.
        container: String,
    },
    /// Only the owner of a cluster can do this operation, and the harness does not own the cluster.
    #[error("cluster {cluster} is not the harness's own: cannot {purpose}")]
    NotOwned {
        /// The name of the cluster.
        cluster: String,
        /// The operation that only the cluster's owner can do, in words.
        purpose: String,
    },
}

impl ClusterError {
    /// Describes the error for the user, with a fix and evidence.
    pub fn failure(&self) -> Failure {
        let (fix, evidence) = match self {
            Self::Engine(error) => {
                let evidence = error.evidence();
                (limit_reached(&evidence).or_else(|| error.fix()), evidence)
            }
            Self::NodeExited { lines, .. } | Self::Deadline { lines, .. } => (
                Some("read the node's last lines; `parallax doctor` says what this machine lacks".to_owned()),
                lines.clone(),
            ),
            Self::NotOwned { .. } => (Some("run this on a cluster that Parallax starts itself".to_owned()), Vec::new()),
            Self::OtherVersion { .. } => {
                (Some("correct the version, the reference or the recipe of k3s in images.lock".to_owned()), Vec::new())
            }
            Self::Kubeconfig { .. }
            | Self::Api { .. }
            | Self::Runtime { .. }
            | Self::NoNode { .. }
            | Self::NoContainer { .. } => (None, Vec::new()),
        };
        Failure { what: self.to_string(), fix, evidence }
    }
}

/// Returns a fix if the log of a node shows that the machine's limit of inotify instances was reached. The harness
/// cannot predict this before the start, because it does not know how many instances the nodes of other runs use.
fn limit_reached(lines: &[String]) -> Option<String> {
    let reached = lines.iter().any(|line| line.contains("inotify") && line.contains("too many open files"));
    reached.then(|| {
        "too many clusters stand on this machine for its limit of inotify instances; `sysctl -w fs.inotify.max_user_instances=1024` as root".to_owned()
    })
}
