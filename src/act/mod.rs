//! Actions: what a step changes in a running cluster, and the wait until the change has taken effect.
//!
//! Only this module and `apply` change a cluster. Each action waits by watches until its own deadline; at the deadline
//! it names what it still waits for. If the apiserver refuses the change, or the change does not take effect, this is a
//! cause ([`ActError::Cause`]). If something prevents the harness from acting, it is not a cause.

mod beside;
mod delete;
mod end;
mod error;
mod kill;
mod node;
mod patch;
mod restart;
mod rotate;
mod scale;
mod workload;

use std::time::Duration;

use parallax_vocab::course::Moment;

use crate::cluster::{Access, ClusterError};

pub use self::beside::{kill_beside, start_beside};
pub use self::delete::delete;
pub use self::end::end;
pub use self::error::ActError;
pub use self::kill::{Victim, kill};
pub use self::node::{end_node, kill_node, start_node};
pub use self::patch::patch;
pub use self::restart::restart;
pub use self::rotate::{reissue, rotate};
pub use self::scale::scale;
pub use self::workload::Workload;

/// The default time limit of an action.
pub const WITHIN: Duration = Duration::from_mins(3);
/// The field manager for changed fields. It differs from the field manager of `apply`, which may own these fields.
const FIELD_MANAGER: &str = "parallax-act";

/// The result of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The value of `{{ step }}` in later steps.
    pub value: Option<String>,
    /// A summary for people, in one line.
    pub told: String,
    /// The result as data.
    pub said: serde_json::Value,
    /// What happened at which time.
    pub moments: Vec<Moment>,
    /// Why the round is void, if something prevented the action from being done as intended. Such a round has no
    /// result and may be repeated.
    pub void: Option<String>,
}

/// The cluster, and where in it an action takes place.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The cluster.
    pub cluster: &'a Access,
    /// The namespace of objects that do not set their own.
    pub namespace: &'a str,
    /// The time limit.
    pub within: Duration,
}

impl Scope<'_> {
    /// Limits an operation of the engine by the time of the step. An engine that is late is an error of the harness: the
    /// system under test did not cause it.
    async fn in_time<T>(
        &self,
        title: &str,
        doing: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ActError> {
        match tokio::time::timeout(self.within, doing).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(ActError::Cluster(ClusterError::Deadline {
                cluster: self.cluster.name.clone(),
                what: format!("the engine's work on {title}"),
                within_s: self.within.as_secs(),
                lines: Vec::new(),
            })),
        }
    }
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("namespace", &self.namespace)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
