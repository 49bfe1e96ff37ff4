//! Installs missing software, on Debian or Ubuntu as root: an engine that can run privileged containers, and the
//! toolchains that image recipes need.
//!
//! Every step is reported *before* it is done, with package names, versions and the files written. A second run changes
//! nothing. No mirror is named here: for a newer suite, the machine's own apt sources are copied with the suite
//! renamed, and pinned so low that nothing else is upgraded from it (docs/facts.md#container-engines).

mod apt;
mod choice;
mod daemon;
mod engine;
mod error;
mod kernel;
mod programs;
mod sources;
mod system;
mod tool;

pub use engine::ensure_engine;
pub use error::ProvisionError;
pub use kernel::ensure_inotify;
pub use programs::{Tool, Use};
pub use sources::debian_sources;
pub use tool::{Standing, ensure_tool, ensure_tools, standings};
