//! The words Parallax is written in.
//!
//! Questions that a vantage is asked, the answers it gives, the causes of a failure, the events of a run, and the
//! frames that carry questions to a pod. Every other room speaks these types.
//!
//! **Architecture Invariant:** serde, and nothing that has effects. No I/O, no clock, no randomness: what a word means can be
//! decided, compared and tested without a network.

pub mod answer;
pub mod cause;
pub mod course;
pub mod event;
pub mod id;
pub mod inert;
mod millis;
pub mod percent;
pub mod prober;
pub mod program;
pub mod question;
pub mod secret;
pub mod signature;
pub mod tally;
pub mod wire;
pub mod world;

pub use answer::{Answer, Certificate, Evidence, Reply};
pub use cause::{Cause, ConnectFault, DnsFault, TlsFault};
pub use event::{Event, EventKind};
pub use id::{RunId, StepId, VantageId, VariantId};
pub use inert::inert;
pub use millis::millis;
pub use question::{Probe, Question, View};
pub use secret::Secret;
