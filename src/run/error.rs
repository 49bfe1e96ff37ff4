//! Why a run could not say anything about the system under test.

use parallax_vocab::VariantId;
use parallax_vocab::event::Failure;

use crate::act::ActError;
use crate::apply::ApplyError;
use crate::cluster::{ClusterError, is_transient};
use crate::probe::ProbeError;
use crate::probe::logs::LogError;
use crate::tokens::TokenError;
use parallax_engine::EngineError;
use parallax_images::ImageError;

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
    /// A log that could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
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
    /// Something that a flow stands on ended on its own.
    #[error("in namespace {namespace}, during `{variant}`, something ended that nobody ended: {}", ended.join("; "))]
    Died {
        /// In whose flow it was seen.
        variant: VariantId,
        /// The namespace.
        namespace: String,
        /// What ended, and how.
        ended: Vec<String>,
        /// What the steps came to; states, events and log lines of the namespace.
        evidence: Vec<String>,
    },
    /// What a flow did to its environment cannot be undone for the next.
    #[error("in namespace {namespace}, between two variants: {what}")]
    Left {
        /// The namespace.
        namespace: String,
        /// What is left, and why.
        what: String,
    },
    /// Something that a step asks does not answer: the apiserver, an agent, the engine.
    #[error(
        "{place}: step `{step}` has not ended {grace_s} s after its time of {within_s} s was over: what it asks does not answer"
    )]
    Overdue {
        /// `file:line`.
        place: String,
        /// The step.
        step: String,
        /// The step's own time, in seconds.
        within_s: u64,
        /// How long was waited past it, in seconds.
        grace_s: u64,
    },
    /// The run's own time was over before it ended.
    #[error("the run's time of {limit_s} s (--timeout) was over")]
    TimeOver {
        /// How long the run might take, in seconds.
        limit_s: u64,
        /// Variants that have no verdict.
        without: Vec<VariantId>,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    /// Whether it says nothing about what was asked for, and asking again may bring an answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_transient(),
            Self::Act(error) => error.is_transient(),
            Self::Token(error) => error.is_transient(),
            Self::Log(LogError::Api { source, .. }) => is_transient(source),
            _ => false,
        }
    }

    /// Whether somebody who was asked did not answer at all.
    pub(super) fn is_silence(&self) -> bool {
        self.is_transient() || matches!(self, Self::Overdue { .. })
    }

    /// With the variants that it leaves without a verdict.
    pub(super) fn naming(self, variants: &[&VariantId]) -> Self {
        match self {
            Self::TimeOver { limit_s, .. } => {
                Self::TimeOver { limit_s, without: variants.iter().map(|it| (*it).clone()).collect() }
            }
            other => other,
        }
    }

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
            Self::Died { evidence, .. } => Failure {
                what: self.to_string(),
                fix: Some(
                    "find out why it ended; where the scenario means it to end, let a step say so: `kill`, `end`, `restart`, `scale` \
                     or `delete`"
                        .to_owned(),
                ),
                evidence: evidence.clone(),
            },
            Self::Left { .. } => Failure {
                what: self.to_string(),
                fix: Some("change what is there by `patch`: a flow that does has its environment to itself".to_owned()),
                evidence: Vec::new(),
            },
            Self::Machine { fix, .. } => Failure { what: self.to_string(), fix: Some(fix.clone()), evidence: vec![] },
            Self::Overdue { .. } => Failure {
                what: self.to_string(),
                fix: Some(
                    "look whether the cluster's node and the engine still run; the node's log is in the run's folder"
                        .to_owned(),
                ),
                evidence: Vec::new(),
            },
            Self::TimeOver { without, .. } => Failure {
                what: self.to_string(),
                fix: Some("give it more time, or select fewer variants".to_owned()),
                evidence: without.iter().map(|id| format!("no verdict: {id}")).collect(),
            },
            Self::Probe(_) | Self::Log(_) | Self::Token(_) | Self::Step { .. } | Self::Interrupted => {
                Failure { what: self.to_string(), fix: None, evidence: Vec::new() }
            }
        }
    }
}
