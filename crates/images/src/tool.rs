//! The trait that provides the tools for building recipes.

use std::path::PathBuf;

use futures::future::BoxFuture;

use parallax_provision::Tool;

/// Ensures that the machine has a tool.
pub trait Tools: Send + Sync {
    /// The path of the tool's program. A missing tool is installed first, if that is allowed. The error says what is
    /// wrong with the tool. It is called at most once in a run for each tool, and for one tool at a time.
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>>;
}
