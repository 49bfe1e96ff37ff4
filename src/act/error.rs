//! Why an act did not come about.

use parallax_vocab::Cause;
use parallax_vocab::event::Failure;

use crate::apply::ApplyError;
use crate::certs::CertError;
use crate::engine::EngineError;

/// Why an act did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The cluster's doing: it refused, or what should follow did not.
    #[error("{0}")]
    Cause(Cause),
    /// The apiserver could not be asked, or not in these words.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The apiserver could not be reached.
    #[error("cannot {doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// The engine could not run a command in the node's container.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The node's container runtime did not do as it was told.
    #[error("`{command}` on the node ended with {code}: {said}")]
    Runtime {
        /// The command.
        command: String,
        /// Its exit code.
        code: i64,
        /// What it wrote.
        said: String,
    },
}

impl ActError {
    /// The cluster's refusal or failure, about `resource`.
    pub(super) fn cause(resource: &str, detail: impl Into<String>) -> Self {
        Self::Cause(Cause::Resource { resource: resource.to_owned(), detail: detail.into() })
    }

    /// A watch of `resource` that ended before what it was to see.
    pub(super) fn watch(resource: &str, error: &kube::runtime::wait::Error) -> Self {
        Self::cause(resource, format!("the watch of it ended: {error}"))
    }

    /// What the apiserver said to a request about `resource`; where it said nothing, the harness could not ask.
    pub(super) fn of(resource: &str, doing: &str) -> impl FnOnce(kube::Error) -> Self {
        let (resource, doing) = (resource.to_owned(), format!("{doing} {resource}"));
        move |error| match error {
            kube::Error::Api(status) if status.code == 404 => Self::cause(&resource, "it does not exist"),
            kube::Error::Api(status) => Self::cause(&resource, format!("cannot {doing}: {}", status.message)),
            source => Self::Api { doing, source: Box::new(source) },
        }
    }

    /// The failure as a person reads it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Apply(error) => error.failure(),
            Self::Engine(error) => Failure { what: error.to_string(), fix: error.fix(), evidence: error.evidence() },
            Self::Cause(_) | Self::Api { .. } | Self::Certificate(_) | Self::Runtime { .. } => {
                Failure { what: self.to_string(), fix: None, evidence: Vec::new() }
            }
        }
    }
}
