//! A process in a running container that has a terminal of its own, for a person.

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

/// How many sizes of the window wait to be told. Only the last one matters.
const SIZES: usize = 8;
/// How long the engine may take to say how a process ended whose output has ended.
const EXIT_WITHIN: Duration = Duration::from_secs(5);
/// The interval at which it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Columns and rows of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A process with a terminal. Standard error is part of its output.
pub struct Terminal {
    /// What is typed.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it writes.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Takes the size of the window, now and whenever it changes.
    pub sizes: mpsc::Sender<Window>,
    /// Its exit code, when its output has ended.
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
                // The process may have ended; another size makes no difference to it.
                let size = ResizeExecOptions { height: rows, width: columns };
                let _ = docker.resize_exec(&exec, size).await.noted("tell the size of a window");
            }
        });
        let docker = self.docker.clone();
        let exit = async move {
            let asked = async {
                loop {
                    let told = docker.inspect_exec(&id).await.map_err(|error| super::error::message(&error))?;
                    if let Some(code) = told.exit_code {
                        return Ok(i32::try_from(code).unwrap_or(i32::MAX));
                    }
                    // The engine notes the end of a process after its output; no event of it can be awaited here.
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            let late = |_| Err("the engine does not say how the process ended".to_owned());
            tokio::time::timeout(EXIT_WITHIN, asked).await.unwrap_or_else(late)
        };
        Ok(Terminal { stdin: input, stdout: Box::new(stdout), sizes, exit: Box::pin(exit) })
    }
}
