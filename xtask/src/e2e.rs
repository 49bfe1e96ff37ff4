//! `cargo xtask e2e` builds the binaries, and then replaces this process by `parallax e2e`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cargo, parts};

/// The options that allow one scenario of the repository to be skipped. The images of that scenario exist only in a
/// registry, and not every machine can reach this registry. The report shows the scenario as skipped, with the reason.
const EXPECTED_SKIPS: [&str; 2] = ["--allow-skip", "identity/operator-sts"];

/// Builds the binaries, and replaces this process by the harness. So the harness gets the signals, and its exit code is
/// the exit code of the task.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        parts::say(
            "cargo xtask e2e: builds the workspace's binaries, then runs `parallax e2e` with these arguments.\n",
        );
    }
    let parallax = cargo::build()?;
    let error = command(&parallax).args(args).exec();
    Err(error).with_context(|| format!("failed to start {}", parallax.display()))
}

/// Returns a command for `parallax e2e`. The harness gets the name of the command that the user typed, and shows this
/// name in its messages.
pub(crate) fn command(parallax: &std::path::Path) -> Command {
    let mut command = Command::new(parallax);
    command.arg("e2e").args(EXPECTED_SKIPS).env("PARALLAX_COMMAND", "cargo xtask e2e");
    command
}
