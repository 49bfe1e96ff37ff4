//! A session with the agent in a container, over the engine's exec.

use parallax_vocab::{Answer, Question};

use super::{AGENT_PATH, ProbeError, Session};
use crate::engine::Engine;

/// The agent in one container outside the cluster. Its session lives as long as this.
#[derive(Debug)]
pub struct ContainerSession {
    session: Session,
}

impl ContainerSession {
    /// Starts `parallax-agent session` in the running container `name`.
    pub async fn open(engine: &Engine, name: &str) -> Result<Self, ProbeError> {
        let place = format!("container {name}");
        let exec = engine.attach(name, &[AGENT_PATH, "session"]).await;
        let exec = exec.map_err(|why| ProbeError::Start { place: place.clone(), why: why.to_string() })?;
        Ok(Self { session: Session::open(place, exec.stdin, exec.stdout, exec.stderr, exec.ended).await? })
    }

    /// Asks one question.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        self.session.ask(question).await
    }

    /// Ends the session.
    pub async fn close(self) {
        self.session.close().await;
    }
}
