//! The server-side witness: what the store's own trace says of who asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parallax_probe::trace::{self, Traced};
use parallax_vocab::question::{S3Access, View};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The trace follows the answer by milliseconds; a request that it does not show within this time is not confirmed.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(3);
/// MinIO sends the head of its answer with the first thing it has to tell: a request, or a keep-alive each second.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// Requests kept; a run asks far fewer of one store.
const KEPT: usize = 4096;

/// Follows one store's trace until dropped.
#[derive(Debug)]
pub(super) struct StoreWitness {
    seen: Arc<Mutex<BTreeMap<String, Traced>>>,
    news: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl StoreWitness {
    /// Opens the trace. It is open when this returns: whatever is asked from now on is seen.
    pub(super) async fn open(view: View, access: &S3Access) -> Result<Self, String> {
        let mut lines = tokio::time::timeout(OPENS_WITHIN, trace::open(view, access))
            .await
            .map_err(|_| "the trace did not open in time".to_owned())?
            .map_err(|cause| cause.to_string())?;
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (send, news) = watch::channel(0);
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Some(traced) = lines.next().await {
                let count = {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() < KEPT {
                        kept.insert(traced.request_id.clone(), traced);
                    }
                    kept.len()
                };
                // Not under the lock: whoever waits holds the channel's while it looks into the map.
                send.send_replace(count);
            }
        });
        Ok(Self { seen, news, task })
    }

    /// What the store saw of a request.
    pub(super) async fn of(&self, request_id: &str) -> Option<Traced> {
        let mut news = self.news.clone();
        let known = |_: &usize| self.get(request_id).is_some();
        let _ = tokio::time::timeout(FOLLOWS_WITHIN, news.wait_for(known)).await;
        self.get(request_id)
    }

    fn get(&self, request_id: &str) -> Option<Traced> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(request_id).cloned()
    }
}

impl Drop for StoreWitness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
