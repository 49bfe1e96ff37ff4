//! A session with the agent in a container outside the cluster, over the exec of the container engine.

use std::sync::Arc;

use parallax_vocab::{Answer, Question};

use super::{AGENT_SESSION, ProbeError, Session};
use parallax_engine::Engine;

/// A session with the agent in one container outside the cluster. The session ends when this value and all probers that
/// use the session are dropped.
#[derive(Debug)]
pub struct ContainerSession {
    session: Arc<Session>,
}

impl ContainerSession {
    /// Starts `parallax-agent session` in the running container `name`, and waits for the first message of the agent.
    pub async fn open(engine: &Engine, name: &str) -> Result<Self, ProbeError> {
        let place = format!("container {name}");
        let exec = engine.attach(name, &AGENT_SESSION).await;
        let exec = exec.map_err(|why| ProbeError::Start { place: place.clone(), why: why.to_string() })?;
        let session = Session::open(place, exec.stdin, exec.stdout, exec.stderr, exec.ended).await?;
        Ok(Self { session: Arc::new(session) })
    }

    /// Asks one question and returns the answer.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        self.session.ask(question).await
    }

    /// Returns the session itself. A prober keeps it as long as the prober runs.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Ends the session with the agent.
    pub async fn close(self) {
        // If a prober still uses the session, the session ends when the prober drops it.
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
    }
}
