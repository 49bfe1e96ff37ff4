//! The side of the process that holds an environment.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parallax_record::{Live, Mark};
use parallax_vocab::{Event, EventKind, RunId};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handle::{Handle, Handles, failed};
use super::{Line, Question, StandingError};
use crate::run::standing::{Answer, Asked, Request};

/// The longest request.
const REQUEST_LIMIT: u64 = 64 * 1024;
/// How long connections may take to deliver the last lines when the run has ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Passes events to the connection that waits for them, and to the run's own display.
pub struct Feed {
    display: Box<dyn Live>,
    shared: Arc<Shared>,
}

/// What the feed and the connections share.
#[derive(Default)]
struct Shared {
    /// Takes the events that follow from the request that is being carried out.
    listening: Mutex<Option<mpsc::UnboundedSender<Event>>>,
    /// What the run does at this moment.
    now: Mutex<String>,
}

impl Live for Feed {
    fn see(&mut self, event: &Event) {
        let now = match &event.event {
            EventKind::SetupStarted { title, .. } => Some(title.clone()),
            EventKind::SetupProgress { id, text } => Some(format!("{id}: {text}")),
            EventKind::StepStarted { step, .. } => Some(format!("runs step {step}")),
            EventKind::StepEnded(step) => Some(format!("stands; step {} ran last", step.step)),
            _ => None,
        };
        if let Some(now) = now {
            *self.shared.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        if let Some(listening) = &*self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner) {
            // Whoever asked may be gone.
            drop(listening.send(event.clone()));
        }
        self.display.see(event);
    }

    fn tick(&mut self, at_ms: u64) {
        self.display.tick(at_ms);
    }

    fn close(&mut self) {
        self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.display.close();
    }
}

/// Accepts what other processes ask of a run.
#[derive(Debug)]
pub struct Host {
    handles: Handles,
    run: RunId,
    connections: JoinSet<()>,
    over: CancellationToken,
}

impl Host {
    /// Opens the socket and writes the handle. Requests go to `asked`; `display` is the run's own display, and the feed
    /// that is returned takes its place. `mark` tells when the feed has seen everything so far.
    pub fn open(
        handles: Handles,
        handle: &Handle,
        asked: mpsc::Sender<Asked>,
        (display, mark): (Box<dyn Live>, Mark),
    ) -> Result<(Self, Feed), StandingError> {
        handles.create()?;
        let socket = handles.socket(&handle.run);
        let listener = UnixListener::bind(&socket).map_err(|source| failed("listen at", &socket, source))?;
        let private = std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600));
        private.map_err(|source| failed("protect", &socket, source))?;
        handles.keep(handle)?;
        let shared = Arc::new(Shared::default());
        let (mut connections, over) = (JoinSet::new(), CancellationToken::new());
        let door = Door { shared: Arc::clone(&shared), asked, mark, over: over.clone(), one: Arc::default() };
        connections.spawn(accept(listener, door));
        Ok((Self { handles, run: handle.run.clone(), connections, over }, Feed { display, shared }))
    }

    /// Removes the handle and answers the request for the end: everything is done.
    pub async fn close(mut self) {
        self.handles.forget(&self.run);
        self.over.cancel();
        let closing = async { while self.connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(CLOSE_WITHIN, closing).await);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.handles.forget(&self.run);
    }
}

#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    asked: mpsc::Sender<Asked>,
    mark: Mark,
    /// Cancelled when everything is removed and the reports are written.
    over: CancellationToken,
    /// One request is carried out at a time.
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
                    break;
                }
            },
            // The run has ended: nobody takes a request any more.
            () = door.asked.closed() => break,
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
}

impl Door {
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        BufReader::new(read.take(REQUEST_LIMIT)).read_line(&mut line).await?;
        if line.is_empty() {
            // Somebody only looked whether anybody is here.
            return Ok(());
        }
        let request = match serde_json::from_str(&line) {
            Ok(Question::Status) => {
                let now = self.shared.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return say(&mut write, &Line::Now(now)).await;
            }
            Ok(Question::Do(request)) => request,
            Err(error) => return say(&mut write, &Line::Answer(Answer::No(error.to_string()))).await,
        };
        let _one = self.one.lock().await;
        let (send, mut events) = mpsc::unbounded_channel();
        *self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(send);
        let (answer, mut answered) = oneshot::channel();
        let ends = matches!(request, Request::End);
        let answer = if self.asked.send(Asked { request, answer }).await.is_err() {
            Answer::No("the run has ended".to_owned())
        } else {
            loop {
                tokio::select! {
                    Some(event) = events.recv() => say(&mut write, &Line::Event(Box::new(event))).await?,
                    answer = &mut answered => break answer.unwrap_or(Answer::No("the run has ended".to_owned())),
                }
            }
        };
        if ends {
            // The clean-up follows. The feed closes when the record does; after it come the reports.
            while let Some(event) = events.recv().await {
                say(&mut write, &Line::Event(Box::new(event))).await?;
            }
            self.over.cancelled().await;
        } else {
            let mark = self.mark.clone();
            // The writer is a thread, so waiting for it blocks.
            drop(tokio::task::spawn_blocking(move || mark.wait()).await);
            self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
            while let Some(event) = events.recv().await {
                say(&mut write, &Line::Event(Box::new(event))).await?;
            }
        }
        say(&mut write, &Line::Answer(answer)).await
    }
}

async fn say(to: &mut OwnedWriteHalf, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text).await
}
