//! What can go wrong when an environment is made.

use parallax_vocab::event::Failure;

use crate::certs::CertError;
use crate::tokens::TokenError;

/// Why an environment is not as the plan says.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The apiserver refused an object.
    #[error("{resource} ({place}) is refused: {source}")]
    Refused {
        /// Kind, namespace and name.
        resource: String,
        /// Where it is declared.
        place: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// An object is not one.
    #[error("{place}: {reason}")]
    NotAnObject {
        /// Where it is declared.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// An object names an image that `images/images.lock` does not have.
    #[error("{place}: there is no image `{image}` in images/images.lock")]
    NoImage {
        /// Where it is declared.
        place: String,
        /// The image's name.
        image: String,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A key that signs tokens could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Something did not become ready.
    #[error("{what} in namespace {namespace} did not become ready within {within_s} s: {reason}")]
    NotReady {
        /// The fixture's expectation, for example `store.ready`.
        what: String,
        /// The namespace.
        namespace: String,
        /// How long was waited, in seconds.
        within_s: u64,
        /// The last thing that was seen.
        reason: String,
        /// States, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// Something cannot become ready, however long one waits.
    #[error("{what} in namespace {namespace} cannot become ready: {reason}")]
    Hopeless {
        /// The fixture's expectation, for example `store.ready`.
        what: String,
        /// The namespace.
        namespace: String,
        /// The pod, its container, and the state that it will not leave.
        reason: String,
        /// States, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// The apiserver could not be asked.
    #[error("cannot {doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// A watch ended.
    #[error("the watch of {what} ended: {reason}")]
    Watch {
        /// What was watched.
        what: String,
        /// Why.
        reason: String,
    },
}

impl ApplyError {
    /// The failure as a person reads it.
    pub fn failure(&self) -> Failure {
        let (fix, evidence) = match self {
            Self::NotReady { evidence, .. } | Self::Hopeless { evidence, .. } => {
                (Some("the last lines below say why its pods are not ready".to_owned()), evidence.clone())
            }
            Self::Refused { place, .. } | Self::NotAnObject { place, .. } | Self::NoImage { place, .. } => {
                (Some(format!("correct {place}")), Vec::new())
            }
            Self::Certificate(_) | Self::Token(_) | Self::Api { .. } | Self::Watch { .. } => (None, Vec::new()),
        };
        Failure { what: self.to_string(), fix, evidence }
    }
}
