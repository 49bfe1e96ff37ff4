//! The server that accepts requests of other processes. It runs in the process that keeps an environment (`parallax
//! up`).

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_record::{Live, Mark};
use parallax_vocab::{Event, EventKind, RunId};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handle::{Handle, Handles, failed, remove_secrets};
use super::{Line, Question, StandingError};
use crate::run::standing::{Answer, Asked, Request};

/// The largest size of a request, in bytes.
const REQUEST_LIMIT: u64 = 64 * 1024;
/// The time limit for receiving a request from a client, and for sending a line to a client.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted, before the next attempt.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The time that connections get to send their last lines after the run has ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A display that passes each event to the run's own display and to the client whose request is being carried out.
pub struct Feed {
    display: Box<dyn Live>,
    shared: Arc<Shared>,
}

/// The state that the feed shares with the connections.
#[derive(Default)]
struct Shared {
    /// The channel to the client whose request is being carried out. This client receives the events.
    listening: Mutex<Listening>,
    /// A description of what the run does at this moment, for `parallax status`.
    now: Mutex<String>,
}

#[derive(Default)]
struct Listening {
    sender: Option<mpsc::UnboundedSender<Event>>,
    /// Whether the run has sent its last event. A client that connects after that gets no events.
    closed: bool,
}

impl Live for Feed {
    fn see(&mut self, event: &Event) {
        let now = match &event.event {
            EventKind::SetupStarted { title, .. } => Some(title.clone()),
            EventKind::SetupProgress { id, text } => Some(format!("{id}: {text}")),
            // The description of what the run does must change when the set-up of an environment ends. If a part of the
            // environment is not ready, no later event changes the description, because no step runs.
            EventKind::SetupEnded { id, detail, error: None, .. }
                if id.starts_with("environment/") || id.starts_with("objects/") =>
            {
                Some(format!("ready; {detail}"))
            }
            EventKind::StepStarted { step, .. } => Some(format!("runs step {step}")),
            EventKind::StepEnded(step) => Some(format!("ready; step {} ran last", step.step)),
            _ => None,
        };
        if let Some(now) = now {
            *self.shared.now() = now;
        }
        if let Some(sender) = &self.shared.listening().sender {
            // The client may have closed its connection, so an error is ignored.
            drop(sender.send(event.clone()));
        }
        self.display.see(event);
    }

    fn tick(&mut self, at_ms: u64) {
        self.display.tick(at_ms);
    }

    fn close(&mut self) {
        *self.shared.listening() = Listening { sender: None, closed: true };
        self.display.close();
    }
}

/// The server that accepts requests from other processes. It belongs to one kept run.
#[derive(Debug)]
pub struct Host {
    handles: Handles,
    run: RunId,
    directory: PathBuf,
    connections: JoinSet<()>,
    over: CancellationToken,
}

impl Host {
    /// Opens the socket and writes the handle. The server sends requests to `asked`, and ends the run with `cancel`.
    /// Use the returned feed instead of `display`, the run's own display. The feed passes all events on to `display`.
    /// With `mark`, the server waits until the feed has received all events that were sent so far.
    pub fn open(
        handles: Handles,
        handle: &Handle,
        (asked, cancel): (mpsc::Sender<Asked>, CancellationToken),
        (display, mark): (Box<dyn Live>, Mark),
    ) -> Result<(Self, Feed), StandingError> {
        handles.check(&handle.run)?;
        handles.create()?;
        let socket = handles.socket(&handle.run);
        let listener = UnixListener::bind(&socket).map_err(|source| failed("listen at", &socket, source))?;
        let private = std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600));
        private.map_err(|source| failed("protect", &socket, source))?;
        if let Err(error) = handles.keep(handle) {
            handles.forget(&handle.run);
            return Err(error);
        }
        let shared = Arc::new(Shared::default());
        let (mut connections, over) = (JoinSet::new(), CancellationToken::new());
        let door = Door { shared: Arc::clone(&shared), asked, mark, over: over.clone(), cancel, one: Arc::default() };
        connections.spawn(accept(listener, door));
        let (run, directory) = (handle.run.clone(), handle.directory.clone());
        Ok((Self { handles, run, directory, connections, over }, Feed { display, shared }))
    }

    /// Removes the handle, and answers the client that asked for the end of the run. The caller must already have
    /// removed the environment.
    pub async fn close(mut self) {
        self.handles.forget(&self.run);
        remove_secrets(&self.directory);
        self.over.cancel();
        let closing = async { while self.connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(CLOSE_WITHIN, closing).await);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.handles.forget(&self.run);
        remove_secrets(&self.directory);
    }
}

#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    asked: mpsc::Sender<Asked>,
    mark: Mark,
    /// The token that is cancelled when all objects of the run are removed and the reports are written.
    over: CancellationToken,
    /// The token with which the server ends the run, as Ctrl-C does.
    cancel: CancellationToken,
    /// The lock that a request holds while it is carried out. So only one request is carried out at a time.
    one: Arc<tokio::sync::Mutex<()>>,
}

async fn accept(listener: UnixListener, door: Door) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let door = door.clone();
                    open.spawn(async move {
                        if let Err(error) = door.serve(stream).await {
                            tracing::debug!(%error, "a connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no request can be accepted");
                    // The usual reason is that too many files are open. No event reports that a file was closed, so the
                    // code waits for a fixed pause.
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            },
            // The run has ended and accepts no further requests.
            () = door.asked.closed() => break,
            Some(_) = open.join_next() => {}
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

impl Door {
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read.take(REQUEST_LIMIT));
        let mut line = String::new();
        tokio::time::timeout(SENT_WITHIN, read.read_line(&mut line)).await??;
        if line.is_empty() {
            // The other process closed the connection without a request. The other process only wanted to know whether
            // this process is alive.
            return Ok(());
        }
        let request = match serde_json::from_str(&line) {
            Ok(Question::Status) => {
                let now = self.shared.now().clone();
                return say(&mut write, &Line::Now(now)).await;
            }
            Ok(Question::Do(request)) => request,
            Err(error) => {
                let why =
                    format!("the process that holds the environment, perhaps of another version, refuses: {error}");
                return say(&mut write, &Line::Answer(Answer::No(why))).await;
            }
        };
        // The client sends nothing after its request. Therefore, if its stream ends, the client is gone.
        let mut rest = [0];
        let left = async { drop(read.read(&mut rest).await) };
        tokio::pin!(left);
        let ends = matches!(request, Request::End);
        let one = match self.one.try_lock() {
            Ok(one) => one,
            Err(_) if ends => {
                // A request for the end of the run does not wait for the request that is being carried out, or for the
                // set-up of an environment.
                self.cancel.cancel();
                self.over.cancelled().await;
                return say(&mut write, &Line::Answer(Answer::Ends)).await;
            }
            Err(_) => tokio::select! {
                one = self.one.lock() => one,
                () = &mut left => return Ok(()),
            },
        };
        let mut events = self.shared.listen();
        let (answer, mut answered) = oneshot::channel();
        let gone = CancellationToken::new();
        let asked = Asked { request, answer, gone: gone.clone() };
        let answer = if self.asked.send(asked).await.is_ok() {
            loop {
                tokio::select! {
                    Some(event) = events.recv() => tell(&mut write, event, &gone).await,
                    () = &mut left, if !gone.is_cancelled() => gone.cancel(),
                    // If the run ends before it answers the request, the connection closes without an answer.
                    answer = &mut answered => break answer.ok(),
                }
            }
        } else {
            None
        };
        if !ends {
            let mark = self.mark.clone();
            // The next line waits for the thread that writes the record. This wait blocks its own thread, so it runs
            // outside the async runtime.
            drop(tokio::task::spawn_blocking(move || mark.wait()).await);
            self.shared.listening().sender.take();
        }
        // Now the events that are still in the channel are sent. After a request for the end of the run, the events of
        // the clean-up also come through the channel, until the record is closed.
        while let Some(event) = events.recv().await {
            tell(&mut write, event, &gone).await;
        }
        if ends {
            // The record is closed now, but the reports are not written yet. `over` is cancelled when they are written,
            // and only then the answer is sent.
            self.over.cancelled().await;
            return say(&mut write, &Line::Answer(Answer::Ends)).await;
        }
        drop(one);
        match answer {
            Some(answer) => say(&mut write, &Line::Answer(answer)).await,
            None => Ok(()),
        }
    }
}

impl Shared {
    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a channel that receives the events from now on. If the run has already sent its last event, the channel
    /// receives no event.
    fn listen(&self) -> mpsc::UnboundedReceiver<Event> {
        let (send, receive) = mpsc::unbounded_channel();
        let mut listening = self.listening();
        if !listening.closed {
            listening.sender = Some(send);
        }
        receive
    }
}

/// Sends an event to a client, unless the client is gone. A client that does not read in time counts as gone.
async fn tell(to: &mut OwnedWriteHalf, event: Event, gone: &CancellationToken) {
    if gone.is_cancelled() {
        return;
    }
    let line = Line::Event(Box::new(event));
    let sent = tokio::time::timeout(SENT_WITHIN, say(to, &line)).await;
    if !matches!(sent, Ok(Ok(()))) {
        gone.cancel();
    }
}

async fn say(to: &mut OwnedWriteHalf, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text).await
}
