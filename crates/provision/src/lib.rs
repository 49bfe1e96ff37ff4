//! Installs missing software on Debian or Ubuntu as root, for example the toolchains that image recipes need.
//!
//! The crate reports every step *before* it does the step, with package names, versions and the files to write. If
//! everything is installed already, it changes nothing. The crate contains no address of a mirror. To add a newer
//! suite, it copies the machine's own apt sources, and replaces the name of the suite in the copy. It also gives the
//! newer suite a low pin priority, so that apt does not upgrade other packages to the versions of this suite
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
pub use tool::{Standing, bound_to_us, ensure_tool, ensure_tools, on_path, standings};
