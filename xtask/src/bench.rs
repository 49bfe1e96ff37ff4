//! `cargo xtask bench`: builds the harness and what measures it, and starts that.

use std::process::Command;

use anyhow::Result;

use crate::cargo;

/// Runs `parallax-bench` with the arguments given.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let parallax = cargo::build()?;
    let mut command = Command::new(parallax.with_file_name("parallax-bench"));
    cargo::succeeds(command.arg("--parallax").arg(&parallax).args(args))
}
