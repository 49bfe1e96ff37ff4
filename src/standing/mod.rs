//! Variants that are kept after their run: another process finds them by a handle on disk, and sends requests to their
//! process over a socket.
//!
//! `$XDG_STATE_HOME/parallax/standing/` contains two files for each such variant: `RUN.json` (the handle) and
//! `RUN.sock` (the socket). A connection carries one request and its results, with one JSON document on each line:
//! events, and the answer at the end. The process that keeps the environment answers. When that process ends, the
//! environment is removed as after any run.

mod client;
mod handle;
mod host;

pub use client::ask;
pub(crate) use handle::remove_secrets;
pub use handle::{Handle, Handles};
pub use host::{Feed, Host};

use parallax_vocab::Event;
use serde::{Deserialize, Serialize};

use crate::run::standing::{Answer, Request};

/// A request from another process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Tell what the process does at this moment. This is answered even while another request is being carried out.
    Status,
    /// Asks the process to carry out a request.
    Do(Request),
}

/// One line of the results.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// An event that happened during the request. It is redacted.
    Event(Box<Event>),
    /// The answer to [`Question::Status`].
    Now(String),
    /// The answer to [`Question::Do`]. No further line follows.
    Answer(Answer),
}

/// The reason why a request to a kept variant failed.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// A file of a handle could not be read or written.
    #[error("failed to {doing} {path}: {source}")]
    File {
        /// The operation that failed.
        doing: &'static str,
        /// The path of the file.
        path: String,
        /// The reason for the failure.
        source: std::io::Error,
    },
    /// The path of the socket is longer than the kernel allows.
    #[error("{path} is too long for a socket; set XDG_STATE_HOME to a folder with a shorter path; nothing was started")]
    TooLong {
        /// The path of the socket.
        path: String,
    },
    /// The process that keeps the environment is gone.
    #[error("run {run} does not stand any more: its process is gone; `parallax gc` removes what it left")]
    Gone {
        /// The id of the run.
        run: String,
    },
    /// The process ended before it answered.
    #[error("run {run} ended before it answered")]
    Ended {
        /// The id of the run.
        run: String,
    },
    /// The process sent something that this program does not understand.
    #[error("run {run} answers with something unknown, perhaps another version of this program holds it: {reason}")]
    Unknown {
        /// The id of the run.
        run: String,
        /// The reason for the failure.
        reason: String,
    },
}
