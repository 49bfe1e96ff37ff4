//! The outcome of a task, which the client prints as JSON: an answer or an error message.

use std::collections::BTreeMap;
use std::error::Error;

use serde::Serialize;

/// The outcome of a task. Only some fields are set: the signed URL, the server's answer, or the client's error message.
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
    /// The outcome of a task for which no server answered. `message` is the client's error message.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { failed: Some(message.into()), ..Self::default() }
    }
}

/// The message of an error, followed by the messages of its sources. A source is left out if the message before it
/// already contains its text.
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
