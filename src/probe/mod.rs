//! Vantages: the places where questions are asked, behind one call.
//!
//! Outside, the probe runs in this process. In a pod, or in a container beside the cluster, it runs in the agent, over one
//! long-lived exec session. The probe is the same code in all (`parallax-probe`). What the apiserver has to tell, [`logs`]
//! and [`events`], is asked from no vantage.
//!
//! **Architecture Invariant:** probing never changes the environment. What the asked system does wrong is a cause inside
//! the answer; what the harness or its agent does wrong is a [`ProbeError`], and never a cause.

mod container;
mod error;
pub mod events;
pub mod exec;
pub mod lives;
pub mod logs;
mod pod;
mod prober;
mod session;
mod vantage;

pub use container::ContainerSession;
pub use error::ProbeError;
pub use pod::{AGENT_PATH, PodSession};
pub use prober::Prober;
pub use session::{Hello, Session};
pub use vantage::Vantage;

#[cfg(test)]
mod tests;
