//! Errors of the agent or the harness while a question is asked. Faults of the system under test are causes, not
//! errors.

/// The agent or the harness failed. `place` names the vantage's pod and namespace.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The session's other end no longer exists.
    #[error("the agent in {place} is gone: {why}")]
    AgentGone {
        /// The place of the agent.
        place: String,
        /// The reason why the agent ended, with its last lines on standard error.
        why: String,
    },
    /// The session could not be started.
    #[error("failed to start the agent in {place}: {why}")]
    Start {
        /// The place at which the session should run.
        place: String,
        /// The reason, from the apiserver, the container engine or the harness. If the agent wrote to standard error,
        /// its last lines follow.
        why: String,
    },
    /// The agent and the harness were built from different sources.
    #[error("the agent in {place} speaks protocol {theirs}, this harness {ours}; rebuild the agent's image")]
    Version {
        /// The place of the agent.
        place: String,
        /// The protocol version of the agent.
        theirs: u32,
        /// The protocol version of the harness.
        ours: u32,
    },
    /// The session's output is not the agent's protocol.
    #[error("the agent in {place} wrote what is not a frame: {why}; something else writes to its standard output")]
    Garbled {
        /// The place of the agent.
        place: String,
        /// The fault in the bytes.
        why: String,
    },
    /// An answer is overdue, although the pod still exists.
    #[error("the agent in {place} did not answer within {waited_ms} ms, past the question's own deadline")]
    Overdue {
        /// The place of the agent.
        place: String,
        /// The time for which the harness waited.
        waited_ms: u64,
    },
    /// The question is too large to be sent.
    #[error("the question does not fit the agent in {place}: {why}; ask for a smaller body")]
    Question {
        /// The place to which the question should be sent.
        place: String,
        /// The part that is too large.
        why: String,
    },
    /// A prober has missed outcomes, or reported impossible ones.
    #[error("the prober cannot be counted: {why}")]
    Prober {
        /// The description of the error.
        why: String,
    },
    /// The probe crashed in this process.
    #[error("the probe crashed in the harness: {why}; this is a defect of Parallax")]
    Crashed {
        /// The message of the panic.
        why: String,
    },
}
