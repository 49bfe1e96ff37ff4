//! The server in the process that keeps an environment.

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
/// The time limit for a client to send its request, or to receive a line.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be accepted.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The time limit for connections to deliver their last lines after the run has ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Passes events to the connection that waits for them, and to the run's own display.
pub struct Feed {
    display: Box<dyn Live>,
    shared: Arc<Shared>,
}

/// The state that the feed and the connections share.
#[derive(Default)]
struct Shared {
    /// The receiver of the events that follow from the present request.
    listening: Mutex<Listening>,
    /// A description of what the run does at this moment.
    now: Mutex<String>,
}

#[derive(Default)]
struct Listening {
    sender: Option<mpsc::UnboundedSender<Event>>,
    /// Whether no further event follows.
    closed: bool,
}

impl Live for Feed {
    fn see(&mut self, event: &Event) {
        let now = match &event.event {
            EventKind::SetupStarted { title, .. } => Some(title.clone()),
            EventKind::SetupProgress { id, text } => Some(format!("{id}: {text}")),
            // This event is the last one of the set-up. If a part of the set-up is not ready, no step runs.
            EventKind::SetupEnded { id, detail, error: None, .. } if id.starts_with("environment/") => {
                Some(format!("stands; {detail}"))
            }
            EventKind::StepStarted { step, .. } => Some(format!("runs step {step}")),
            EventKind::StepEnded(step) => Some(format!("stands; step {} ran last", step.step)),
            _ => None,
        };
        if let Some(now) = now {
            *self.shared.now() = now;
        }
        if let Some(sender) = &self.shared.listening().sender {
            // The client may be gone, so an error is ignored.
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

/// Accepts the requests of other processes to a run.
#[derive(Debug)]
pub struct Host {
    handles: Handles,
    run: RunId,
    directory: PathBuf,
    connections: JoinSet<()>,
    over: CancellationToken,
}

impl Host {
    /// Opens the socket and writes the handle. Requests go to `asked`, and `cancel` ends the run. The returned feed
    /// replaces `display`, the run's own display, and passes events on to it. `mark` tells when the feed has seen all
    /// events so far.
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

    /// Removes the handle and answers the request for the end, after all work is done.
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
    /// Cancelled after everything is removed and the reports are written.
    over: CancellationToken,
    /// Ends the run in the same way as a signal.
    cancel: CancellationToken,
    /// The lock that lets only one request run at a time.
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
                    // No event reports that a file descriptor is free again, so the code polls.
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            },
            // The run has ended and takes no further requests.
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
            // Another process only checked whether this process is alive.
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
        // The client sends nothing more. The end of its stream therefore means that the client is gone.
        let mut rest = [0];
        let left = async { drop(read.read(&mut rest).await) };
        tokio::pin!(left);
        let ends = matches!(request, Request::End);
        let one = match self.one.try_lock() {
            Ok(one) => one,
            Err(_) if ends => {
                // A request for the end does not wait for the present request, or for the set-up of an environment.
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
                    // If the run ended before it answered, the connection ends without an answer.
                    answer = &mut answered => break answer.ok(),
                }
            }
        } else {
            None
        };
        if !ends {
            let mark = self.mark.clone();
            // The writer is a thread, so this wait blocks.
            drop(tokio::task::spawn_blocking(move || mark.wait()).await);
            self.shared.listening().sender.take();
        }
        // The clean-up follows a request for the end. The events end when the feed closes with the record.
        while let Some(event) = events.recv().await {
            tell(&mut write, event, &gone).await;
        }
        if ends {
            // The answer waits until the reports are written, because they are written after the record.
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

    /// Returns the stream of events from now on. The stream is empty if the feed is closed.
    fn listen(&self) -> mpsc::UnboundedReceiver<Event> {
        let (send, receive) = mpsc::unbounded_channel();
        let mut listening = self.listening();
        if !listening.closed {
            listening.sender = Some(send);
        }
        receive
    }
}

/// Passes an event to a client, unless the client is gone or does not read.
async fn tell(to: &mut OwnedWriteHalf, event: Event, gone: &CancellationToken) {
    if gone.is_cancelled() {
        return;
    }
    let line = Line::Event(Box::new(event));
    let told = tokio::time::timeout(SENT_WITHIN, say(to, &line)).await;
    if !matches!(told, Ok(Ok(()))) {
        gone.cancel();
    }
}

async fn say(to: &mut OwnedWriteHalf, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text).await
}
