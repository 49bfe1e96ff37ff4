//! The witness of a store: reads from the store's trace which address sent a request. Only a store whose fixture
//! declares a witness has a trace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;
use parallax_probe::store::{self, Trace, TraceEvent, Traced};
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Answer, Cause, WitnessKind, millis};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::store::repeated;

/// The trace shows a request some milliseconds after the store's answer, or later on a busy machine. A request counts
/// as missing if, after the answer, this time has passed and the store has sent [`IDLE_TIMES`] keep-alives. A
/// keep-alive means that the trace is complete so far.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(3);
/// The number of keep-alives after an answer that show that the trace is complete. The store sends a keep-alive each
/// second. A single one is not enough, because the store may have sent it before the answer.
const IDLE_TIMES: u64 = 3;
/// The longest wait until the trace shows one request, if the step's time does not end the wait earlier. A store that
/// sends no keep-alives during this time is constantly busy, and nobody can know whether its trace is complete.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// The time limit for opening a trace. A store may send the HTTP response headers of the trace only when it has
/// something to show: a request, or a keep-alive.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// The largest number of requests that are remembered for one store. The oldest requests are dropped. This number is
/// enough, because a request is looked up right after its answer.
const KEPT_REQUESTS: usize = 4096;

/// The pause between two tries to open the trace of a store that starts or restarts. The code polls because no event
/// reports that the store is ready.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A task that follows one store's trace. After a restart of the store, the task opens the trace again. Dropping this
/// value ends the task.
#[derive(Debug)]
pub(super) struct StoreWitness {
    shared: Arc<Shared>,
    news: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

/// What a trace says about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The trace shows the request.
    Seen(Traced),
    /// The trace is complete and does not show the request.
    Missing,
    /// The trace says nothing: it is not open, or the store was busy until the end of the wait.
    Unknown,
}

/// What is known about the completeness of a trace: the time since which the harness has followed it, and the number of
/// its keep-alives.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The time since the Unix epoch from which the trace has been followed without a gap. `None` while the trace is
    /// not open.
    since: Option<Duration>,
    /// The number of keep-alives that the trace has shown so far.
    idle: u64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<IndexMap<String, Traced>>,
    /// The certificates, in DER form, that the store may present when the trace is opened again. The newest certificate
    /// is the last.
    pins: Mutex<Vec<Vec<u8>>>,
}

impl StoreWitness {
    /// Opens the trace. When this function returns, the trace is open and shows every later request. Returns `None` if
    /// the store has no witness.
    pub(super) async fn open(kind: WitnessKind, view: View, access: &S3Access) -> Result<Option<Self>, Cause> {
        // The harness connects from outside the cluster, and a node may route such connections to a new store a moment
        // later than connections of pods. Therefore the code repeats the attempt.
        let Some(lines) = repeated(|| opened(kind, view.clone(), access)).await? else { return Ok(None) };
        let shared = Arc::new(Shared::default());
        shared.pins().extend(view.pin.clone());
        let (send, news) = watch::channel(Progress { since: now(), idle: 0 });
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

    /// Adds a certificate (`der`) to the list of certificates that the store may present when the trace is opened
    /// again.
    pub(super) fn trust_also(&self, der: Vec<u8>) {
        self.shared.pins().push(der);
    }

    /// Whether the trace has been followed without a gap since the time `began`, so that it shows every request since
    /// then.
    pub(super) fn watched_since(&self, began: Duration) -> bool {
        self.news.borrow().since.is_some_and(|since| since <= began)
    }

    /// Waits for at most `within` until the trace shows the request with this id, or is complete without this request.
    /// Call this function after the store's answer: the trace shows a request some time after its answer.
    pub(super) async fn of(&self, request_id: &str, within: Duration) -> Sight {
        let mut news = self.news.clone();
        let (idle_before, not_before) = (news.borrow().idle, Instant::now() + FOLLOWS_WITHIN);
        let is_decided = |news: &Progress| {
            let silent = news.idle >= idle_before + IDLE_TIMES && Instant::now() >= not_before;
            self.get(request_id).is_some() || silent || news.since.is_none()
        };
        let waited = tokio::time::timeout(within.min(GIVE_UP_AFTER), news.wait_for(is_decided)).await;
        let is_open = match waited {
            Ok(Ok(news)) => news.since.is_some(),
            // The task that follows the trace has ended, so the trace is not open.
            Ok(Err(_)) => false,
            Err(_) => {
                tracing::debug!(request_id, "the store's trace was never idle, and did not show a request");
                false
            }
        };
        match self.get(request_id) {
            Some(traced) => Sight::Seen(traced),
            None if is_open => Sight::Missing,
            None => Sight::Unknown,
        }
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

    /// Stores the requests that the trace shows, until the trace is interrupted.
    async fn follow(&self, lines: &mut Trace, send: &watch::Sender<Progress>) {
        loop {
            let event = match lines.next().await {
                Ok(event) => event,
                Err(why) => {
                    tracing::info!(%why, "the trace of a store is opened again");
                    return;
                }
            };
            let idle = matches!(event, TraceEvent::Idle);
            if let TraceEvent::Request(traced) = event {
                let mut seen = self.seen();
                if seen.len() == KEPT_REQUESTS {
                    seen.shift_remove_index(0);
                }
                seen.insert(traced.request_id.clone(), traced);
            }
            // This task must not hold the lock of the map of requests here. A task that waits for a request locks the
            // channel first and then the map, so a lock of the map here could cause a deadlock.
            send.send_modify(|news| news.idle += u64::from(idle));
        }
    }

    /// Opens the trace again after an interruption. The store may present any of the known certificates, so each is
    /// tried, the newest first. The loop ends if the witness is dropped.
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
            // No event reports that the store answers again, so the code polls.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Whether the server that gave this answer presented a certificate with one of these serial numbers.
pub(super) fn was_given_by<'a>(answer: &Answer, mut serials: impl Iterator<Item = &'a str>) -> bool {
    let leaf = answer.evidence.chain.first();
    leaf.is_some_and(|leaf| serials.any(|serial| serial == leaf.serial))
}

/// The time since the Unix epoch. `None` if the machine's clock is before the epoch.
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

    const LONG: Duration = Duration::from_mins(1);

    fn witness(followed: bool) -> (Arc<StoreWitness>, watch::Sender<Progress>) {
        let (send, news) = watch::channel(Progress { since: followed.then(now).flatten(), idle: 0 });
        let witness = StoreWitness { shared: Arc::default(), news, task: tokio::spawn(std::future::pending()) };
        (Arc::new(witness), send)
    }

    fn traced(id: &str) -> Traced {
        let (source, host) = ("10.42.0.7".to_owned(), "minio.example.com".to_owned());
        Traced { request_id: id.to_owned(), source, host, arrived: Arrived::default() }
    }

    #[test]
    fn the_certificate_of_an_answer_says_which_store_gave_it() {
        let certificate = |serial: &str| -> parallax_vocab::answer::Certificate {
            serde_json::from_value(serde_json::json!({
                "subject": "CN=x", "issuer": "CN=y", "serial": serial, "names": [], "not_before": "", "not_after": "",
                "sha256": "",
            }))
            .expect("a certificate")
        };
        let outcome = Err(Cause::Client { detail: String::new() });
        let mut answer = Answer { outcome, evidence: parallax_vocab::answer::Evidence::default() };
        assert!(!was_given_by(&answer, ["a1"].into_iter()), "a connection without TLS says nothing");
        answer.evidence.chain = vec![certificate("a1"), certificate("c0")];
        for (serials, given) in [(&["b2", "a1"][..], true), (&["b2"], false), (&["c0"], false), (&[], false)] {
            assert_eq!(was_given_by(&answer, serials.iter().copied()), given, "{serials:?}");
        }
    }

    #[tokio::test]
    async fn a_traced_request_is_found_whether_it_arrives_before_or_after_the_lookup() {
        let (witness, send) = witness(true);
        witness.shared.seen().insert("a".to_owned(), traced("a"));
        assert_eq!(witness.of("a", LONG).await, Sight::Seen(traced("a")));

        let asked = tokio::spawn({
            let witness = Arc::clone(&witness);
            async move { witness.of("b", LONG).await }
        });
        tokio::task::yield_now().await;
        witness.shared.seen().insert("b".to_owned(), traced("b"));
        send.send_modify(|_| ());
        assert_eq!(asked.await.expect("it ends"), Sight::Seen(traced("b")));
    }

    #[tokio::test]
    async fn a_lookup_does_not_wait_for_a_closed_trace() {
        let (witness, send) = witness(false);
        assert_eq!(witness.of("a", LONG).await, Sight::Unknown);
        drop(send);
    }

    #[tokio::test]
    async fn a_store_that_is_never_idle_says_nothing_about_a_request() {
        let (witness, send) = witness(true);
        let began = Instant::now();
        assert_eq!(witness.of("a", Duration::from_millis(20)).await, Sight::Unknown);
        assert!(began.elapsed() < Duration::from_secs(10), "it does not outlast the step");
        drop(send);
    }

    #[tokio::test]
    async fn a_request_is_missing_when_the_store_only_sends_keep_alives() {
        let (witness, send) = witness(true);
        let asked = tokio::spawn({
            let witness = Arc::clone(&witness);
            async move { witness.of("a", LONG).await }
        });
        while !asked.is_finished() {
            send.send_modify(|news| news.idle += 1);
            // A real store sends keep-alives all the time. This test sends them until the wait for the request has
            // ended.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(asked.await.expect("it ends"), Sight::Missing);
        assert!(send.borrow().idle >= IDLE_TIMES);
    }
}
