//! Records what happens in a run. Every module sends its events to one sink, and one writer receives them.
//!
//! The writer adds the time, redacts the event, appends the event to `record.jsonl`, and passes the same redacted event
//! to the live display. All reports are made from these redacted events.
//!
//! **Architecture Invariant:** nothing is written to disk or shown on a screen before [`Redactor`] has redacted it.

mod forms;
mod log;
mod read;
mod redact;
mod schema;
mod sink;
mod writer;

pub use log::{LOG_FILE, Log, Noted, Present};
pub use parallax_vocab::in_full;
pub use read::{parse, read};
pub use redact::{Redactor, address, by_form};
pub use schema::{SCHEMA_FILE, schema};
pub use sink::{GAVE_UP, Setup, Sink};
pub use writer::{Live, Mark, RECORD_FILE, Recorded, Recorder, point_latest, write};

/// The reason why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder of the run could not be created.
    #[error("failed to make the run's directory {path}: {source}; choose another with --out")]
    Directory {
        /// The path of the run's folder.
        path: String,
        /// The I/O error that caused the failure.
        source: std::io::Error,
    },
    /// The record could not be opened or written. After a failed write the run continues, but the file lacks all later
    /// events.
    #[error("failed to write the record {path}: {source}; free some space or choose another place with --out")]
    Write {
        /// The path of the file that could not be opened or written.
        path: String,
        /// The I/O error that caused the failure.
        source: std::io::Error,
    },
    /// The record could not be read.
    #[error(
        "failed to read the record {path}: {source}; give the file record.jsonl or its folder, for example target/e2e/latest"
    )]
    Read {
        /// The path of the record that was to be read.
        path: String,
        /// The I/O error that caused the failure.
        source: std::io::Error,
    },
    /// The record is complete, but has the format of another version of Parallax.
    #[error(
        "the record {path} has format {theirs}, as parallax {version} wrote it, and this one reads format {ours}; read it with the {age} parallax that wrote it, or run again"
    )]
    Format {
        /// The path of the record.
        path: String,
        /// The format that the record names. It is 0 if the record names none, because the first versions of Parallax
        /// wrote no format.
        theirs: u32,
        /// The version of Parallax that wrote the record.
        version: String,
        /// The format that this version of Parallax reads.
        ours: u32,
        /// Whether the version that wrote the record is `older` or `newer` than this version.
        age: &'static str,
    },
    /// A line other than the last one cannot be parsed as an event, although the record has the format of this version.
    #[error("line {line} of {path} is not an event: {source}; the record is broken: take that line out, or run again")]
    Line {
        /// The path of the record.
        path: String,
        /// The number of the damaged line, counted from 1.
        line: usize,
        /// The error of the JSON parser.
        source: serde_json::Error,
    },
}
