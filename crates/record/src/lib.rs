//! Writing down what happens: one sink that every room speaks into, one writer behind it.
//!
//! The writer stamps, redacts, appends to `record.jsonl`, and hands the same redacted events to the live display. All
//! reports are made from what it wrote.
//!
//! **Architecture Invariant:** nothing reaches the disk or a screen without having passed [`Redactor`].

mod forms;
mod log;
mod read;
mod redact;
mod sink;
mod writer;

pub use log::{LOG_FILE, Log, Noted, in_full};
pub use read::{parse, read};
pub use redact::{Redactor, by_form};
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
    /// The record is whole, and of another version's making.
    #[error(
        "the record {path} has format {theirs}, as parallax {version} wrote it, and this one reads format {ours}; read it with the {age} parallax that wrote it, or run again"
    )]
    Format {
        /// The file.
        path: String,
        /// Its format; 0 where it does not say, as the first records did not.
        theirs: u32,
        /// The version that wrote it.
        version: String,
        /// The format that is read here.
        ours: u32,
        /// `older` or `newer`.
        age: &'static str,
    },
    /// A line in the middle is not an event, though the format is ours.
    #[error("line {line} of {path} is not an event: {source}; the record is broken: take that line out, or run again")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}
