//! Vantages: the places where questions are asked, behind one interface.
//!
//! At an outside vantage, the probe runs in this process. In a pod, or in a container outside the cluster, the probe
//! runs in the agent. The harness reaches the agent over one long-lived exec session. The code of the probe is the same
//! everywhere (`parallax-probe`). [`logs`] and [`events`] are read directly from the apiserver and need no vantage.
//!
//! **Architecture Invariant:** a probe never changes the environment. A fault of the system under test is a cause
//! inside the answer. A fault of the harness or its agent is a [`ProbeError`] and never a cause.

mod container;
mod error;
pub mod events;
pub mod exec;
pub mod lives;
pub mod logs;
mod pod;
mod prober;
mod proxy;
mod restarts;
mod session;
pub mod terminal;
mod vantage;

pub use container::ContainerSession;
pub use error::ProbeError;
pub use pod::{AGENT_PATH, AGENT_SESSION, PodSession};
pub use prober::Prober;
pub use proxy::Proxy;
pub use session::{Hello, Session};
pub use vantage::Vantage;

#[cfg(test)]
mod tests;
