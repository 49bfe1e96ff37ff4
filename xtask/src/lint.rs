//! `cargo xtask lint` runs all checks that need no run of a scenario.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::parts::{End, Parts};
use crate::{cargo, catalogue, tidy};

/// Runs all checks. Returns whether all passed.
pub(crate) fn run() -> bool {
    let mut parts = Parts::default();
    parts.run("tidy", tidy::run);
    parts.run("rustfmt", || cargo::succeeds(cargo::cargo().args(["fmt", "--all", "--check"])));
    parts.run("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        cargo::succeeds(cargo::cargo().args(args))
    });
    parts.run("dependencies", dependencies);
    let mut built = None;
    parts.run("build", || {
        built = Some(cargo::build()?);
        Ok(true)
    });
    if let Some(parallax) = built {
        parts.run("scenario files", || cargo::succeeds(Command::new(&parallax).args(["lint", "--deny-warnings"])));
        parts.run("catalogue", || catalogue::run(&parallax, true));
        parts.run("schemas", || cargo::succeeds(Command::new(&parallax).args(["schema", "--check"])));
        parts.run("reference pages", || cargo::succeeds(Command::new(&parallax).args(["docs", "--check"])));
    }
    parts.close()
}

/// Checks the rules of deny.toml except advisories. A separate workflow checks advisories, because a newly published
/// advisory must not make the check of an unrelated change fail.
fn dependencies() -> Result<End> {
    let installed = cargo::cargo().args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        return Ok(End::Skipped("cargo-deny is not installed: `cargo install --locked cargo-deny`".to_owned()));
    }
    Ok(cargo::succeeds(cargo::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?.into())
}
