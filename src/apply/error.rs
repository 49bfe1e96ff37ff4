//! The errors that can occur while an environment is set up.

use parallax_vocab::event::Failure;

use crate::certs::CertError;
use crate::cluster::is_transient;
use crate::tokens::TokenError;
use parallax_record::in_full;

/// The reason why an environment could not be set up as planned.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The apiserver refused an object.
    #[error("{resource} ({place}) is refused: {source}")]
    Refused {
        /// The kind, the namespace and the name of the refused object.
        resource: String,
        /// The place of the object's declaration: a manifest file and the number of the document in it. For an object
        /// that the harness itself makes, this is a text such as `vantage app`.
        place: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
    /// A manifest is not a valid Kubernetes object.
    #[error("{place}: {reason}")]
    NotAnObject {
        /// The place of the manifest: a file and the number of the document in it, or a text such as `vantage app` for
        /// an object that the harness itself makes.
        place: String,
        /// The reason why the manifest is not valid.
        reason: String,
    },
    /// An object uses an image that `images/images.lock` does not have.
    #[error("{place}: there is no image `{image}` in images/images.lock")]
    NoImage {
        /// The place of the object's declaration: a manifest file and the number of the document in it. For an object
        /// that the harness itself makes, this is a text such as `vantage app`.
        place: String,
        /// The name of the image that is missing.
        image: String,
    },
    /// The certificates that the user gives to a fixture cannot be used. They come from a file, or they are the ones
    /// that this machine trusts.
    #[error("{place}: {what} {reason}")]
    Input {
        /// The line of the scenario with the path of the file, as `file:line`. For the certificates of this machine,
        /// the fixture's id.
        place: String,
        /// The path of the file with the certificates, or `this machine`.
        what: String,
        /// The reason why the certificates cannot be used.
        reason: String,
        /// What the user can do about these certificates, in words.
        fix: String,
    },
    /// A certificate of the environment could not be issued.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A key that signs tokens could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A part of the environment did not become ready.
    #[error("{what} in namespace {namespace} did not become ready within {within_s} s: {reason}")]
    NotReady {
        /// The part that is not ready, for example `vantage app`.
        what: String,
        /// The namespace of the environment.
        namespace: String,
        /// The time that the harness waited, in seconds.
        within_s: u64,
        /// The reason why the part is not ready, in words: its state when the harness last observed it.
        reason: String,
        /// The states of pods, the events and the log lines of the environment's namespace.
        evidence: Vec<String>,
    },
    /// A part of the environment cannot become ready, however long the harness waits.
    #[error("{what} in namespace {namespace} cannot become ready: {reason}")]
    Unrecoverable {
        /// The part that cannot become ready, for example `vantage app`.
        what: String,
        /// The namespace of the environment.
        namespace: String,
        /// A pod of the part, its container, and the state that the container will not leave.
        reason: String,
        /// The states of pods, the events and the log lines of the environment's namespace.
        evidence: Vec<String>,
    },
    /// A request to the apiserver failed.
    #[error("cannot {doing}: {}", in_full(source))]
    Api {
        /// The request that failed, in words.
        doing: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
    /// An object or state that the set-up needs did not exist in time.
    #[error("{what} was not there after {within_s} s")]
    Late {
        /// The object or state that was missing, in words.
        what: String,
        /// The time that the harness waited, in seconds.
        within_s: u64,
    },
    /// In somebody else's cluster, an object of this name already exists, and this run has not created it. Therefore
    /// the run does not change the object.
    #[error("{title} exists already, and this run has not created it")]
    NotOurs {
        /// The kind, the name and the namespace of the existing object.
        title: String,
    },
    /// In somebody else's cluster, objects of the run still exist after the time for their removal.
    #[error("{what} is not finished: {reason}")]
    Remains {
        /// The removal that is not finished, in words.
        what: String,
        /// What prevents the removal of the objects, or the command that removes them.
        reason: String,
    },
    /// An object could not be observed any more, so its state is unknown.
    #[error("nothing is known of {what}: {reason}")]
    Watch {
        /// The object that the harness observed, in words.
        what: String,
        /// The reason why the object could not be observed.
        reason: String,
    },
}

impl ApplyError {
    /// Returns the error for an object that could not be applied. If the apiserver did not answer, or failed itself,
    /// the error is a failure of the harness and not a refusal of the object.
    pub(super) fn refused(resource: String, place: &str, source: Box<kube::Error>) -> Self {
        if is_transient(&source) {
            return Self::Api { doing: format!("apply {resource} ({place})"), source };
        }
        Self::Refused { resource, place: place.to_owned(), source }
    }

    /// Whether the error is transient: it says nothing about the requested object, and another try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api { source, .. } => is_transient(source),
            Self::Watch { .. } => true,
            _ => false,
        }
    }

    /// Whether the error most likely comes from the project's files or from the system under test. In this case,
    /// another try would end in the same way.
    pub fn is_of_the_project(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::NotAnObject { .. }
                | Self::NoImage { .. }
                | Self::Input { .. }
                | Self::Unrecoverable { .. }
                | Self::NotOurs { .. }
        )
    }

    /// Converts the error into the form that the user reads: the message, a possible fix, and the evidence.
    pub fn failure(&self) -> Failure {
        let (fix, evidence) = match self {
            Self::NotReady { evidence, .. } | Self::Unrecoverable { evidence, .. } => {
                (Some("the last lines below say why its pods are not ready".to_owned()), evidence.clone())
            }
            Self::Refused { place, .. } | Self::NotAnObject { place, .. } | Self::NoImage { place, .. } => {
                (Some(format!("correct {place}")), Vec::new())
            }
            Self::Input { fix, .. } => (Some(fix.clone()), Vec::new()),
            Self::NotOurs { .. } => {
                (Some("use another namespace, or rename the object in the scenario".to_owned()), Vec::new())
            }
            Self::Remains { .. }
            | Self::Certificate(_)
            | Self::Token(_)
            | Self::Api { .. }
            | Self::Late { .. }
            | Self::Watch { .. } => (None, Vec::new()),
        };
        Failure { what: self.to_string(), fix, evidence }
    }
}
