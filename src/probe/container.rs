//! A session with the agent in a container, over the engine's exec.

use std::sync::Arc;

use parallax_vocab::{Answer, Question};

use super::{AGENT_PATH, ProbeError, Session};
use parallax_engine::Engine;

/// The agent in one container outside the cluster. The session ends when this value is dropped.
#[derive(Debug)]
pub struct ContainerSession {
    session: Arc<Session>,
}

impl ContainerSession {
    /// Starts `parallax-agent session` in the running container `name`.
    pub async fn open(engine: &Engine, name: &str) -> Result<Self, ProbeError> {
        let place = format!("container {name}");
        let exec = engine.attach(name, &[AGENT_PATH, "session"]).await;
        let exec = exec.map_err(|why| ProbeError::Start { place: place.clone(), why: why.to_string() })?;
        let session = Session::open(place, exec.stdin, exec.stdout, exec.stderr, exec.ended).await?;
        Ok(Self { session: Arc::new(session) })
    }

    /// Asks one question and returns the answer.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        self.session.ask(question).await
    }

    /// Returns the session itself.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Ends the session with the agent.
    pub async fn close(self) {
        // A prober that still uses the session will drop it soon. The streams of the session end then.
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
    }
}
