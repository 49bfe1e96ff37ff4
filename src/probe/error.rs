//! Errors of the agent or the harness while asking; faults of the system under test are causes, not errors.

/// The agent or the harness failed. `place` names the vantage's pod and namespace.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The session's other end no longer exists.
    #[error("the agent in {place} is gone: {why}")]
    AgentGone {
        /// Where it ran.
        place: String,
        /// What ended it, with the last lines it wrote to standard error.
        why: String,
    },
    /// The session never began.
    #[error("failed to start the agent in {place}: {why}")]
    Start {
        /// Where it should run.
        place: String,
        /// What the apiserver, the process or its standard error said.
        why: String,
    },
    /// The two ends were built from different trees.
    #[error("the agent in {place} speaks protocol {theirs}, this harness {ours}; rebuild the agent's image")]
    Version {
        /// Where it runs.
        place: String,
        /// The agent's version.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// What came out of the session is not ours.
    #[error("the agent in {place} wrote what is not a frame: {why}; something else writes to its standard output")]
    Garbled {
        /// Where it runs.
        place: String,
        /// What was wrong with the bytes.
        why: String,
    },
    /// An answer is overdue, though the pod still stands.
    #[error("the agent in {place} did not answer within {waited_ms} ms, past the question's own deadline")]
    Overdue {
        /// Where it runs.
        place: String,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The question cannot be sent.
    #[error("the question does not fit the agent in {place}: {why}; ask for a smaller body")]
    Question {
        /// Where it should go.
        place: String,
        /// What does not fit.
        why: String,
    },
    /// A prober has not seen all that it was to see, or tells what cannot be.
    #[error("the prober cannot be counted: {why}")]
    Prober {
        /// What is wrong with it.
        why: String,
    },
    /// The probe itself crashed in this process.
    #[error("the probe crashed in the harness: {why}; this is a defect of Parallax")]
    Crashed {
        /// The panic's own words.
        why: String,
    },
}
