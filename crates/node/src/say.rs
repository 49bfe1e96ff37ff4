//! What `docker logs` shows: one line a phase on standard output, complaints on standard error.
//!
//! The components' own logs are files ([`crate::paths::LOGS`]); a node that works says about a dozen lines.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Says one line of progress. A closed standard output is not a reason to stop a node.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "parallax-node: {line}");
}

/// Says what went wrong, as it is, on standard error.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Times the phases of a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Says that `what` came to be, and after how long.
    pub(crate) fn reached(self, what: impl Display) {
        say(format!("{what} after {}", seconds(self.0.elapsed())));
    }
}

/// `2.9 s`
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
