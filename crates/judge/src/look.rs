//! What a step's matchers read: an answer, the counts of a prober, or something that the step read itself.

use parallax_vocab::Answer;
use parallax_vocab::tally::Tally;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::ObjectEvent;
use super::log::LogLook;

/// The observation that the matchers of a step judge, for every kind of step.
#[derive(Clone, Copy, Debug)]
pub enum Look<'a> {
    /// The answer to a question: a reply or a cause.
    Answer(&'a Answer),
    /// The counts of a prober.
    Tally(&'a Tally),
    /// Something that the step read without asking a vantage.
    Other(&'a Looked),
}

/// Something that a step read without asking a vantage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looked {
    /// A Kubernetes object.
    Object {
        /// The object's name in messages.
        resource: String,
        /// The object; `None` if it does not exist.
        object: Option<Value>,
    },
    /// The log output of containers.
    Log {
        /// The name of the log's owner in messages.
        resource: String,
        /// The part of the log that was read.
        log: LogLook,
        /// The reason why there is no log. It is `None` if there is a log.
        missing: Option<String>,
    },
    /// The events of an object.
    Events {
        /// The object's name in messages.
        resource: String,
        /// The events, oldest first.
        events: Vec<ObjectEvent>,
        /// The reason why there are no events: neither the object nor an event of the object exists. It is `None` if
        /// one of them exists.
        missing: Option<String>,
    },
    /// The output of `parallax-writer look` about a database.
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
