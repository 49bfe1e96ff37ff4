//! The log texts and error texts of each kind of store. Only this file connects a kind of store with the module for it.

use parallax_vocab::StoreKind;

use crate::minio;
use crate::web_identity::Chain;

/// The texts by which lines about web identity are found in the log of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogWords {
    /// The text with which the store's complaint about an OpenID provider begins.
    pub complaint: &'static str,
    /// The text with which the name of a role begins.
    pub role: &'static str,
}

/// Returns the texts to search for in the log of a kind of store. `None` if the log format of this kind is not known.
pub fn log_words(kind: StoreKind) -> Option<LogWords> {
    match kind {
        StoreKind::Minio => Some(minio::LOG_WORDS),
        StoreKind::S3 => None,
    }
}

/// Explains a refusal by the token service of this kind of store.
pub(crate) fn refused(kind: StoreKind, chain: &Chain, detail: &str) -> Option<String> {
    match kind {
        StoreKind::Minio => minio::refused(chain, detail),
        StoreKind::S3 => None,
    }
}

/// Explains an answer without a body from a store's health path. The kind of the store follows from the path.
pub(crate) fn not_ready(status: u16, path: &str) -> Option<String> {
    minio::not_ready(status, path)
}
