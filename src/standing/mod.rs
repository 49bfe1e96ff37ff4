//! Variants that are kept running after their flow (`parallax up`). Another process finds a kept variant by its handle
//! on disk, and sends requests over a socket to the process that keeps the variant.
//!
//! `$XDG_STATE_HOME/parallax/standing/` contains two files for each such variant: `RUN.json` (the handle) and
//! `RUN.sock` (the socket). A connection carries one request and its results, with one JSON document in each line:
//! first the events, and last the answer. Before the process that keeps the variant ends, it removes the environment,
//! as every run does.

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

/// What another process sends to the process that keeps a variant.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Asks what the process does at this moment. The process answers even while it carries out another request.
    Status,
    /// Asks the process to carry out a request.
    Do(Request),
}

/// One line that the process of a kept variant sends back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// An event that happened while the request was carried out. Secrets in the event are already redacted.
    Event(Box<Event>),
    /// The answer to [`Question::Status`]: what the process does at this moment.
    Now(String),
    /// The answer to [`Question::Do`]. No further line follows.
    Answer(Answer),
}

/// The reason why a request to a kept variant failed.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// A handle or a socket could not be read, written or created.
    #[error("failed to {doing} {path}: {source}")]
    File {
        /// The operation that failed, as a verb such as `write`.
        doing: &'static str,
        /// The path of the handle or the socket.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The path of the socket is longer than the kernel allows.
    #[error("{path} is too long for a socket; set XDG_STATE_HOME to a folder with a shorter path; nothing was started")]
    TooLong {
        /// The path of the socket, which is too long.
        path: String,
    },
    /// The process that keeps the environment no longer exists.
    #[error("run {run} does not stand any more: its process is gone; `parallax gc` removes what it left")]
    Gone {
        /// The id of the run whose process no longer exists.
        run: String,
    },
    /// The process that keeps the environment ended before it answered the request.
    #[error("run {run} ended before it answered")]
    Ended {
        /// The id of the run that ended before it answered.
        run: String,
    },
    /// The process that keeps the environment sent a line that this program does not understand, perhaps because its
    /// version differs.
    #[error("run {run} answers with something unknown, perhaps another version of this program holds it: {reason}")]
    Unknown {
        /// The id of the run whose process sent the line.
        run: String,
        /// The message of the JSON parser about the line.
        reason: String,
    },
}
