//! What a step brought for its matchers to look at.

use parallax_vocab::Answer;
use parallax_vocab::tally::Tally;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::ObjectEvent;
use super::log::LogLook;

/// What a step looked at, of whatever kind it is.
#[derive(Clone, Copy, Debug)]
pub enum Look<'a> {
    /// An answer to a question, or why there is none.
    Answer(&'a Answer),
    /// What a prober counted.
    Tally(&'a Tally),
    /// What no vantage was asked for.
    Other(&'a Looked),
}

/// What was looked at where no vantage was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looked {
    /// A Kubernetes object.
    Object {
        /// Its name in messages.
        resource: String,
        /// The object; none where there is no such object.
        object: Option<Value>,
    },
    /// What containers wrote.
    Log {
        /// Its name in messages.
        resource: String,
        /// What was read of it.
        log: LogLook,
        /// Why there is no log, where there is none.
        missing: Option<String>,
    },
    /// The events of an object.
    Events {
        /// The object's name in messages.
        resource: String,
        /// The events, oldest first.
        events: Vec<ObjectEvent>,
        /// Why there can be none, where neither the object nor an event of it is there.
        missing: Option<String>,
    },
    /// What `parallax-writer look` says of a database.
    Database(Value),
    /// A list of numbers as JSON, or a single one.
    Numbers(String),
    /// One number.
    Number(f64),
}

impl<'a> From<&'a Answer> for Look<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self::Answer(answer)
    }
}

impl<'a> From<&'a Tally> for Look<'a> {
    fn from(tally: &'a Tally) -> Self {
        Self::Tally(tally)
    }
}

impl<'a> From<&'a Looked> for Look<'a> {
    fn from(looked: &'a Looked) -> Self {
        Self::Other(looked)
    }
}
