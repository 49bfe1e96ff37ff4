//! The output that `docker logs` shows: one line for each phase on standard output, and errors on standard error.
//!
//! The logs of components are files ([`crate::paths::LOGS`]). A node without errors prints about a dozen lines.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Prints one line about the progress to standard output. The node must continue even if standard output is closed, so
/// errors are ignored.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "parallax-node: {line}");
}

/// Prints an error on standard error.
pub(crate) fn print_error(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Measures the time since the start of the node, for the progress lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts the measurement. Call this function at the start of the node.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Prints that the node has reached the phase `what`, and the time since the start of the node.
    pub(crate) fn reached(self, what: impl Display) {
        say(format!("{what} after {}", seconds(self.0.elapsed())));
    }
}

/// Formats a duration in seconds with one decimal, for example `2.9 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
