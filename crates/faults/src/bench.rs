//! The paths that every row of the table of faults needs: the paths of the `parallax` program, of the engine's socket,
//! and of the user's image cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::left::docker;

/// The paths that every row of the table of faults needs.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The path of the built `parallax` program.
    pub(crate) program: PathBuf,
    /// The path of the socket of the container engine.
    pub(crate) socket: PathBuf,
    /// The path of the image cache, which all runs share.
    pub(crate) cache: PathBuf,
}

impl Bench {
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("failed to find {}", program.display()))?;
        // Most rows of the table of faults need root, because they use namespaces and mounts, and look at processes of
        // other users.
        ensure!(rustix::process::geteuid().is_root(), "the faults are brought about as root");
        let host = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])?;
        let host = host.trim();
        let socket =
            host.strip_prefix("unix://").with_context(|| format!("the engine is at {host}, not at a socket"))?;
        Ok(Self { program, socket: PathBuf::from(socket), cache: cache()? })
    }
}

/// Returns the path of the user's image cache. The rules are those of the harness: `PARALLAX_CACHE`, then
/// `XDG_CACHE_HOME`, then `HOME`.
fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below = |path: PathBuf| path.join("parallax");
    set("PARALLAX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(below))
        .or_else(|| set("HOME").map(|home| home.join(".cache/parallax")))
        .context("neither PARALLAX_CACHE nor XDG_CACHE_HOME nor HOME says where the cache is")
}
