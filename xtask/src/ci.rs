//! `cargo xtask ci`: what CI does.

use anyhow::Result;

use crate::{lint, test};

/// Lints, then tests; both are done, whatever the first says.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let linted = lint::run();
    Ok(test::run(provision)? && linted)
}
