//! Errors of the agent or the harness while a question is asked. A fault of the system under test is not an error: it
//! is a cause inside the answer.

/// A failure of the agent or the harness. In most variants, the field `place` says where the agent runs, for example
/// `pod app of namespace test`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The agent no longer exists, although a session with it was open.
    #[error("the agent in {place} is gone: {why}")]
    AgentGone {
        /// Where the agent ran, for example `pod app of namespace test`.
        place: String,
        /// The reason why the agent ended. If the agent wrote to standard error, its last lines follow.
        why: String,
    },
    /// The session with the agent could not be started.
    #[error("failed to start the agent in {place}: {why}")]
    Start {
        /// The place where the agent should run.
        place: String,
        /// The reason why the session could not be started, from the apiserver, the container engine or the harness. If
        /// the agent wrote to standard error, its last lines follow.
        why: String,
    },
    /// The agent and the harness were built from different sources.
    #[error("the agent in {place} speaks protocol {theirs}, this harness {ours}; rebuild the agent's image")]
    Version {
        /// Where the agent runs, for example `pod app of namespace test`.
        place: String,
        /// The protocol version of the agent.
        theirs: u32,
        /// The protocol version of the harness.
        ours: u32,
    },
    /// The output of the session does not follow the agent's protocol.
    #[error("the agent in {place} wrote what is not a frame: {why}; something else writes to its standard output")]
    Garbled {
        /// Where the agent runs, for example `pod app of namespace test`.
        place: String,
        /// What is wrong with the agent's output.
        why: String,
    },
    /// An answer did not arrive in time, although the session with the agent is still open.
    #[error("the agent in {place} did not answer within {waited_ms} ms, past the question's own deadline")]
    Overdue {
        /// Where the agent runs, for example `pod app of namespace test`.
        place: String,
        /// The time for which the harness waited, in milliseconds.
        waited_ms: u64,
    },
    /// The question is too large to be sent.
    #[error("the question does not fit the agent in {place}: {why}; ask for a smaller body")]
    Question {
        /// Where the agent runs, for example `pod app of namespace test`.
        place: String,
        /// Which part of the question is too large.
        why: String,
    },
    /// The outcomes of a prober, which are the results of its questions, cannot be used: some are missing, or they
    /// cannot be true.
    #[error("the prober cannot be counted: {why}")]
    Prober {
        /// What is wrong with the outcomes, in words.
        why: String,
    },
    /// The probe panicked in the harness's own process.
    #[error("the probe crashed in the harness: {why}; this is a defect of Parallax")]
    Crashed {
        /// The message of the probe's panic.
        why: String,
    },
}
