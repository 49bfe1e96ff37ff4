//! Runs one program in a container of a pod to its end, over the apiserver's exec.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::cluster::{api_message, is_transient};
use parallax_record::in_full;

/// The number of bytes that are kept of each output stream of a program (standard output and standard error), if the
/// caller sets no other limit.
const OUTPUT_LIMIT_BYTES: u64 = 64 * 1024;
/// The size of the buffer for a program's input, in bytes.
const INPUT_BUFFER_BYTES: usize = 64 * 1024;
/// The kubelet's message for an exec into a container that does not run (`GetExec` in `pkg/kubelet/kubelet_pods.go`).
pub(super) const NO_CONTAINER: &str = "container not found";
/// Parts of the apiserver's messages for an exec if the apiserver cannot reach the kubelet (`pkg/util/proxy` of
/// apimachinery, and its successor for exec over WebSocket).
const NO_KUBELET: [&str; 2] = ["error dialing backend", "error sending request"];
/// Parts of the messages with which a container runtime reports that the machine was too busy to start the program: a
/// deadline was exceeded, the helper process (shim) ended, or no further process could be created.
const NO_RUNTIME: [&str; 5] = [
    "context deadline exceeded",
    "DeadlineExceeded",
    "ttrpc: closed",
    "temporarily unavailable",
    "cannot allocate memory",
];

/// Whether a message of the container runtime means that a failure comes from a busy machine, and not from the request.
pub fn is_of_the_machine(message: &str) -> bool {
    NO_RUNTIME.iter().any(|it| message.contains(it))
}

/// The result of a program that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code of the program.
    pub exit: i32,
    /// The beginning of the standard output of the program.
    pub stdout: String,
    /// The beginning of the standard error of the program.
    pub stderr: String,
}

/// The reason why a program gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRan {
    /// The program could not be started. The text is the reason: for example, the pod does not exist or its container
    /// does not run.
    Failed(String),
    /// The connection broke, or the apiserver or the kubelet did not answer. The text is the reason. This error says
    /// nothing about the container.
    Lost(String),
    /// The program had not ended at the deadline. This means only that the time was too short.
    Late {
        /// The time for which the harness waited.
        waited: Duration,
    },
}

/// The standard input of a program, and how much of its output is kept.
#[derive(Clone, Copy, Debug)]
pub struct Streams<'a> {
    /// The standard input of the program; `None` for no input. The input is sent only after the program has written
    /// something to standard output. A program that needs no input can therefore end first. If a program ended while
    /// its input is still sent, the connection would break, and the exit status would be lost.
    pub input: Option<&'a [u8]>,
    /// The number of bytes that are kept of each output stream: standard output and standard error.
    pub output_limit_bytes: u64,
}

impl Default for Streams<'_> {
    fn default() -> Self {
        Self { input: None, output_limit_bytes: OUTPUT_LIMIT_BYTES }
    }
}

/// Runs a program without input in a container of a pod, for at most `within`.
///
/// # Errors
///
/// [`NotRan`] says why the program gave no result.
pub async fn run(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    command: &[&str],
    within: Duration,
) -> Result<Ran, NotRan> {
    run_with(pods, (pod, container), command, Streams::default(), within).await
}

/// Runs a program in a container of a pod, for at most `within`. The second parameter is the pod and the container.
///
/// # Errors
///
/// [`NotRan`] says why the program gave no result.
pub async fn run_with(
    pods: &Api<Pod>,
    (pod, container): (&str, &str),
    command: &[&str],
    streams: Streams<'_>,
    within: Duration,
) -> Result<Ran, NotRan> {
    let Streams { input, output_limit_bytes: limit } = streams;
    let ran = async {
        let parameters = AttachParams::default().container(container).stdin(input.is_some()).stdout(true).stderr(true);
        // The library kube gives this buffer 1 KiB by default. A long input would then need thousands of messages.
        let parameters = if input.is_some() { parameters.max_stdin_buf_size(INPUT_BUFFER_BYTES) } else { parameters };
        let mut process = pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|it| refused(&it))?;
        let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
        let began = Notify::new();
        let fed = async {
            if let (Some(mut stdin), Some(input)) = (process.stdin(), input) {
                began.notified().await;
                // The program may end without reading all of its input. Its exit code then says more than this error,
                // so the error is only logged.
                if let Err(error) = stdin.write_all(input).await {
                    tracing::debug!(%error, "the input of a program broke off");
                }
                let _ = stdin.shutdown().await;
            }
            std::future::pending().await
        };
        let ended = async {
            tokio::join!(read(out, limit, Some(&began)), read(err, limit, None), async {
                match status {
                    Some(status) => status.await,
                    None => None,
                }
            })
        };
        let (stdout, stderr, status) = tokio::select! {
            ended = ended => ended,
            never = fed => never,
        };
        Ok(Ran { exit: exit_code(status)?, stdout, stderr })
    };
    tokio::time::timeout(within, ran).await.map_err(|_| NotRan::Late { waited: within })?
}

/// Finds out what a failed request for an exec means. If a container does not run, the apiserver passes on the
/// kubelet's message as an internal error (500). Therefore a 500 with this message is about the container and not about
/// the apiserver.
fn refused(error: &kube::Error) -> NotRan {
    match error {
        kube::Error::Api(status) if status.message.contains(NO_CONTAINER) => NotRan::Failed(api_message(error)),
        other if is_transient(other) => NotRan::Lost(in_full(other)),
        other => NotRan::Failed(api_message(other)),
    }
}

/// Returns the exit code of a program, from the status with which its exec ends. If there is no status, the connection
/// broke.
pub(super) fn exit_code(status: Option<Status>) -> Result<i32, NotRan> {
    let status = status.ok_or_else(|| NotRan::Lost("the exec was cut off".to_owned()))?;
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.iter().flat_map(|it| it.causes.iter().flatten());
    let code = causes.filter(|it| it.reason.as_deref() == Some("ExitCode")).find_map(|it| it.message.clone());
    if let Some(exit) = code.and_then(|code| code.parse().ok()) {
        return Ok(exit);
    }
    let why = status.message.unwrap_or_else(|| "the exec failed".to_owned());
    Err(if is_of_the_machine(&why) || NO_KUBELET.iter().any(|it| why.contains(it)) {
        NotRan::Lost(why)
    } else {
        NotRan::Failed(why)
    })
}

/// Reads one output stream of a program, and returns the beginning of the output. Notifies `began` when the first bytes
/// arrive. The rest of the output is also read, but dropped, because a program whose output is not read would block.
async fn read(output: Option<impl AsyncRead + Unpin>, limit: u64, began: Option<&Notify>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut beginning = Vec::new();
    let all = async {
        if output.read_buf(&mut beginning).await? > 0 {
            began.inspect(|it| it.notify_one());
        }
        (&mut output).take(limit.saturating_sub(beginning.len() as u64)).read_to_end(&mut beginning).await?;
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await
    };
    // The text that was read before the stream broke is used. The exit status says how the program ended.
    if let Err(error) = all.await {
        tracing::debug!(%error, "the output of a program broke off");
    }
    String::from_utf8_lossy(&beginning).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broken_exec_is_told_from_a_container_that_does_not_run() {
        let lost = |it: &NotRan| matches!(it, NotRan::Lost(_));
        let api = |code: u16, message: &str| {
            let status = json!({ "status": "Failure", "code": code, "reason": "X", "message": message });
            kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")))
        };
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for (error, expected) in [
            (api(404, "pods \"db-0\" not found"), false),
            (api(400, "container x is not valid for pod db-0"), false),
            (api(500, "unable to upgrade connection: container not found (\"app\")"), false),
            (api(500, "etcdserver: request timed out"), true),
            (api(503, ""), true),
            (kube::Error::Service(Box::new(reset())), true),
        ] {
            assert_eq!(lost(&refused(&error)), expected, "{error}");
        }
        let ended = |status: serde_json::Value| exit_code(Some(serde_json::from_value(status).expect("a status")));
        let exited =
            json!({ "status": "Failure", "details": { "causes": [{ "reason": "ExitCode", "message": "3" }] } });
        assert_eq!(ended(exited), Ok(3));
        assert_eq!(ended(json!({ "status": "Success" })), Ok(0));
        for (message, expected) in [
            ("error dialing backend: dial tcp 10.0.0.2:10250: connect: connection refused", true),
            ("error sending request: Post \"https://10.0.0.2:10250/exec\": EOF", true),
            ("unable to upgrade connection: container not found (\"app\")", false),
        ] {
            let told = ended(json!({ "status": "Failure", "code": 500, "message": message }));
            assert_eq!(told.as_ref().err().map(lost), Some(expected), "{message}");
        }
        assert!(exit_code(None).is_err_and(|it| lost(&it)));
    }

    #[tokio::test]
    async fn output_that_is_no_text_is_read_and_what_is_too_long_is_drained() {
        assert_eq!(read(Some(&b"a\xffb"[..]), OUTPUT_LIMIT_BYTES, None).await, "a\u{fffd}b");
        let limit = usize::try_from(OUTPUT_LIMIT_BYTES).unwrap();
        // The limit cuts a character that has several bytes.
        let long = [b"x".repeat(limit - 1), "ü".repeat(limit).into_bytes()].concat();
        let mut output = &long[..];
        let text = read(Some(&mut output), OUTPUT_LIMIT_BYTES, None).await;
        assert!(text.starts_with("xxx") && text.ends_with('\u{fffd}'), "{}", text.len());
        assert_eq!(output, b"", "it is read to its end");
        assert_eq!(read(None::<&[u8]>, OUTPUT_LIMIT_BYTES, None).await, "");
    }
}
