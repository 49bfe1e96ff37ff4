//! The server-side witness: what the store's own trace says of who asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parallax_probe::trace::{self, Trace, Traced};
use parallax_vocab::question::{S3Access, View};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The trace follows the answer by milliseconds; a request that it does not show within this time is not confirmed.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(3);
/// MinIO sends the head of its answer with the first thing it has to tell: a request, or a keep-alive each second.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// Requests kept; a run asks far fewer of one store.
const KEPT: usize = 4096;

/// Between two tries to open the trace of a store that is being restarted: it gives no notice.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Follows one store's trace until dropped; of a store that is restarted, from its new beginning on.
#[derive(Debug)]
pub(super) struct StoreWitness {
    shared: Arc<Shared>,
    news: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<BTreeMap<String, Traced>>,
    /// Certificates under which the store may be met, the newest last.
    pins: Mutex<Vec<Vec<u8>>>,
    /// Since when the trace is followed without a gap, since the Unix epoch; none while it is not.
    since: Mutex<Option<Duration>>,
}

impl StoreWitness {
    /// Opens the trace. It is open when this returns: whatever is asked from now on is seen.
    pub(super) async fn open(view: View, access: &S3Access) -> Result<Self, String> {
        let lines = opened(view.clone(), access).await?;
        let shared = Arc::new(Shared::default());
        shared.pins().extend(view.pin.clone());
        shared.follows(true);
        let (send, news) = watch::channel(0);
        let (kept, access) = (Arc::clone(&shared), access.clone());
        let task = tokio::spawn(async move {
            let mut lines = lines;
            loop {
                kept.follow(&mut lines, &send).await;
                kept.follows(false);
                lines = kept.again(&view, &access).await;
                kept.follows(true);
            }
        });
        Ok(Self { shared, news, task })
    }

    /// A further certificate under which the store may be met when the trace has to be opened again.
    pub(super) fn trust_also(&self, der: Vec<u8>) {
        self.shared.pins().push(der);
    }

    /// Whether every request since then would have been seen.
    pub(super) fn watched_since(&self, began: Duration) -> bool {
        self.shared.since.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since <= began)
    }

    /// What the store saw of a request.
    pub(super) async fn of(&self, request_id: &str) -> Option<Traced> {
        let mut news = self.news.clone();
        let known = |_: &usize| self.get(request_id).is_some();
        let _ = tokio::time::timeout(FOLLOWS_WITHIN, news.wait_for(known)).await;
        self.get(request_id)
    }

    fn get(&self, request_id: &str) -> Option<Traced> {
        self.shared.seen().get(request_id).cloned()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Traced>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follows(&self, open: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = now.filter(|_| open);
    }

    /// Keeps what the trace shows, until it ends.
    async fn follow(&self, lines: &mut Trace, send: &watch::Sender<usize>) {
        while let Some(traced) = lines.next().await {
            let count = {
                let mut seen = self.seen();
                if seen.len() < KEPT {
                    seen.insert(traced.request_id.clone(), traced);
                }
                seen.len()
            };
            // Not under the lock: whoever waits holds the channel's while it looks into the map.
            send.send_replace(count);
        }
    }

    /// Opens the trace anew, under whichever certificate the store now has. The witness's end ends this too.
    async fn again(&self, view: &View, access: &S3Access) -> Trace {
        loop {
            let pins = self.pins().clone();
            for pin in pins.into_iter().rev().map(Some).chain(view.pin.is_none().then_some(None)) {
                if let Ok(lines) = opened(View { pin, ..view.clone() }, access).await {
                    return lines;
                }
            }
            // A store that comes back gives no notice here.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

async fn opened(view: View, access: &S3Access) -> Result<Trace, String> {
    tokio::time::timeout(OPENS_WITHIN, trace::open(view, access))
        .await
        .map_err(|_| "the trace did not open in time".to_owned())?
        .map_err(|cause| cause.to_string())
}

impl Drop for StoreWitness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
