//! Installs missing software on Debian or Ubuntu as root, for example the toolchains that image recipes need.
//!
//! Every step is reported *before* it is done, with package names, versions and the files written. A second run
//! changes nothing. No mirror is named here. For a newer suite, the machine's own apt sources are copied under the
//! name of that suite. Their pin priority is so low that nothing else is upgraded from it
//! (docs/facts.md#container-engines).

mod apt;
mod choice;
mod error;
mod programs;
mod sources;
mod system;
mod tool;

pub use apt::{Apt, Wanted, last_lines, run};
pub use choice::Release;
pub use error::ProvisionError;
pub use programs::{Tool, Use};
pub use sources::debian_sources;
pub use system::System;
pub use tool::{Standing, ensure_tool, ensure_tools, on_path, standings};
