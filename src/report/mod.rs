//! What people and tools read, made from events and nothing else.
//!
//! [`Summary`] folds the events of a run; [`terminal`], [`page`], [`junit`] and [`github`] write it down. [`live`] shows the events
//! while they come. A report made during the run and one made from its record are the same text.
//!
//! **Architecture Invariant:** pure functions of recorded events: no clock, no environment, no engine.

mod evidence;
pub mod explanation;
mod figures;
pub mod github;
pub mod junit;
pub mod live;
pub mod page;
mod phases;
mod summary;
pub mod terminal;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use figures::Measured;
pub use phases::Phases;
pub use summary::{CleanUp, Counted, Scenario, SetUp, Summary, Totals, Variant};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file could not be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The JUnit document could not be made.
    #[error("failed to make the JUnit report: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The page could not be made.
    #[error("failed to make the page: {0}")]
    Page(#[from] minijinja::Error),
}

/// Seconds with one decimal, as every report shows them.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
