//! Runs a process with its own terminal in a container, for example a shell for a person.

use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use testcontainers::bollard::exec::ResizeExecOptions;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::attach::{BUFFER_BYTES, Begun};
use super::connect::Engine;
use super::error::EngineError;
use parallax_record::Noted as _;

/// The number of window sizes that can wait to be sent to the engine. Few are enough, because only the latest size
/// matters.
const SIZES: usize = 8;
/// The time limit for the engine to report the exit code of a process whose output has ended.
const EXIT_WITHIN: Duration = Duration::from_secs(5);
/// The interval between two requests for the exit code of a process.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The size of a terminal window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The number of columns of the window.
    pub columns: u16,
    /// The number of rows of the window.
    pub rows: u16,
}

/// A process with a terminal. A terminal has one output, so standard error is part of `stdout`.
pub struct Terminal {
    /// The input of the process: what the user types.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// The output of the process, with its standard error.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// The channel for the size of the user's window. The caller sends the size at the start and after each change.
    pub sizes: mpsc::Sender<Window>,
    /// Resolves with the exit code of the process, after its output has ended. The error is a text for people.
    pub exit: BoxFuture<'static, Result<i32, String>>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Terminal")
    }
}

impl Engine {
    /// Starts a process with a terminal in a running container.
    pub async fn terminal(&self, container: &str, argv: &[&str]) -> Result<Terminal, EngineError> {
        let Begun { id, mut output, input } = self.begin(container, argv, true).await?;
        let (stdout, mut to_stdout) = tokio::io::duplex(BUFFER_BYTES);
        tokio::spawn(async move {
            while let Some(Ok(piece)) = output.next().await {
                if to_stdout.write_all(&piece.into_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let (sizes, mut changed) = mpsc::channel::<Window>(SIZES);
        let (docker, exec) = (self.docker.clone(), id.clone());
        tokio::spawn(async move {
            while let Some(Window { columns, rows }) = changed.recv().await {
                // The process may have ended in the meantime. Its window no longer matters then, so the error is only
                // logged.
                let size = ResizeExecOptions { height: rows, width: columns };
                let _ = docker.resize_exec(&exec, size).await.noted("tell the size of a window");
            }
        });
        let docker = self.docker.clone();
        let exit = async move {
            let asked = async {
                loop {
                    let state = docker.inspect_exec(&id).await.map_err(|error| super::error::message(&error))?;
                    if let Some(code) = state.exit_code {
                        return Ok(i32::try_from(code).unwrap_or(i32::MAX));
                    }
                    // The engine records the exit code of a process some time after its output has ended. No event
                    // reports this, so the code polls.
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            let late = |_| Err("the engine does not say how the process ended".to_owned());
            tokio::time::timeout(EXIT_WITHIN, asked).await.unwrap_or_else(late)
        };
        Ok(Terminal { stdin: input, stdout: Box::new(stdout), sizes, exit: Box::pin(exit) })
    }
}
