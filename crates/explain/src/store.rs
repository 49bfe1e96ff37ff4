//! The words of each kind of store. Here alone is known which module has which kind's.

use parallax_vocab::StoreKind;

use crate::minio;
use crate::web_identity::Chain;

/// Texts that show that a line of a store's log is about web identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogWords {
    /// How a complaint about a provider begins.
    pub complaint: &'static str,
    /// How the name of a role begins.
    pub role: &'static str,
}

/// The words of a kind of store; none where it is not known how it logs.
pub fn log_words(kind: StoreKind) -> Option<LogWords> {
    match kind {
        StoreKind::Minio => Some(minio::LOG_WORDS),
        StoreKind::S3 => None,
    }
}

/// What a kind's token service means by a refusal.
pub(crate) fn refused(kind: StoreKind, chain: &Chain, detail: &str) -> Option<String> {
    match kind {
        StoreKind::Minio => minio::refused(chain, detail),
        StoreKind::S3 => None,
    }
}

/// What an answer without a body means that a store gave at a path of its health. The path tells whose it is.
pub(crate) fn not_ready(status: u16, path: &str) -> Option<String> {
    minio::not_ready(status, path)
}
