//! What can go wrong with a cluster.

use parallax_vocab::event::Failure;

use parallax_engine::EngineError;

/// Why a cluster cannot be started or used. None of these errors says anything about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The engine could not start a container.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig of cluster {cluster} cannot be used: {reason}")]
    Kubeconfig {
        /// Which cluster.
        cluster: String,
        /// Why.
        reason: String,
    },
    /// The apiserver refused something that the harness needs.
    #[error("cluster {cluster}: cannot {doing}: {source}")]
    Api {
        /// Which cluster.
        cluster: String,
        /// What was being done.
        doing: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// Something did not happen before its deadline.
    #[error("cluster {cluster}: {what} did not come about within {within_s} s")]
    Deadline {
        /// Which cluster.
        cluster: String,
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        within_s: u64,
        /// Last lines of the node.
        lines: Vec<String>,
    },
    /// The node's container ended.
    #[error("the node of cluster {cluster} ended with code {code}")]
    NodeExited {
        /// Which cluster.
        cluster: String,
        /// Its exit code.
        code: i64,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// A command of the node's container runtime failed.
    #[error("`{command}` on the node ended with {code}: {said}")]
    Runtime {
        /// The command.
        command: String,
        /// Its exit code.
        code: i64,
        /// Its output.
        said: String,
    },
    /// The cluster was started without such a node.
    #[error("cluster {cluster} has no further node {node}")]
    NoNode {
        /// Which cluster.
        cluster: String,
        /// Which node.
        node: String,
    },
    /// No fixture has such a container outside the cluster.
    #[error("cluster {cluster} has no container {container} beside it")]
    NoContainer {
        /// Which cluster.
        cluster: String,
        /// Which container.
        container: String,
    },
    /// Only the owner of a cluster can do this, and the harness does not own it.
    #[error("cluster {cluster} is not the harness's own: cannot {purpose}")]
    NotOwned {
        /// Which cluster.
        cluster: String,
        /// What needs its owner.
        purpose: String,
    },
}

impl ClusterError {
    /// The failure as it is shown to the user.
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
            Self::Kubeconfig { .. }
            | Self::Api { .. }
            | Self::Runtime { .. }
            | Self::NoNode { .. }
            | Self::NoContainer { .. } => (None, Vec::new()),
        };
        Failure { what: self.to_string(), fix, evidence }
    }
}

/// The fix, if a node's log shows that the machine's limit of inotify instances was reached. This cannot be predicted
/// before the start, because the nodes of other runs count too.
fn limit_reached(lines: &[String]) -> Option<String> {
    let reached = lines.iter().any(|line| line.contains("inotify") && line.contains("too many open files"));
    reached.then(|| {
        "too many clusters stand on this machine for its limit of inotify instances; `sysctl -w fs.inotify.max_user_instances=1024` as root".to_owned()
    })
}
