//! One program in a container of a pod, run to its end over the apiserver's exec.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::AsyncReadExt as _;

/// So much of what it writes is kept.
const OUTPUT_LIMIT_BYTES: u64 = 64 * 1024;

/// A program that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub exit: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs a program in a container.
///
/// # Errors
///
/// In words, where it could not be begun or did not end in time: there is no such pod, or its container does not run.
pub async fn run(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    command: &[&str],
    within: Duration,
) -> Result<Ran, String> {
    let ran = async {
        let parameters = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let mut process = pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|error| match error {
            kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
            other => other.to_string(),
        })?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
        let read_out = async {
            if let Some(out) = out {
                let _ = out.take(OUTPUT_LIMIT_BYTES).read_to_string(&mut stdout).await;
            }
        };
        let read_err = async {
            if let Some(err) = err {
                let _ = err.take(OUTPUT_LIMIT_BYTES).read_to_string(&mut stderr).await;
            }
        };
        let ((), (), status) = tokio::join!(read_out, read_err, async {
            match status {
                Some(status) => status.await,
                None => None,
            }
        });
        let status = status.ok_or_else(|| "the exec was cut off".to_owned())?;
        if status.status.as_deref() == Some("Success") {
            return Ok(Ran { exit: 0, stdout, stderr });
        }
        let causes = status.details.iter().flat_map(|it| it.causes.iter().flatten());
        let code = causes.filter(|it| it.reason.as_deref() == Some("ExitCode")).find_map(|it| it.message.clone());
        match code.and_then(|code| code.parse().ok()) {
            Some(exit) => Ok(Ran { exit, stdout, stderr }),
            None => Err(status.message.unwrap_or_else(|| "the exec failed".to_owned())),
        }
    };
    let late = || format!("it did not end in {} s", within.as_secs());
    tokio::time::timeout(within, ran).await.map_err(|_| late())?
}
