//! Why a run could not say anything about the system under test.

use parallax_vocab::event::Failure;

use crate::act::ActError;
use crate::apply::ApplyError;
use crate::cluster::ClusterError;
use crate::engine::EngineError;
use crate::images::ImageError;
use crate::probe::ProbeError;
use crate::tokens::TokenError;

/// A failure of the harness, the engine or the machine.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An environment.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An act that could not be done.
    #[error(transparent)]
    Act(#[from] ActError),
    /// A probe that could not be asked.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A token that a step asks for.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store's set-up traffic was refused or did not come through.
    #[error("store {store} in namespace {namespace}: {doing}: {reason}")]
    Store {
        /// The fixture.
        store: String,
        /// Its namespace.
        namespace: String,
        /// What was being done.
        doing: String,
        /// What came back.
        reason: String,
        /// States, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// A machine that cannot do it.
    #[error("{what}")]
    Machine {
        /// What is missing.
        what: String,
        /// What to do about it.
        fix: String,
    },
    /// A step could not be made into a question; the loader should have refused it.
    #[error("{place}: step `{step}`: {reason}")]
    Step {
        /// `file:line`.
        place: String,
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    /// The failure as a person reads it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Engine(error) => Failure { what: error.to_string(), fix: error.fix(), evidence: error.evidence() },
            Self::Image(error) => error.failure(),
            Self::Cluster(error) => error.failure(),
            Self::Apply(error) => error.failure(),
            Self::Act(error) => error.failure(),
            Self::Store { evidence, .. } => Failure {
                what: self.to_string(),
                fix: Some("the lines below show the namespace's pods and events".to_owned()),
                evidence: evidence.clone(),
            },
            Self::Machine { fix, .. } => Failure { what: self.to_string(), fix: Some(fix.clone()), evidence: vec![] },
            Self::Probe(_) | Self::Token(_) | Self::Step { .. } | Self::Interrupted => {
                Failure { what: self.to_string(), fix: None, evidence: Vec::new() }
            }
        }
    }
}
