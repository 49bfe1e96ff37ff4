//! Variants that stand: another process finds them by a handle on disk, and asks their process over a socket.
//!
//! `$XDG_STATE_HOME/parallax/standing/` holds for each of them `RUN.json` (the handle) and `RUN.sock` (the socket). A
//! connection carries one request and what follows from it, one JSON document a line: events, and at the end the answer.
//! The process that holds the environment answers; when it ends, the environment is removed as after any run.

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

/// What another process asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// What the process does at this moment. It is answered even if another request is being carried out.
    Status,
    /// Something that the run carries out.
    Do(Request),
}

/// One line of what follows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// Something that happened meanwhile, redacted.
    Event(Box<Event>),
    /// The answer to [`Question::Status`].
    Now(String),
    /// The answer to [`Question::Do`]. No further line follows.
    Answer(Answer),
}

/// Why a variant that stands could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// A file of a handle could not be read or written.
    #[error("failed to {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The path of the socket is longer than the kernel allows.
    #[error("{path} is too long for a socket; set XDG_STATE_HOME to a folder with a shorter path; nothing was started")]
    TooLong {
        /// The path.
        path: String,
    },
    /// The process that holds the environment is gone.
    #[error("run {run} does not stand any more: its process is gone; `parallax gc` removes what it left")]
    Gone {
        /// The run.
        run: String,
    },
    /// The process ended before it answered.
    #[error("run {run} ended before it answered")]
    Ended {
        /// The run.
        run: String,
    },
    /// The process says something that this program does not understand.
    #[error("run {run} answers with something unknown, perhaps another version of this program holds it: {reason}")]
    Unknown {
        /// The run.
        run: String,
        /// Why.
        reason: String,
    },
}
