//! `cargo xtask ci`: the same checks and tests as in CI.

use anyhow::Result;

use crate::{lint, test};

/// Runs `lint`, then `test`; it runs both even if the first fails.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let linted = lint::run();
    Ok(test::run(provision)? && linted)
}
