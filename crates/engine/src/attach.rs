//! Starts a further process in a running container, as `docker exec -i` does. The caller gets the three standard
//! streams of this process.

use std::pin::Pin;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::connect::Engine;
use super::error::EngineError;

/// The size of the buffers for the output of a process in a container. Standard output and standard error arrive over
/// one connection to the engine. Each of the two streams has a buffer of this size. So if a caller reads one stream
/// late, the other one does not stop at once.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// A process in a container. If this value is dropped, the standard input of the process is closed, but nobody kills
/// the process.
pub struct Attached {
    /// The standard input of the process.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// The standard output of the process.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// The standard error of the process.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Resolves when the process or its container ends. The text says what ended and how, for example
    /// `its container ended with exit code 1`.
    pub ended: BoxFuture<'static, String>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attached")
    }
}

/// A process that was just started in a container.
pub(super) struct Begun {
    /// The id that the engine gave to the process (an exec id, and not a process id of the kernel).
    pub(super) id: String,
    pub(super) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Engine {
    /// Starts a process in a running container, with its standard streams attached. With `tty`, the process gets a
    /// terminal.
    pub(super) async fn begin(&self, container: &str, argv: &[&str], tty: bool) -> Result<Begun, EngineError> {
        let doing = || format!("run {} in container {container}", argv.join(" "));
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            cmd: Some(argv.to_vec()),
            ..Default::default()
        };
        let id = self.docker.create_exec(container, options).await.map_err(EngineError::call(doing()))?.id;
        let start = StartExecOptions { tty, output_capacity: Some(BUFFER_BYTES), ..Default::default() };
        match self.docker.start_exec(&id, Some(start)).await.map_err(EngineError::call(doing()))? {
            StartExecResults::Attached { output, input } => Ok(Begun { id, output, input }),
            StartExecResults::Detached => {
                let reason = "the engine attached no streams".to_owned();
                Err(EngineError::Process { doing: doing(), reason })
            }
        }
    }

    /// Starts a process in a running container. The caller has nothing to remove afterwards, because the process ends
    /// with its container at the latest.
    pub async fn attach(&self, container: &str, argv: &[&str]) -> Result<Attached, EngineError> {
        let Begun { id, mut output, input } = self.begin(container, argv, false).await?;
        let (stdout, mut to_stdout) = tokio::io::duplex(BUFFER_BYTES);
        let (stderr, mut to_stderr) = tokio::io::duplex(BUFFER_BYTES);
        let (engine, container) = (self.clone(), container.to_owned());
        let carried = tokio::spawn(async move {
            while let Some(Ok(piece)) = output.next().await {
                let written = match &piece {
                    LogOutput::StdErr { message } => to_stderr.write_all(message).await,
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        to_stdout.write_all(message).await
                    }
                    LogOutput::StdIn { .. } => Ok(()),
                };
                if written.is_err() {
                    return;
                }
            }
        });
        let ended = async move {
            tokio::select! {
                // `carried` copies the output of the process, and ends when the process ends.
                _ = carried => {}
                code = engine.wait_exit(&container) => {
                    return match code {
                        Ok(code) => format!("its container ended with exit code {code}"),
                        Err(error) => error.to_string(),
                    };
                }
            }
            match engine.docker.inspect_exec(&id).await {
                Ok(inspected) => match inspected.exit_code {
                    Some(code) => format!("it ended with exit code {code}"),
                    None => "its streams ended".to_owned(),
                },
                Err(error) => super::error::message(&error),
            }
        };
        Ok(Attached { stdin: input, stdout: Box::new(stdout), stderr: Box::new(stderr), ended: Box::pin(ended) })
    }
}
