//! Installs missing software on Debian or Ubuntu as root, for example the toolchains that image recipes need.
//!
//! The program reports every step *before* the step is done, with package names, versions and the files to write. A
//! second run changes nothing. The code names no mirror: for a newer suite, it copies the machine's own apt sources
//! under the name of that suite. The pin priority of the newer suite is so low that apt upgrades no other package from
//! it (docs/facts.md#container-engines).

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
