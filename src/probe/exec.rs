//! Runs one program in a container of a pod to its end, over the apiserver's exec.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The number of bytes that are kept of each output.
const OUTPUT_LIMIT_BYTES: u64 = 64 * 1024;

/// The result of a program that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub exit: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Why a program gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRan {
    /// It could not be started, or the connection broke, with the reason in words: for example, the pod does not exist
    /// or its container does not run.
    Failed(String),
    /// It had not ended at the deadline. This means only that the time was too short.
    Late {
        /// The time waited.
        waited: Duration,
    },
}

impl From<String> for NotRan {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Runs a program in a container.
///
/// # Errors
///
/// [`NotRan`].
pub async fn run(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    command: &[&str],
    within: Duration,
) -> Result<Ran, NotRan> {
    let ran = async {
        let parameters = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let mut process = pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|error| match error {
            kube::Error::Api(status) if !status.message.is_empty() => NotRan::Failed(status.message.clone()),
            other => NotRan::Failed(other.to_string()),
        })?;
        let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
        let (stdout, stderr, status) = tokio::join!(read(out), read(err), async {
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
            None => Err(NotRan::Failed(status.message.unwrap_or_else(|| "the exec failed".to_owned()))),
        }
    };
    tokio::time::timeout(within, ran).await.map_err(|_| NotRan::Late { waited: within })?
}

/// Reads one output of a program. Only the beginning is kept, but the rest is read too, because an output that nobody
/// reads blocks the program.
async fn read(output: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut beginning = Vec::new();
    let all = async {
        (&mut output).take(OUTPUT_LIMIT_BYTES).read_to_end(&mut beginning).await?;
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await
    };
    // What was read before the stream broke is used. The exit status says how the program ended.
    if let Err(error) = all.await {
        tracing::debug!(%error, "the output of a program broke off");
    }
    String::from_utf8_lossy(&beginning).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_that_is_no_text_is_read_and_what_is_too_long_is_drained() {
        assert_eq!(read(Some(&b"a\xffb"[..])).await, "a\u{fffd}b");
        let limit = usize::try_from(OUTPUT_LIMIT_BYTES).unwrap();
        // A multi-byte character lies across the limit.
        let long = [b"x".repeat(limit - 1), "ü".repeat(limit).into_bytes()].concat();
        let mut output = &long[..];
        let text = read(Some(&mut output)).await;
        assert!(text.starts_with("xxx") && text.ends_with('\u{fffd}'), "{}", text.len());
        assert_eq!(output, b"", "it is read to its end");
        assert_eq!(read(None::<&[u8]>).await, "");
    }
}
