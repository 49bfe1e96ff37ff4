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
pub mod wiring;

pub use args::Cli;
pub use dispatch::dispatch;
pub use session::{Ended, Run};

use std::io::ErrorKind;

use parallax_record::RecordError;
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
    Report(#[from] parallax_report::ReportError),
}

impl CliError {
    /// Returns the exit code of the process.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Filter(_) => Exit::Usage,
            // The user named a record that does not exist.
            Self::Record(RecordError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Exit::Usage,
            Self::Harness(_) | Self::Record(_) | Self::Report(_) => Exit::Harness,
        }
    }
}
