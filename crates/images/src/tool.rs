//! Who sees to it that the machine has the tools that recipes are built with.

use std::path::PathBuf;

use futures::future::BoxFuture;

use parallax_provision::Tool;

/// Sees to it that the machine has a tool.
pub trait Tools: Send + Sync {
    /// The tool's program, installed first where that was allowed. The error says what is the matter
    /// with it. Asked at most once a run for each tool, and for one tool at a time.
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>>;
}
