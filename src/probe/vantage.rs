//! A place to ask from.

use parallax_vocab::prober::ProberQuestion;
use parallax_vocab::{Answer, Question};
use tokio::task::JoinSet;

use super::{ContainerSession, PodSession, ProbeError, Prober};

/// A place where questions are asked.
#[derive(Debug)]
pub enum Vantage {
    /// This process. Where its packets really go is in each question's view.
    Outside,
    /// The agent in a pod.
    Pod(PodSession),
    /// The agent in a container outside the cluster.
    Container(ContainerSession),
}

impl Vantage {
    /// Asks one question; any number may be asked side by side. Dropping the future gives the question up.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        match self {
            Self::Outside => outside(question).await,
            Self::Pod(session) => session.ask(question).await,
            Self::Container(session) => session.ask(question).await,
        }
    }

    /// Starts a prober here: it runs where the vantage is, so that no way between delays it.
    pub async fn prober(&self, question: ProberQuestion) -> Result<Prober, ProbeError> {
        match self {
            Self::Outside => Ok(Prober::here(question)),
            Self::Pod(pod) => Prober::there(pod.session(), question).await,
            Self::Container(container) => Prober::there(container.session(), question).await,
        }
    }

    /// Ends the session, if there is one.
    pub async fn close(self) {
        match self {
            Self::Outside => {}
            Self::Pod(session) => session.close().await,
            Self::Container(session) => session.close().await,
        }
    }
}

/// Asks in a task of its own, so that a crash of the probe is told apart from an answer; dropped with the caller.
async fn outside(question: Question) -> Result<Answer, ProbeError> {
    let mut task = JoinSet::new();
    task.spawn(async move { parallax_probe::ask(&question).await });
    match task.join_next().await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(why)) => Err(ProbeError::Crashed { why: why.to_string() }),
        None => Err(ProbeError::Crashed { why: "its task vanished".to_owned() }),
    }
}
