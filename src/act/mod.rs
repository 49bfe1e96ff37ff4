//! Acting: what a step changes in a cluster that stands, and the wait until the change has come about.
//!
//! Only this room and `apply` change a cluster. Each act waits by watches, bounded by its own deadline; at the deadline
//! it names what it still waits for. What the apiserver refuses and what does not come about is a cause
//! ([`ActError::Cause`]); what keeps the harness from acting is not.

mod delete;
mod end;
mod error;
mod kill;
mod patch;
mod restart;
mod rotate;
mod scale;
mod workload;

use std::time::Duration;

use kube::Client;
use parallax_vocab::course::Moment;

pub use self::delete::delete;
pub use self::end::end;
pub use self::error::ActError;
pub use self::kill::{Victim, kill};
pub use self::patch::patch;
pub use self::restart::restart;
pub use self::rotate::{reissue, rotate};
pub use self::scale::scale;
pub use self::workload::Workload;

/// How long an act may take that does not say so itself.
pub const WITHIN: Duration = Duration::from_mins(1);
/// The field manager under which fields are changed: another than that of `apply`, whose fields these may be.
const FIELD_MANAGER: &str = "parallax-act";

/// What an act brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What `{{ step }}` stands for.
    pub value: Option<String>,
    /// What a person should know of it: one line.
    pub told: String,
    /// The same as data.
    pub said: serde_json::Value,
    /// What happened at which instant.
    pub moments: Vec<Moment>,
    /// Why it was not done as it was meant, where something came in between: it says nothing then, and may be done again.
    pub void: Option<String>,
}

/// The cluster with what an act needs to know of where it is to happen.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The client.
    pub client: &'a Client,
    /// Where objects are that do not say their namespace.
    pub namespace: &'a str,
    /// The deadline.
    pub within: Duration,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("namespace", &self.namespace)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
