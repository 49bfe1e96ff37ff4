//! One long-lived session with an agent, over any three streams: those of an exec or of a child process.
//!
//! Separate tasks read standard output and standard error. An exec carries all streams in one loop, so a stream that is
//! not read blocks the others. Two events signal the end of the session: the end of the streams, or the end of the pod
//! or the process. The second is needed, because an exec can freeze without ending when its pod is deleted.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use parallax_engine::LineCutter;
use parallax_vocab::prober::{ProberOrder, Series};
use parallax_vocab::wire::{self, FromAgent, HEARTBEAT_MS, ToAgent};
use parallax_vocab::{Answer, Question, millis};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::codec::FramedRead;

use super::ProbeError;
use parallax_record::Noted as _;

/// The time limit for the first message of the agent.
const HELLO_LIMIT: Duration = Duration::from_secs(15);
/// The additional time for an answer after the deadline of the question, because the question and the answer must be
/// transferred.
const GRACE: Duration = Duration::from_secs(3);
/// The time to wait, after the first sign that the session has ended, for the reason of the end and for the last lines
/// of the agent's standard error.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The largest number of messages that wait to be written to the agent.
const QUEUE: usize = 64;
/// The number of last lines of the agent's standard error that are kept. The second constant is the number of bytes
/// that are kept of each line.
const STDERR_LINES: usize = 5;
const STDERR_LINE_BYTES: usize = 512;

/// The agent's introduction, the first message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The host name of the agent's machine or container.
    pub host: String,
    /// The addresses of the agent's machine or container.
    pub addresses: Vec<IpAddr>,
}

/// A running session. Dropping this value closes the streams, which ends the agent.
#[derive(Debug)]
pub struct Session {
    hello: Hello,
    shared: Arc<Shared>,
    frames: mpsc::Sender<Vec<u8>>,
    next: AtomicU64,
    supervisor: Supervisor,
}

#[derive(Debug)]
struct Shared {
    place: String,
    state: Mutex<State>,
    stderr: Mutex<VecDeque<String>>,
}

#[derive(Debug)]
enum State {
    /// The first message of the agent has not arrived yet.
    Starting(Option<oneshot::Sender<Result<Hello, ProbeError>>>),
    /// The session is open. The map contains the calls that wait for a response, by request number.
    Open(HashMap<u64, oneshot::Sender<Response>>),
    /// The session has ended. The error is the reason.
    Gone(ProbeError),
}

/// The agent's response to a message: an answer, or the outcomes of a prober (`None` if the agent has no such prober).
#[derive(Debug)]
enum Response {
    Answer(Box<Answer>),
    Series(Option<Box<Series>>),
}

impl Session {
    /// Starts a session: waits for the first message of the agent and checks the agent's version.
    ///
    /// The future `ended` completes with the reason when the agent no longer exists, even if the streams stay open. The
    /// future is dropped together with the session.
    pub async fn open<I, O, E>(
        place: impl Into<String>,
        stdin: I,
        stdout: O,
        stderr: E,
        ended: impl Future<Output = String> + Send + 'static,
    ) -> Result<Self, ProbeError>
    where
        I: AsyncWrite + Send + Unpin + 'static,
        O: AsyncRead + Send + Unpin + 'static,
        E: AsyncRead + Send + Unpin + 'static,
    {
        let (greet, greeted) = oneshot::channel();
        let shared = Arc::new(Shared {
            place: place.into(),
            state: Mutex::new(State::Starting(Some(greet))),
            stderr: Mutex::default(),
        });
        let (frames, outbox) = mpsc::channel(QUEUE);
        let supervisor = tokio::spawn(supervise(shared.clone(), stdin, outbox, stdout, stderr, ended));
        let supervisor = Supervisor(supervisor);
        let hello = match tokio::time::timeout(HELLO_LIMIT, greeted).await {
            Ok(Ok(hello)) => hello?,
            Ok(Err(_)) => return Err(shared.start_error("its session ended")),
            Err(_) => return Err(shared.start_error(&format!("no hello in {} s", HELLO_LIMIT.as_secs()))),
        };
        Ok(Self { hello, shared, frames, next: AtomicU64::new(1), supervisor })
    }

    /// Where the agent runs, in words, for example `pod app of namespace test`.
    pub(super) fn place(&self) -> &str {
        &self.shared.place
    }

    /// Returns the first message of the agent, in which it names its host and its addresses.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether the session is still open.
    pub fn is_open(&self) -> bool {
        matches!(*self.shared.state(), State::Open(_))
    }

    /// Asks one question. Waits until the question's deadline, plus a short time for the transfer.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        let limit = Duration::from_millis(question.deadline_ms);
        match self.call(limit, |request| ToAgent::Ask { request, question: Box::new(question) }).await? {
            Response::Answer(answer) => Ok(*answer),
            Response::Series(_) => Err(self.garbled("a series where an answer was due")),
        }
    }

    /// Sends an order to a prober. Waits for `limit`, plus a short time for the transfer.
    pub async fn prober(&self, prober: u64, order: ProberOrder, limit: Duration) -> Result<Series, ProbeError> {
        match self.call(limit, |request| ToAgent::Prober { request, prober, order }).await? {
            Response::Series(Some(series)) => Ok(*series),
            Response::Series(None) => Err(self.garbled("it knows nothing of a prober that was started")),
            Response::Answer(_) => Err(self.garbled("an answer where a series was due")),
        }
    }

    fn garbled(&self, why: &str) -> ProbeError {
        ProbeError::Garbled { place: self.shared.place.clone(), why: why.to_owned() }
    }

    /// Sends one message and waits for the response, for `limit` plus a short time for the transfer.
    async fn call(&self, limit: Duration, message: impl FnOnce(u64) -> ToAgent) -> Result<Response, ProbeError> {
        let place = || self.shared.place.clone();
        let limit = limit + GRACE;
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = wire::encode(&message(request));
        let frame = frame.map_err(|why| ProbeError::Question { place: place(), why: why.to_string() })?;
        let (answer, answered) = oneshot::channel();
        match &mut *self.shared.state() {
            State::Open(pending) => pending.insert(request, answer),
            State::Gone(why) => return Err(why.clone()),
            State::Starting(_) => return Err(self.shared.start_error("it has not said hello")),
        };
        let response = tokio::time::timeout(limit, async {
            // An error of `send` needs no report. If the frame is not sent, no answer arrives, and `answered` fails.
            // Its error is handled below.
            let _ = self.frames.send(frame).await;
            answered.await
        });
        match response.await {
            Ok(Ok(response)) => Ok(response),
            // The supervisor stored the reason for the end of the session and then dropped the sender.
            Ok(Err(_)) => Err(self.shared.gone("its session ended")),
            Err(_) => {
                if let State::Open(pending) = &mut *self.shared.state() {
                    pending.remove(&request);
                }
                let waited_ms = millis(limit);
                Err(ProbeError::Overdue { place: place(), waited_ms })
            }
        }
    }

    /// Ends the session: closes the agent's input, and waits a short time for the agent to end.
    pub async fn close(self) {
        let Self { frames, mut supervisor, .. } = self;
        drop(frames);
        // If the supervisor has not ended after this time, it is aborted when it is dropped.
        let _ = tokio::time::timeout(LAST_WORDS, &mut supervisor.0).await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is still usable, because no code that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, why: &str) -> ProbeError {
        if let State::Gone(said) = &*self.state() {
            return said.clone();
        }
        ProbeError::AgentGone { place: self.place.clone(), why: self.with_last_words(why) }
    }

    fn start_error(&self, why: &str) -> ProbeError {
        ProbeError::Start { place: self.place.clone(), why: self.with_last_words(why) }
    }

    fn with_last_words(&self, why: &str) -> String {
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return why.to_owned();
        }
        format!("{why}; its last words: {}", lines.iter().cloned().collect::<Vec<_>>().join(" | "))
    }

    /// Handles one message that came from the agent.
    fn take(&self, message: FromAgent) -> Result<(), ProbeError> {
        let mut state = self.state();
        match (&mut *state, message) {
            (State::Starting(greet), FromAgent::Hello { version, host, addresses }) => {
                if version != wire::VERSION {
                    let place = self.place.clone();
                    return Err(ProbeError::Version { place, theirs: version, ours: wire::VERSION });
                }
                let greet = greet.take();
                *state = State::Open(HashMap::new());
                if let Some(greet) = greet {
                    // The caller of `open` may have given up waiting. In this case, the caller drops the session soon,
                    // so the error is ignored.
                    let _ = greet.send(Ok(Hello { host, addresses }));
                }
                Ok(())
            }
            (State::Open(pending), FromAgent::Answered { request, answer }) => {
                deliver(pending, request, Response::Answer(answer));
                Ok(())
            }
            (State::Open(pending), FromAgent::Series { request, series }) => {
                deliver(pending, request, Response::Series(series));
                Ok(())
            }
            (_, message) => {
                let kind =
                    if matches!(message, FromAgent::Hello { .. }) { "a second hello" } else { "an early answer" };
                Err(ProbeError::Garbled { place: self.place.clone(), why: kind.to_owned() })
            }
        }
    }

    /// Ends the session: all waiting calls, and all later ones, return this error.
    fn end(&self, error: ProbeError) {
        let before = std::mem::replace(&mut *self.state(), State::Gone(error.clone()));
        if let State::Starting(Some(greet)) = before {
            let error = match error {
                ProbeError::AgentGone { place, why } => ProbeError::Start { place, why },
                other => other,
            };
            let _ = greet.send(Err(error));
        }
        // Dropping the senders of the old state ends the waiting calls, which then find the reason in the new state.
    }
}

/// Delivers a response to the call that waits for it. If no call waits any more, the response is dropped.
fn deliver(pending: &mut HashMap<u64, oneshot::Sender<Response>>, request: u64, response: Response) {
    if let Some(asker) = pending.remove(&request) {
        let _ = asker.send(response);
    }
}

/// Runs the tasks of all streams until the first sign that the session ends. Then finds out the reason and passes it to
/// every waiting call.
async fn supervise(
    shared: Arc<Shared>,
    stdin: impl AsyncWrite + Send + Unpin + 'static,
    outbox: mpsc::Receiver<Vec<u8>>,
    stdout: impl AsyncRead + Send + Unpin + 'static,
    stderr: impl AsyncRead + Send + Unpin + 'static,
    ended: impl Future<Output = String> + Send + 'static,
) {
    // The tasks of the streams end together with this task, because dropping a `JoinSet` aborts its tasks.
    let (mut writer, mut words, mut reader) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    writer.spawn(write(stdin, outbox));
    let keeper = shared.clone();
    words.spawn(async move { keep_last_lines(stderr, &keeper).await });
    let taker = shared.clone();
    reader.spawn(async move { read(stdout, &taker).await });
    let mut ended = Box::pin(ended);
    let error = tokio::select! {
        read = reader.join_next() => if let Some(Ok(Err(garbled))) = read {
            garbled
        } else {
            // The output of the agent ended. The future `ended` reports the reason shortly after this.
            let why = tokio::time::timeout(LAST_WORDS, &mut ended).await;
            drain(&mut words).await;
            shared.gone(&why.unwrap_or_else(|_| "its output ended".to_owned()))
        },
        why = &mut ended => {
            // Answers that were already in the stream still count.
            drain(&mut reader).await;
            drain(&mut words).await;
            shared.gone(&why)
        }
    };
    shared.end(error);
}

/// Waits for the last bytes of a stream, for a fraction of [`LAST_WORDS`].
async fn drain<T: 'static>(stream: &mut JoinSet<T>) {
    let _ = tokio::time::timeout(LAST_WORDS / 4, stream.join_next()).await;
}

/// Writes messages as frames and, between them, heartbeats. Ends when no sender is left, and then closes the agent's
/// input.
async fn write(mut stdin: impl AsyncWrite + Unpin, mut outbox: mpsc::Receiver<Vec<u8>>) {
    let heartbeat = wire::encode(&ToAgent::Heartbeat).expect("a word is shorter than a frame");
    let mut beat = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS));
    loop {
        let frame = tokio::select! {
            frame = outbox.recv() => match frame {
                Some(frame) => frame,
                None => break,
            },
            _ = beat.tick() => heartbeat.clone(),
        };
        // If the write fails, the agent is gone. The future `ended` of the session reports the reason.
        if stdin.write_all(&frame).await.noted("write to an agent").is_none()
            || stdin.flush().await.noted("write to an agent").is_none()
        {
            return;
        }
    }
    stdin.shutdown().await.noted("end an agent's input");
}

/// Reads frames and handles the messages in them, until the stream ends.
async fn read(mut stdout: impl AsyncRead + Unpin, shared: &Shared) -> Result<(), ProbeError> {
    let mut buffer = Vec::new();
    loop {
        loop {
            match wire::decode(&mut buffer) {
                Ok(Some(message)) => shared.take(message)?,
                Ok(None) => break,
                Err(why) => return Err(ProbeError::Garbled { place: shared.place.clone(), why: why.to_string() }),
            }
        }
        match stdout.read_buf(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(place = shared.place, %error, "an agent's output broke off");
                return Ok(());
            }
        }
    }
}

async fn keep_last_lines(stderr: impl AsyncRead + Unpin, shared: &Shared) {
    let mut read = FramedRead::new(stderr, LineCutter::new(STDERR_LINE_BYTES));
    while let Some(Ok(line)) = read.next().await {
        let text = line.text.trim();
        if text.is_empty() {
            continue;
        }
        let mut lines = shared.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }
}

/// The task that supervises a session. Dropping this value aborts the task.
#[derive(Debug)]
struct Supervisor(JoinHandle<()>);

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.abort();
    }
}
