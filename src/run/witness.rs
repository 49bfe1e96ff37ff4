//! The server-side witness: what the trace of a store says of who asked, for stores whose fixture declares one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;
use parallax_probe::store::{self, Trace, TraceEvent, Traced};
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Cause, WitnessKind, millis};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The trace follows the answer by milliseconds, by more where the machine is busy: a request is missing from it when,
/// this long after the answer, the store has said [`IDLE_TIMES`] times that it has nothing more to tell.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(3);
/// A keep-alive comes each second; the first may have been on its way before the answer was.
const IDLE_TIMES: u64 = 3;
/// A store that is never idle for so long is asked without end, and says nothing of one request.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// The head of a trace may come with the first thing that there is to tell: a request, or a keep-alive each second.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// Requests kept of one store, the newest: a witness is asked for right after the answer.
const KEPT: usize = 4096;

/// Between two tries to open the trace of a store that is new or is being restarted: it gives no notice.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Follows one store's trace until dropped; of a store that is restarted, from its new beginning on.
#[derive(Debug)]
pub(super) struct StoreWitness {
    shared: Arc<Shared>,
    news: watch::Receiver<News>,
    task: JoinHandle<()>,
}

/// How far the trace has come.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// Since when the trace is followed without a gap, since the Unix epoch; none while it is not.
    since: Option<Duration>,
    /// Keep-alives so far.
    idle: u64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<IndexMap<String, Traced>>,
    /// Certificates under which the store may be met, the newest last.
    pins: Mutex<Vec<Vec<u8>>>,
}

impl StoreWitness {
    /// Opens the trace. It is open when this returns: whatever is asked from now on is seen. None where there is no witness.
    pub(super) async fn open(kind: WitnessKind, view: View, access: &S3Access) -> Result<Option<Self>, String> {
        let began = Instant::now();
        let lines = loop {
            match opened(kind, view.clone(), access).await {
                Ok(Some(lines)) => break lines,
                Ok(None) => return Ok(None),
                // A pod may reach a new store a moment before the node routes the connections of others to it.
                Err(Cause::Connect { .. }) if began.elapsed() < OPENS_WITHIN => tokio::time::sleep(AGAIN_AFTER).await,
                Err(cause) => return Err(cause.to_string()),
            }
        };
        let shared = Arc::new(Shared::default());
        shared.pins().extend(view.pin.clone());
        let (send, news) = watch::channel(News { since: now(), idle: 0 });
        let (kept, access) = (Arc::clone(&shared), access.clone());
        let task = tokio::spawn(async move {
            let mut lines = lines;
            loop {
                kept.follow(&mut lines, &send).await;
                send.send_modify(|news| news.since = None);
                lines = kept.again(kind, &view, &access).await;
                send.send_modify(|news| news.since = now());
            }
        });
        Ok(Some(Self { shared, news, task }))
    }

    /// A further certificate under which the store may be met when the trace has to be opened again.
    pub(super) fn trust_also(&self, der: Vec<u8>) {
        self.shared.pins().push(der);
    }

    /// Whether every request since then would have been seen.
    pub(super) fn watched_since(&self, began: Duration) -> bool {
        self.news.borrow().since.is_some_and(|since| since <= began)
    }

    /// What the store saw of a request that it has answered; `None` when its trace does not show it, or is not open.
    pub(super) async fn of(&self, request_id: &str) -> Option<Traced> {
        let mut news = self.news.clone();
        let (idle_before, not_before) = (news.borrow().idle, Instant::now() + FOLLOWS_WITHIN);
        let told = |news: &News| {
            let silent = news.idle >= idle_before + IDLE_TIMES && Instant::now() >= not_before;
            self.get(request_id).is_some() || silent || news.since.is_none()
        };
        if tokio::time::timeout(TOLD_WITHIN, news.wait_for(told)).await.is_err() {
            tracing::debug!(request_id, "the store's trace was never idle, and did not show a request");
        }
        self.get(request_id)
    }

    fn get(&self, request_id: &str) -> Option<Traced> {
        self.shared.seen().get(request_id).cloned()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, IndexMap<String, Traced>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what the trace shows, until it ends.
    async fn follow(&self, lines: &mut Trace, send: &watch::Sender<News>) {
        loop {
            let told = match lines.next().await {
                Ok(told) => told,
                Err(why) => {
                    tracing::info!(%why, "the trace of a store is opened again");
                    return;
                }
            };
            let idle = matches!(told, TraceEvent::Idle);
            if let TraceEvent::Request(traced) = told {
                let mut seen = self.seen();
                if seen.len() == KEPT {
                    seen.shift_remove_index(0);
                }
                seen.insert(traced.request_id.clone(), traced);
            }
            // Not under the lock: whoever waits holds the channel's while it looks into the map.
            send.send_modify(|news| news.idle += u64::from(idle));
        }
    }

    /// Opens the trace anew, under whichever certificate the store now has. The witness's end ends this too.
    async fn again(&self, kind: WitnessKind, view: &View, access: &S3Access) -> Trace {
        loop {
            let pins = self.pins().clone();
            for pin in pins.into_iter().rev().map(Some).chain(view.pin.is_none().then_some(None)) {
                match opened(kind, View { pin, ..view.clone() }, access).await {
                    Ok(Some(lines)) => return lines,
                    Ok(None) => return std::future::pending().await,
                    Err(why) => tracing::debug!(%why, "the trace of a store does not open"),
                }
            }
            // A store that comes back gives no notice here.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Since the Unix epoch.
fn now() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

async fn opened(kind: WitnessKind, view: View, access: &S3Access) -> Result<Option<Trace>, Cause> {
    let late = |_| Cause::Deadline { waited_ms: millis(OPENS_WITHIN), detail: "the trace did not open".to_owned() };
    tokio::time::timeout(OPENS_WITHIN, store::trace(kind, view, access)).await.map_err(late)?
}

impl Drop for StoreWitness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::event::Arrived;

    use super::*;

    fn witness(followed: bool) -> (Arc<StoreWitness>, watch::Sender<News>) {
        let (send, news) = watch::channel(News { since: followed.then(now).flatten(), idle: 0 });
        let witness = StoreWitness { shared: Arc::default(), news, task: tokio::spawn(std::future::pending()) };
        (Arc::new(witness), send)
    }

    fn traced(id: &str) -> Traced {
        let (source, host) = ("10.42.0.7".to_owned(), "minio.example.com".to_owned());
        Traced { request_id: id.to_owned(), source, host, arrived: Arrived::default() }
    }

    #[tokio::test]
    async fn a_request_that_the_trace_shows_is_known_whether_it_comes_before_or_after_the_question() {
        let (witness, send) = witness(true);
        witness.shared.seen().insert("a".to_owned(), traced("a"));
        assert_eq!(witness.of("a").await, Some(traced("a")));

        let asked = tokio::spawn({
            let witness = Arc::clone(&witness);
            async move { witness.of("b").await }
        });
        tokio::task::yield_now().await;
        witness.shared.seen().insert("b".to_owned(), traced("b"));
        send.send_modify(|_| ());
        assert_eq!(asked.await.expect("it ends"), Some(traced("b")));
    }

    #[tokio::test]
    async fn a_trace_that_is_not_open_is_not_waited_for() {
        let (witness, send) = witness(false);
        assert_eq!(witness.of("a").await, None);
        drop(send);
    }

    #[tokio::test]
    async fn a_request_is_missing_when_the_store_has_nothing_more_to_tell() {
        let (witness, send) = witness(true);
        let asked = tokio::spawn({
            let witness = Arc::clone(&witness);
            async move { witness.of("a").await }
        });
        while !asked.is_finished() {
            send.send_modify(|news| news.idle += 1);
            // As the store does, again and again until the question has its answer.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(asked.await.expect("it ends"), None);
        assert!(send.borrow().idle >= IDLE_TIMES);
    }
}
