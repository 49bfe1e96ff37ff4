//! What can go wrong when an environment is made.

use parallax_vocab::event::Failure;

use crate::certs::CertError;
use crate::cluster::is_transient;
use crate::tokens::TokenError;
use parallax_record::in_full;

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
    #[error("cannot {doing}: {}", in_full(source))]
    Api {
        /// What was being done.
        doing: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// Something that the set-up stands on did not come in time.
    #[error("{what} was not there after {within_s} s")]
    Late {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        within_s: u64,
    },
    /// Something could not be looked at any more, so that nothing is known of it.
    #[error("nothing is known of {what}: {reason}")]
    Watch {
        /// What was watched.
        what: String,
        /// Why.
        reason: String,
    },
}

impl ApplyError {
    /// A refusal of an object by the apiserver; where it did not answer, or could not, the harness's own error.
    pub(super) fn refused(resource: String, place: &str, source: Box<kube::Error>) -> Self {
        if is_transient(&source) {
            return Self::Api { doing: format!("apply {resource} ({place})"), source };
        }
        Self::Refused { resource, place: place.to_owned(), source }
    }

    /// Whether it says nothing about what was asked for, and asking again may bring an answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api { source, .. } => is_transient(source),
            Self::Watch { .. } => true,
            _ => false,
        }
    }

    /// The failure as a person reads it.
    pub fn failure(&self) -> Failure {
        let (fix, evidence) = match self {
            Self::NotReady { evidence, .. } | Self::Hopeless { evidence, .. } => {
                (Some("the last lines below say why its pods are not ready".to_owned()), evidence.clone())
            }
            Self::Refused { place, .. } | Self::NotAnObject { place, .. } | Self::NoImage { place, .. } => {
                (Some(format!("correct {place}")), Vec::new())
            }
            Self::Certificate(_) | Self::Token(_) | Self::Api { .. } | Self::Late { .. } | Self::Watch { .. } => {
                (None, Vec::new())
            }
        };
        Failure { what: self.to_string(), fix, evidence }
    }
}
