//! Clusters. All other code uses [`Access`]. [`Own`] adds the owner's operations for a cluster that the harness
//! started, which is k3s in a container and its external network (the *world*).
//!
//! **Architecture Invariant:** only the owner's code (the modules `node`, `own`, `runtime`, and `run::own`) uses
//! containers, air-gap folders, `ctr` and ports published on loopback. Code that needs the owner's operations calls
//! [`Access::own`], which returns an error with a reason if the harness does not own the cluster.
//!
//! **Architecture Invariant:** only this module builds a Kubernetes client. The published `rancher/k3s` image and the
//! source-built node image are started in exactly the same way. docs/facts.md#k3s says what the harness expects of
//! both.

mod access;
mod agents;
mod beside;
mod error;
mod foreign;
mod kubeconfig;
mod node;
mod own;
mod ready;
mod runtime;
mod selector;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod until;
mod version;
mod watched;

pub use access::Access;
pub use agents::NotSo;
pub use beside::{Beside, LifeBeside};
pub use error::ClusterError;
pub use foreign::{Foreign, foreign};
pub use kubeconfig::{authority, client, client_of_file, outside, unread};
pub use node::{AGENT_TAINT, Images, Surroundings, UP_WITHIN, start};
pub use own::Own;
pub use ready::{node_ready, nodes_ready, service_account_ready};
pub use runtime::Signalled;
pub use selector::{pod_selector, selector};

pub use crate::world::questions;
pub use transport::{api_message, is_transient};
pub use until::{Ended, Pauses, answers, met, pauses, until};
pub use watched::{until_none, watched};
