//! A vantage: a place from which questions are asked.

use parallax_vocab::prober::ProberQuestion;
use parallax_vocab::{Answer, Question};
use tokio::task::JoinSet;

use super::{ContainerSession, PodSession, ProbeError, Prober};

/// An open vantage: a place from which questions can be asked.
#[derive(Debug)]
pub enum Vantage {
    /// The probe runs in this process. The view in each question says to which addresses the packets really go.
    Outside,
    /// The probe runs in this process, but the programs of a scenario run isolated from the other processes of this
    /// machine.
    Apart,
    /// The probe runs in the agent in a pod.
    Pod(PodSession),
    /// The probe runs in the agent in a container outside the cluster.
    Container(ContainerSession),
}

impl Vantage {
    /// Asks one question. Any number of questions may run concurrently. Dropping the future cancels the question.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        match self {
            Self::Outside => here(async move { parallax_probe::ask(&question).await }).await,
            Self::Apart => here(async move { parallax_probe::ask_apart(&question).await }).await,
            Self::Pod(session) => session.ask(question).await,
            Self::Container(session) => session.ask(question).await,
        }
    }

    /// Starts a prober. The prober runs at the vantage itself, so that the connection between the harness and the
    /// vantage does not delay its questions.
    pub async fn prober(&self, question: ProberQuestion) -> Result<Prober, ProbeError> {
        match self {
            Self::Outside | Self::Apart => Ok(Prober::here(question)),
            Self::Pod(pod) => Prober::there(pod.session(), question).await,
            Self::Container(container) => Prober::there(container.session(), question).await,
        }
    }

    /// Whether questions can be asked. If this vantage has a session with the agent, the session must still be open.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Outside | Self::Apart => true,
            Self::Pod(session) => session.session().is_open(),
            Self::Container(session) => session.session().is_open(),
        }
    }

    /// Ends the session with the agent, if this vantage has one.
    pub async fn close(self) {
        match self {
            Self::Outside | Self::Apart => {}
            Self::Pod(session) => session.close().await,
            Self::Container(session) => session.close().await,
        }
    }
}

/// Runs a probe in a task of its own, so that a panic of the probe becomes an error and not an answer. If the future is
/// dropped, the task ends.
async fn here(answer: impl Future<Output = Answer> + Send + 'static) -> Result<Answer, ProbeError> {
    let mut task = JoinSet::new();
    task.spawn(answer);
    match task.join_next().await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(why)) => Err(ProbeError::Crashed { why: why.to_string() }),
        None => Err(ProbeError::Crashed { why: "its task vanished".to_owned() }),
    }
}
