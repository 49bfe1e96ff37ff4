//! All code that talks to a container engine.
//!
//! This crate finds the engine in the same way as Docker's own clients ([`find`]). On request, it installs an engine
//! ([`install`]). It reports beforehand what would make a run fail ([`preflight`]). It starts the containers of a run
//! ([`Site`]), and removes them, even after the harness was killed by SIGKILL ([`reaper`], [`gc()`]).
//!
//! testcontainers creates and starts the containers (module `start`), because this project is required to use it. For
//! everything else (networks, exec, logs, images, removal) this crate uses bollard, the client that testcontainers
//! itself uses.
//!
//! **Architecture invariant:** only this crate uses Docker, testcontainers or bollard. It returns names, addresses and
//! plain values; dropping such a value removes nothing from the engine. Each object is in the ledger *before* it is
//! created. Each object has labels with its owner, so that the object is found even without the ledger.

mod attach;
mod connect;
mod control;
mod disk;
mod error;
mod exec;
mod facts;
mod find;
mod gc;
mod identity;
mod images;
pub mod install;
mod ledger;
mod life;
mod lines;
mod logs;
pub mod preflight;
pub mod reaper;
mod reexec;
mod site;
mod spec;
mod start;
mod sweep;
mod terminal;

pub use attach::Attached;
pub use connect::Engine;
pub use disk::Disk;
pub use error::{EngineError, Tried};
pub use exec::Executed;
pub use facts::{Facts, available_memory_mib};
pub use find::{Endpoint, Reach, RealSurroundings, Surroundings, find};
pub use gc::{Collected, Collection, gc};
pub use identity::{Liveness, Owner, fresh_run_id};
pub use images::{ImageParts, PullLimits};
pub use ledger::{Entry, Kept, Kind, Ledger, RunFile, StateDir};
pub use life::Life;
pub use lines::{CutLine, LINE_LIMIT_BYTES, LineCutter, lines};
pub use logs::{LogLine, Stream, Written};
pub use reexec::{ensure_environment, environment_fits};
pub use site::{Network, Site};
pub use spec::{Bind, Container, ContainerSpec, InlineFile, Port, Protocol, Ready};
pub use sweep::{Remaining, Swept, Unfinished};
pub use terminal::{Terminal, Window};
