//! `cargo xtask ci` runs the same checks and tests as CI.

use anyhow::Result;

use crate::{lint, test};

/// Runs `lint`, then `test`. Both run even if the first fails.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let linted = lint::run();
    Ok(test::run(provision)? && linted)
}
