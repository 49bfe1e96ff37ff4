//! Carries out the changes that steps make to a running cluster, and waits until each change has taken effect.
//!
//! Only this module and `apply` change a cluster. Each action watches the objects that it changes, at most until its
//! own deadline. At the deadline, the error says what is still missing. If the apiserver refuses the change, or if the
//! change does not take effect, the error is a cause ([`ActError::Cause`]): the step has failed. If the harness itself
//! cannot act, the error is not a cause, and the variant gets no verdict.

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
mod wait;
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
pub use self::wait::wait;
pub use self::workload::Workload;

/// The time limit of an action whose step sets no time limit.
pub const WITHIN: Duration = Duration::from_mins(3);
/// The name under which actions change fields (the field manager). `apply` uses another name, so the `managedFields` of
/// an object show which of the two modules set a field.
const FIELD_MANAGER: &str = "parallax-act";

/// The result of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The value that later steps read as `{{ STEP }}`, where `STEP` is the id of the action's step. `None` if the
    /// action has no value.
    pub value: Option<String>,
    /// A summary of what was done, in one line, for the user.
    pub summary: String,
    /// The result of the action as JSON. The step's `capture` reads values from this JSON.
    pub said: serde_json::Value,
    /// What happened during the action, each with its time.
    pub moments: Vec<Moment>,
    /// The reason why the round of a `repeat` is void: something prevented the action from being done as intended. A
    /// void round has no result and may be run again. `None` if the round is valid.
    pub void: Option<String>,
}

/// The cluster, the namespace and the time limit of an action.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The cluster in which the action happens.
    pub cluster: &'a Access,
    /// The namespace of the variant. It is used for objects that name no namespace of their own.
    pub namespace: &'a str,
    /// The time limit of the action.
    pub within: Duration,
}

impl Scope<'_> {
    /// Limits an operation of the container engine to the step's time limit. If the engine has not finished by then,
    /// the result is a failure of the harness, because the system under test did not cause the delay.
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
