//! The probers of one flow. All of them end when the flow ends, whether the flow passes, fails or is interrupted.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::probe::Prober;
use parallax_judge::{Expected, Seen};
use parallax_vocab::Question;

/// The running probers, by the id of the step that started them.
#[derive(Debug, Default)]
pub(super) struct Probers(Mutex<BTreeMap<String, Running>>);

/// One prober, and what is needed to judge its answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) prober: Prober,
    /// The prober's question. The private key of a client certificate has been removed.
    pub(super) question: Question,
    pub(super) expected: Expected,
    pub(super) seen: Seen,
}

impl Probers {
    /// Stores a prober under the id of its step. If the same step started a prober earlier, that prober is ended.
    pub(super) async fn keep(&self, step: &str, running: Running) {
        let before = self.0.lock().await.insert(step.to_owned(), running);
        if let Some(before) = before {
            before.prober.end().await;
        }
    }

    /// Locks the map of all probers, by the id of the step that started them. One lock for all is enough, because a
    /// flow uses one prober at a time.
    pub(super) async fn lock(&self) -> tokio::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.lock().await
    }

    /// Ends all probers. A prober sends its questions over a session with an agent. If the session has already ended,
    /// its prober has ended too, so this is no error.
    pub(super) async fn end(self) {
        let probers = self.0.into_inner().into_values();
        futures::future::join_all(probers.map(|it| it.prober.end())).await;
    }
}
