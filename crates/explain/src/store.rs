//! Selects the module that knows the log texts and the error texts of a kind of store. Only this file maps kinds of
//! stores to modules.

use parallax_vocab::StoreKind;

use crate::minio;
use crate::web_identity::Chain;

/// The texts that identify the lines about web identity in the log of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogWords {
    /// The text with which the store's complaint about an OpenID provider begins.
    pub complaint: &'static str,
    /// The text with which the name of a role in the log begins.
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

/// Explains an answer without a body from a store's health path. The path itself shows the kind of the store.
pub(crate) fn not_ready(status: u16, path: &str) -> Option<String> {
    minio::not_ready(status, path)
}
