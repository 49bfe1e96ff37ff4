//! What a step's matchers read: an answer, the counts of a prober, or something that the step read itself.

use parallax_vocab::Answer;
use parallax_vocab::tally::Tally;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::ObjectEvent;
use super::log::LogLook;

/// What the matchers of a step read, for every kind of step.
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
    /// A Kubernetes object, read from the apiserver.
    Object {
        /// The kind and the name of the Kubernetes object, as messages show them.
        resource: String,
        /// The content of the object. `None` if the object does not exist.
        object: Option<Value>,
    },
    /// The log output of containers.
    Log {
        /// The kind and the name of the object whose containers wrote the log, as messages show them.
        resource: String,
        /// What was found in the log while it was read.
        log: LogLook,
        /// The reason why there is no log; `None` if there is a log.
        missing: Option<String>,
    },
    /// The events that Kubernetes recorded for an object.
    Events {
        /// The kind and the name of the Kubernetes object, as messages show them.
        resource: String,
        /// The recorded events, oldest first.
        events: Vec<ObjectEvent>,
        /// The reason why nothing could be read: neither the object nor an event of it exists. `None` if the object or
        /// an event exists.
        missing: Option<String>,
    },
    /// The output of `parallax-writer look` about a database, as JSON.
    Database(Value),
    /// A list of numbers as the text of a JSON list, or a single number as text.
    Numbers(String),
    /// A single number that the step computed.
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
