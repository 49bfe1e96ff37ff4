//! The error type of the module `act`: why a change to the environment did not take effect.

use parallax_vocab::Cause;
use parallax_vocab::event::Failure;

use crate::apply::ApplyError;
use crate::certs::CertError;
use crate::cluster::{ClusterError, is_transient};
use parallax_record::in_full;

/// The reason why an action did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The step has failed: the cluster refused the change, or the change did not take effect.
    #[error("{0}")]
    Cause(Cause),
    /// A `rotate` step could not read the Secret with the certificate, or could not apply the new content of this
    /// Secret.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The request to the apiserver was not answered, or the apiserver itself failed.
    #[error("cannot {doing}: {}", in_full(source))]
    Api {
        /// The request that failed, in words.
        doing: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
    /// The harness could no longer observe the object that a step changes, so it is not known whether the change took
    /// effect.
    #[error("nothing is known of {resource} any more: {reason}")]
    Unseen {
        /// The object that the harness could no longer observe, in words.
        resource: String,
        /// The reason why the object could no longer be observed.
        reason: String,
    },
    /// A certificate for a `rotate` step could not be issued.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// An operation that only the owner of the cluster can do failed, or the harness does not own the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl ActError {
    /// Returns the error for a change that the cluster refused, or that did not take effect. `resource` is the object
    /// that could not be changed, and `detail` says what went wrong.
    pub(super) fn cause(resource: &str, detail: impl Into<String>) -> Self {
        Self::Cause(Cause::Resource { resource: resource.to_owned(), detail: detail.into() })
    }

    /// Returns the error for an object (`resource`) that the harness could no longer observe, so that the state of the
    /// object is not known.
    pub(super) fn unseen(resource: &str, reason: String) -> Self {
        Self::Unseen { resource: resource.to_owned(), reason }
    }

    /// Turns a failed request about `resource` into an error. If the apiserver refused the request, the error is a
    /// cause: the step fails, because the system under test may be the reason. If the apiserver did not or could not
    /// answer, the error is a failure of the harness.
    pub(super) fn of(resource: &str, doing: &str) -> impl FnOnce(kube::Error) -> Self {
        let (resource, doing) = (resource.to_owned(), format!("{doing} {resource}"));
        move |error| match error {
            source if is_transient(&source) => Self::Api { doing, source: Box::new(source) },
            kube::Error::Api(status) if status.code == 404 => Self::cause(&resource, "it does not exist"),
            kube::Error::Api(status) => Self::cause(&resource, format!("cannot {doing}: {}", status.message)),
            source => Self::Api { doing, source: Box::new(source) },
        }
    }

    /// Whether the error is temporary: the apiserver did not answer, was overloaded or failed, or an object could no
    /// longer be observed. A retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_transient(),
            Self::Api { source, .. } => is_transient(source),
            Self::Unseen { .. } => true,
            Self::Cause(_) | Self::Certificate(_) | Self::Cluster(_) => false,
        }
    }

    /// Converts the error into the form that the user reads: the message, a possible fix, and the evidence.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Apply(error) => error.failure(),
            Self::Cluster(error) => error.failure(),
            Self::Cause(_) | Self::Api { .. } | Self::Unseen { .. } | Self::Certificate(_) => {
                Failure { what: self.to_string(), fix: None, evidence: Vec::new() }
            }
        }
    }
}
