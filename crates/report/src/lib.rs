//! Makes all reports for people and tools from recorded events only.
//!
//! [`Summary`] collects the events of a run, and [`terminal`], [`page`], [`junit`] and [`github`] render the summary.
//! [`live`] shows the events as they arrive. A report that is made during the run is the same as a report that is made
//! later from the record.
//!
//! **Architecture Invariant:** every report is a pure function of recorded events. No report uses a clock, the
//! environment or an engine.

mod evidence;
pub mod explanation;
mod faults;
mod figures;
pub mod github;
pub mod junit;
pub mod live;
pub mod merge;
pub mod page;
mod phases;
mod summary;
mod tables;
pub mod terminal;
pub mod versions;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::fs::Permissions;
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub use figures::Measured;
pub use phases::Phases;
pub use summary::{CleanUp, Counted, Scenario, SetUp, Summary, Totals, Variant};
pub use tables::{Row, Shown, Table};

/// The reason why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file of the report could not be written.
    #[error("failed to write {path}: {source}; free some space or choose another place")]
    Write {
        /// The path of the report.
        path: String,
        /// The I/O error that caused the failure.
        source: std::io::Error,
    },
    /// The JUnit document could not be rendered as XML.
    #[error("failed to make the JUnit report: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The HTML page could not be rendered.
    #[error("failed to make the page: {0}")]
    Page(#[from] minijinja::Error),
}

/// Writes a report atomically: to a temporary file that then gets the name `path`. An existing file or link with this
/// name is replaced. The file to which a link points does not change.
pub fn write_whole(path: &Path, text: &str) -> Result<(), ReportError> {
    let write = || {
        if path.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions = Permissions::from_mode(0o644);
        let mut file = tempfile::Builder::new().prefix(".report-").permissions(permissions).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| ReportError::Write { path: path.display().to_string(), source })
}

/// Formats milliseconds as seconds with one decimal, for every report.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
