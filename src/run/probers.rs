//! The probers of one flow: they end with it, however it ends.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::probe::Prober;
use parallax_judge::{Expected, Seen};

/// The probers that run, by the id of the step that started them.
#[derive(Debug, Default)]
pub(super) struct Probers(Mutex<BTreeMap<String, Running>>);

/// One prober, and what a success is for it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) prober: Prober,
    pub(super) expected: Expected,
    pub(super) seen: Seen,
}

impl Probers {
    /// Keeps a prober; one that was started by the same step before ends.
    pub(super) async fn keep(&self, step: &str, running: Running) {
        let before = self.0.lock().await.insert(step.to_owned(), running);
        if let Some(before) = before {
            before.prober.end().await;
        }
    }

    /// All of them, by step: a flow asks one at a time.
    pub(super) async fn lock(&self) -> tokio::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.lock().await
    }

    /// Ends all of them. Where the session is gone, so are they.
    pub(super) async fn end(self) {
        let probers = self.0.into_inner().into_values();
        futures::future::join_all(probers.map(|it| it.prober.end())).await;
    }
}
