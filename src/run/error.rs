//! Errors after which a run, or a part of it, gives no verdict about the system under test.

use kube::Client;
use parallax_vocab::VariantId;
use parallax_vocab::event::Failure;

use crate::act::ActError;
use crate::apply::{self, Absent, ApplyError, Outlook};
use crate::cluster::{ClusterError, is_transient};
use crate::probe::ProbeError;
use crate::probe::logs::LogError;
use crate::tokens::TokenError;
use parallax_engine::EngineError;
use parallax_images::ImageError;

/// A failure of the harness, the engine or the machine, or of the environment that a variant needs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The container engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An image could not be obtained or built.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A cluster could not be started or used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An environment could not be set up, or a request to the apiserver failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A change to the cluster could not be carried out.
    #[error(transparent)]
    Act(#[from] ActError),
    /// A question could not be asked at its vantage.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The token for a step could not be created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The harness itself sent a request to a store during the set-up or between two variants. The store refused the
    /// request, or did not answer.
    #[error("store {store} in namespace {namespace}: {doing}: {reason}")]
    Store {
        /// The id of the store's fixture.
        store: String,
        /// The namespace of the store's environment.
        namespace: String,
        /// What the harness requested from the store, in words.
        doing: String,
        /// The answer of the store, or the error of the request.
        reason: String,
        /// Whether the store did not answer any try of the request.
        is_silence: bool,
        /// The states of pods, the events and the log lines of the namespace. Empty until [`RunError::with_evidence`] reads
        /// them.
        evidence: Vec<String>,
    },
    /// The machine lacks something that the run needs.
    #[error("{what}")]
    Machine {
        /// The thing that the machine lacks.
        what: String,
        /// What the user can do so that the machine has what it lacks.
        fix: String,
    },
    /// A step cannot be carried out as the scenario describes it. The system under test is not the reason.
    #[error("{place}: step `{step}`: {reason}")]
    Step {
        /// The place of the step in the scenario file, as `file:line`.
        place: String,
        /// The id of the step.
        step: String,
        /// The reason why the step cannot be carried out.
        reason: String,
    },
    /// A step sends its question from an application's own pod, but no agent could be placed there.
    #[error("{place}: step `{step}`: {absent}")]
    Guest {
        /// The place of the step in the scenario file, as `file:line`.
        place: String,
        /// The id of the step.
        step: String,
        /// The reason why no agent could be placed in the application's pod. The reason names the vantage.
        absent: Absent,
    },
    /// A container or a node on which a flow depends ended although no step ended it.
    #[error("in namespace {namespace}, during `{variant}`, something ended that nobody ended: {}", ended.join("; "))]
    Died {
        /// The variant during whose flow the harness noticed that the container or the node had ended.
        variant: VariantId,
        /// The namespace of the variant's environment.
        namespace: String,
        /// The containers and nodes that ended, each with a description of how it ended.
        ended: Vec<String>,
        /// The results of the variant's steps, and the states of objects, the events and the log lines in the
        /// namespace.
        evidence: Vec<String>,
    },
    /// The changes of a flow to its environment cannot be undone. So the next variant cannot use the environment.
    #[error("in namespace {namespace}, between two variants: {what}")]
    Left {
        /// The namespace of the environment that the flow changed.
        namespace: String,
        /// The change that could not be undone, and the reason.
        what: String,
    },
    /// A step has exceeded its time limit and has still not ended, because the apiserver, an agent or the engine does
    /// not answer.
    #[error(
        "{place}: step `{step}` has not ended {grace_s} s after its time of {within_s} s was over: what it asks does not answer"
    )]
    Overdue {
        /// The place of the step in the scenario file, as `file:line`.
        place: String,
        /// The id of the step.
        step: String,
        /// The step's own time limit, in seconds.
        within_s: u64,
        /// The time that the harness waited after the step's time limit, in seconds.
        grace_s: u64,
    },
    /// The run's time limit was reached before the run ended.
    #[error("the run's time of {limit_s} s (--timeout) was over")]
    TimeOver {
        /// The time limit of the run, in seconds.
        limit_s: u64,
        /// The variants that have no verdict.
        without: Vec<VariantId>,
    },
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    /// Whether the error is transient: the apiserver did not answer, was overloaded or failed, or an object could no
    /// longer be observed. Another try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_transient(),
            Self::Act(error) => error.is_transient(),
            Self::Token(error) => error.is_transient(),
            Self::Guest { absent, .. } => absent.outlook == Outlook::Silent,
            Self::Log(LogError::Api { source, .. }) => is_transient(source),
            _ => false,
        }
    }

    /// Whether a step with `eventually` may be tried again after the error. This is so in two cases: the error is
    /// transient, or the step sends its question from an application's own pod that does not run yet.
    pub(super) fn may_pass(&self) -> bool {
        let is_awaited = matches!(self, Self::Guest { absent, .. } if absent.outlook == Outlook::NotYet);
        is_awaited || self.is_transient()
    }

    /// Whether the error comes from the harness, the engine or the machine, so that another try may succeed. Most other
    /// errors may come from the system under test: the unexpected end of a container, a change that cannot be undone,
    /// or a refusal by the store or the apiserver.
    pub(super) fn is_of_the_machine(&self) -> bool {
        match self {
            Self::Engine(_)
            | Self::Image(_)
            | Self::Cluster(_)
            | Self::Act(_)
            | Self::Probe(_)
            | Self::Log(_)
            | Self::Token(_)
            | Self::Machine { .. }
            | Self::Overdue { .. } => true,
            Self::Apply(error) => !error.is_of_the_project(),
            Self::Store { is_silence, .. } => *is_silence,
            Self::Guest { absent, .. } => absent.outlook == Outlook::Silent,
            Self::Step { .. } | Self::Died { .. } | Self::Left { .. } | Self::TimeOver { .. } | Self::Interrupted => {
                false
            }
        }
    }

    /// Whether the error means that a component, such as the apiserver or an agent, did not answer at all.
    pub(super) fn is_silence(&self) -> bool {
        self.is_transient() || matches!(self, Self::Overdue { .. })
    }

    /// If the error is [`Self::Store`], adds what the pods of the store's namespace say. Returns any other error
    /// unchanged.
    pub(super) async fn with_evidence(mut self, client: &Client) -> Self {
        if let Self::Store { namespace, evidence, .. } = &mut self
            && evidence.is_empty()
        {
            *evidence = apply::evidence(client, namespace).await;
        }
        self
    }

    /// If the error is [`Self::TimeOver`], adds the variants without a verdict to it. Returns any other error
    /// unchanged.
    pub(super) fn naming(self, variants: &[&VariantId]) -> Self {
        match self {
            Self::TimeOver { limit_s, .. } => {
                Self::TimeOver { limit_s, without: variants.iter().map(|it| (*it).clone()).collect() }
            }
            other => other,
        }
    }

    /// Converts the error into the form that the user reads: the message, a possible fix, and the evidence.
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
            Self::Probe(_)
            | Self::Log(_)
            | Self::Token(_)
            | Self::Step { .. }
            | Self::Guest { .. }
            | Self::Interrupted => {
                Failure { what: self.to_string(), fix: None, evidence: Vec::new() }
            }
        }
    }
}
