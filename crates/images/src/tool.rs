//! The trait that provides the programs with which recipes are built.

use std::path::PathBuf;

use futures::future::BoxFuture;

use parallax_provision::Tool;

/// Provides programs such as `go` and `mmdebstrap`.
pub trait Tools: Send + Sync {
    /// Returns the path of the tool's program. If the tool is missing and the user allows it, the tool is installed
    /// first. The error describes the problem. A run calls this function at most once for each tool, and never for two
    /// tools at the same time.
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>>;
}
