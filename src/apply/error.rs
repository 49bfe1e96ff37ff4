//! What can go wrong when an environment is brought up.

use parallax_vocab::event::Failure;

use crate::certs::CertError;
use crate::cluster::is_transient;
use crate::tokens::TokenError;
use parallax_record::in_full;

/// Why an environment could not be brought up as planned.
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
    /// A manifest is not a valid Kubernetes object.
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
        /// How long the harness waited, in seconds.
        within_s: u64,
        /// The last observed state.
        reason: String,
        /// States, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// Something cannot become ready, no matter how long the harness waits.
    #[error("{what} in namespace {namespace} cannot become ready: {reason}")]
    Unrecoverable {
        /// The fixture's expectation, for example `store.ready`.
        what: String,
        /// The namespace.
        namespace: String,
        /// The pod, its container, and the state that it will not leave.
        reason: String,
        /// States, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// A request to the apiserver failed.
    #[error("cannot {doing}: {}", in_full(source))]
    Api {
        /// What was being done.
        doing: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// Something that the set-up needs did not exist in time.
    #[error("{what} was not there after {within_s} s")]
    Late {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        within_s: u64,
    },
    /// An object could not be observed any more, so its state is unknown.
    #[error("nothing is known of {what}: {reason}")]
    Watch {
        /// What was watched.
        what: String,
        /// Why.
        reason: String,
    },
}

impl ApplyError {
    /// The error for an object that could not be applied. If the apiserver did not answer or failed itself, this is an
    /// error of the harness and not a refusal.
    pub(super) fn refused(resource: String, place: &str, source: Box<kube::Error>) -> Self {
        if is_transient(&source) {
            return Self::Api { doing: format!("apply {resource} ({place})"), source };
        }
        Self::Refused { resource, place: place.to_owned(), source }
    }

    /// Whether the error says nothing about the requested object, so that another try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api { source, .. } => is_transient(source),
            Self::Watch { .. } => true,
            _ => false,
        }
    }

    /// Whether the cause is most likely in the project's files or in the system under test, so that another try would
    /// end in the same way.
    pub fn is_of_the_project(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::NotAnObject { .. } | Self::NoImage { .. } | Self::Unrecoverable { .. }
        )
    }

    /// The failure as it is shown to the user.
    pub fn failure(&self) -> Failure {
        let (fix, evidence) = match self {
            Self::NotReady { evidence, .. } | Self::Unrecoverable { evidence, .. } => {
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
