//! `cargo xtask bench` builds the harness and `parallax-bench`, and then runs `parallax-bench`.

use std::process::Command;

use anyhow::Result;

use crate::cargo;

/// Runs `parallax-bench` with these arguments.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let parallax = cargo::build()?;
    let mut command = Command::new(parallax.with_file_name("parallax-bench"));
    cargo::succeeds(command.arg("--parallax").arg(&parallax).args(args))
}
