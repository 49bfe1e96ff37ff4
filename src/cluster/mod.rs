//! A cluster: k3s in a container, its outside world beside it, and the one Kubernetes client.
//!
//! **Architecture Invariant:** only this room builds a Kubernetes client. The published `rancher/k3s` image and the
//! source-built node image are started in exactly the same way; the contract between them is docs/facts.md#k3s.

mod access;
mod error;
mod node;
mod ready;
mod selector;
#[cfg(test)]
mod testing;
mod transport;
mod until;

pub use access::{authority, client, outside};
pub use error::ClusterError;
pub use node::{Beside, Cluster, ISSUER, Images, NODE_NAME, UP_WITHIN};
pub use ready::{nodes_ready, service_account_ready};
pub use selector::selector;
pub use transport::is_transient;
pub use until::{Ended, Pauses, answers, pauses, until};
