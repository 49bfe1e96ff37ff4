//! The log of the external network: one JSON document on each line of standard output.

use std::io::Write as _;
use std::sync::Arc;

use parallax_vocab::world::Entry;

/// A log to which any task can write entries. A clone writes to the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<dyn Fn(String) + Send + Sync>);

impl Log {
    pub(crate) fn new(take: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// A log that writes each line to standard output and flushes it at once.
    pub(crate) fn stdout() -> Self {
        Self::new(|line| {
            let mut out = std::io::stdout().lock();
            // A write fails if nobody reads the log any more. The servers must continue, so the error is ignored.
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        })
    }

    pub(crate) fn write(&self, entry: &Entry) {
        let mut line = serde_json::to_string(entry).expect("an entry holds only strings and numbers");
        line.push('\n');
        (self.0)(line);
    }
}
