//! The outcome of a task.

use std::collections::BTreeMap;
use std::error::Error;

use serde::Serialize;

/// A signed URL, an answer, or the client's error message.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl Outcome {
    /// The outcome of a task without an answer.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { failed: Some(message.into()), ..Self::default() }
    }
}

/// The message of an error with the messages of its sources. A source that the previous message repeats is left out.
pub(crate) fn message(error: &dyn Error) -> String {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if messages.last().is_none_or(|last| !last.contains(&message)) {
            messages.push(message);
        }
        source = error.source();
    }
    messages.join(": ")
}
