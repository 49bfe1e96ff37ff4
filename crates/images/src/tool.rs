//! The trait that provides the tools for building recipes.

use std::path::PathBuf;

use futures::future::BoxFuture;

use parallax_provision::Tool;

/// Ensures that the machine has a tool.
pub trait Tools: Send + Sync {
    /// The path of the tool's program. If the tool is missing, it is installed first, if this is allowed. The error
    /// describes the problem. In a run, the function is called at most once for each tool, and for one tool at a time.
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>>;
}
