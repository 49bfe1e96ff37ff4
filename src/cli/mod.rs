//! The command line: arguments, signals, the recorded session and exit codes.
//!
//! This module decides nothing about scenarios or engines. All its calls into other modules are in [`wiring`]. Data
//! goes to standard output, and progress and errors go to standard error.

pub mod args;
mod choose;
mod dispatch;
mod explain;
pub mod filter;
mod init;
mod matrix;
mod merge;
pub mod pages;
pub mod printer;
mod report;
mod repro;
mod session;
mod shards;
mod shells;
pub mod signal;
mod standing;
pub mod stores;
mod watcher;
pub mod wiring;

pub use args::Cli;
pub use dispatch::dispatch;
pub use session::{Ended, Run};

use std::io::{Error, ErrorKind};
use std::path::Path;

use parallax_record::RecordError;
use parallax_report::ReportError;
use parallax_vocab::event::Exit;

/// The reason why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line or a scenario is wrong. Nothing was started.
    #[error("{0}")]
    Usage(String),
    /// The harness, the engine or the machine failed.
    #[error("{0}")]
    Harness(String),
    /// No scenario matches the filters.
    #[error(transparent)]
    Filter(#[from] filter::FilterError),
    /// The record could not be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl CliError {
    /// Returns the exit code with which the process ends because of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::Filter(_)
            // It is a mistake of the user to give a record of another format version, or a file that is not a record.
            // In a file that is not a record, line 1 is wrong. If a later line is wrong, the record was damaged,
            // which is a failure of the machine.
            | Self::Record(RecordError::Format { .. } | RecordError::Line { line: 1, .. }) => Exit::Usage,
            Self::Record(
                RecordError::Read { source, .. }
                | RecordError::Directory { source, .. }
                | RecordError::Write { source, .. },
            )
            | Self::Report(ReportError::Write { source, .. })
                if is_of_the_path(source) =>
            {
                Exit::Usage
            }
            Self::Harness(_) | Self::Record(_) | Self::Report(_) => Exit::Harness,
        }
    }

    /// Returns a function that turns an I/O error into a `CliError`. `doing` is the verb for the operation that
    /// failed, such as `write`. `path` is the file that the user named.
    fn file(doing: &str, path: &Path) -> impl FnOnce(Error) -> Self {
        let what = format!("failed to {doing} {}", path.display());
        move |error| {
            let text = format!("{what}: {error}");
            if is_of_the_path(&error) { Self::Usage(text) } else { Self::Harness(text) }
        }
    }
}

/// Whether an operation on a file failed because of the path that the user gave. Otherwise the machine failed, for
/// example because its disk is full.
fn is_of_the_path(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    )
}
