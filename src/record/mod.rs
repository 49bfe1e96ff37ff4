//! Writing down what happens: one sink that every room speaks into, one writer behind it.
//!
//! The writer stamps, redacts, appends to `record.jsonl`, and hands the same redacted events to the live display. All
//! reports are made from what it wrote.
//!
//! **Architecture Invariant:** nothing reaches the disk or a screen without having passed [`Redactor`].

mod read;
mod redact;
mod sink;
mod writer;

pub use read::read;
pub use redact::Redactor;
pub use sink::{Setup, Sink};
pub use writer::{Live, RECORD_FILE, Recorded, Recorder};

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The directory of the run could not be made.
    #[error("failed to make the run's directory {path}: {source}; choose another with --out")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record could not be opened or written: the run went on, and what follows is missing.
    #[error("failed to write the record {path}: {source}; free some space or choose another place with --out")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record could not be read.
    #[error(
        "failed to read the record {path}: {source}; give the file record.jsonl or its folder, for example target/e2e/latest"
    )]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line in the middle is not an event.
    #[error("line {line} of {path} is not an event of this version: {source}; read it with the version that wrote it")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}
