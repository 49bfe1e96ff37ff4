//! Runs a command in a running container.

use std::time::Duration;

use futures::TryStreamExt as _;
use testcontainers::bollard::exec::{StartExecOptions, StartExecResults};
use testcontainers::bollard::models::ExecConfig;

use super::connect::Engine;
use super::error::EngineError;

/// At most this number of bytes of a command's output are kept; further bytes are dropped. All commands that the
/// harness runs by [`Engine::exec`] write less.
const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;

/// The result of a command in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The exit code of the command.
    pub code: i64,
    /// The stdout and stderr of the command together, in the order in which they arrived; at most 64 KiB.
    pub output: String,
}

impl Engine {
    /// Runs a command in a container, with the container's environment, and waits until the command ends. After
    /// `within`, the function gives up with an error.
    pub async fn exec(&self, name: &str, command: &[&str], within: Duration) -> Result<Executed, EngineError> {
        let doing = format!("run `{}` in container {name}", command.join(" "));
        match tokio::time::timeout(within, self.executed(name, command, &doing)).await {
            Ok(executed) => executed,
            Err(_) => Err(EngineError::Process { doing, reason: format!("no end after {} s", within.as_secs()) }),
        }
    }

    async fn executed(&self, name: &str, command: &[&str], doing: &str) -> Result<Executed, EngineError> {
        let config = ExecConfig {
            cmd: Some(command.iter().map(ToString::to_string).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(name, config).await.map_err(EngineError::call(doing.to_owned()))?;
        let started = self.docker.start_exec(&created.id, None::<StartExecOptions>).await;
        let StartExecResults::Attached { mut output, .. } = started.map_err(EngineError::call(doing.to_owned()))?
        else {
            return Err(EngineError::Process { doing: doing.to_owned(), reason: "it is detached".to_owned() });
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = output.try_next().await.map_err(EngineError::call(doing.to_owned()))? {
            let chunk = chunk.into_bytes();
            bytes.extend_from_slice(&chunk[..chunk.len().min(OUTPUT_LIMIT_BYTES - bytes.len())]);
        }
        let ended = self.docker.inspect_exec(&created.id).await.map_err(EngineError::call(doing.to_owned()))?;
        let code = ended.exit_code.ok_or_else(|| EngineError::Process {
            doing: doing.to_owned(),
            reason: "the engine does not know its exit code".to_owned(),
        })?;
        Ok(Executed { code, output: String::from_utf8_lossy(&bytes).trim().to_owned() })
    }
}
