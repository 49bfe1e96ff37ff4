//! `cargo xtask ci` runs the same checks and tests as CI.

use anyhow::Result;

use crate::{lint, test};

/// Runs `lint`, then `test`. `test` also runs if `lint` fails.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let linted = lint::run();
    Ok(test::run(provision)? && linted)
}
