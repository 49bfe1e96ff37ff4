//! The data types that all other crates share: questions to a vantage, its answers, causes of failures, events of a
//! run, and the frames that carry questions to a pod.
//!
//! **Architecture Invariant:** this crate does no I/O, reads no clock and uses no random numbers. No crate that it
//! depends on does any of this. Therefore its types can be compared and tested without a network.

pub mod answer;
pub mod cause;
pub mod course;
pub mod event;
mod exit;
pub mod id;
pub mod inert;
mod millis;
pub mod percent;
pub mod prober;
pub mod probes;
mod problem;
pub mod program;
pub mod question;
pub mod secret;
pub mod settings;
pub mod signature;
mod sources;
pub mod store;
pub mod tally;
mod versions;
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
pub use sources::{in_full, sources};
pub use store::{StoreKind, WitnessKind};
pub use versions::{System, Versions};
