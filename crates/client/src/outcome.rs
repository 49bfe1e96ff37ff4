//! What came of it.

use std::collections::BTreeMap;
use std::error::Error;

use serde::Serialize;

/// A signed URL, an answer, or the client's own words of why there is neither.
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
    /// No answer came.
    pub(crate) fn failed(words: impl Into<String>) -> Self {
        Self { failed: Some(words.into()), ..Self::default() }
    }
}

/// What an error and all that lies beneath it say.
pub(crate) fn words(error: &dyn Error) -> String {
    let mut said = vec![error.to_string()];
    let mut beneath = error.source();
    while let Some(error) = beneath {
        let words = error.to_string();
        if said.last().is_none_or(|last| !last.contains(&words)) {
            said.push(words);
        }
        beneath = error.source();
    }
    said.join(": ")
}
