//! Finds folders of the user, such as the folder of caches.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Returns the folder of the user's caches: `XDG_CACHE_HOME`, otherwise `.cache` in the home folder. A relative path is
/// ignored, because it is invalid by the XDG specification.
pub(crate) fn caches() -> Result<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    caches
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set, so the folder of the user's caches is not known")
}
