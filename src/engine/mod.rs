//! The engine room: everything that speaks to a container engine.
//!
//! It finds the engine as Docker's own clients do ([`find`]), installs one where that is wanted ([`provision`]), says
//! beforehand what will fail later ([`preflight`]), starts what a run needs ([`Site`]), and takes it away again, even
//! after SIGKILL ([`reaper`], [`gc()`]).
//!
//! **Architecture invariant:** only this room names Docker, testcontainers or bollard. What it hands out are names,
//! addresses and plain values; none of them removes anything when dropped. Each object is in the ledger *before* it
//! is created, and carries labels that say whose it is, so that it can be found with the ledger gone.

mod attach;
mod connect;
mod control;
mod error;
mod exec;
mod facts;
mod find;
mod gc;
mod identity;
mod images;
mod ledger;
mod logs;
pub mod preflight;
pub mod provision;
pub mod reaper;
mod reexec;
mod site;
mod spec;
mod start;
mod sweep;

pub use attach::Attached;
pub use connect::Engine;
pub use error::{EngineError, Tried};
pub use exec::Executed;
pub use facts::{Facts, available_memory_mib};
pub use find::{Endpoint, Reach, RealSurroundings, Surroundings, find};
pub use gc::{Collected, Collection, gc};
pub use identity::{Liveness, Owner, fresh_run_id};
pub use images::PullLimits;
pub use ledger::{Entry, Kind, Ledger, RunFile, StateDir};
pub use logs::{LogLine, Stream};
pub use reexec::{ensure_environment, environment_fits};
pub use site::{Network, Site};
pub use spec::{Bind, Container, ContainerSpec, InlineFile, Port, Protocol, Ready};
pub use sweep::{Remaining, Swept, Unfinished};
