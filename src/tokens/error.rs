//! Errors of requesting or signing a token. None of them is a fault of the system under test.

use crate::cluster::is_transient;

/// The reason why a token could not be requested or signed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The apiserver refused to issue a token.
    #[error("the apiserver gives no token for ServiceAccount {account} in namespace {namespace}: {source}")]
    Refused {
        /// The name of the ServiceAccount.
        account: String,
        /// The namespace of the ServiceAccount.
        namespace: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
    /// The answer of the apiserver contains no token. The text is the name of the ServiceAccount.
    #[error("the apiserver's TokenRequest for ServiceAccount {0} came back without a token")]
    Empty(String),
    /// A key cannot be used for signing. The text is the reason.
    #[error("the key that is to sign a token cannot be used: {0}")]
    Key(String),
    /// A token could not be signed.
    #[error("the token cannot be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl TokenError {
    /// Whether the error is temporary: the apiserver did not answer, was overloaded or had an internal error. If the
    /// error is temporary, a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if is_transient(source))
    }
}
