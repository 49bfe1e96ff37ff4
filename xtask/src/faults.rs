//! `cargo xtask faults` builds the harness and `parallax-faults`, which causes faults, and then runs `parallax-faults`.

use std::process::Command;

use anyhow::Result;

use crate::cargo;

/// Runs `parallax-faults` with these arguments.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let parallax = cargo::build()?;
    let mut command = Command::new(parallax.with_file_name("parallax-faults"));
    cargo::succeeds(command.arg("--parallax").arg(&parallax).args(args))
}
