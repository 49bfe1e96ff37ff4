//! Runs one program in a container of a pod to its end, over the apiserver's exec.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::cluster::{api_message, is_transient};
use parallax_record::in_full;

/// The number of bytes that are kept of standard output, and of standard error.
const OUTPUT_LIMIT_BYTES: u64 = 64 * 1024;
/// The kubelet's message for an exec into a container that does not run (`GetExec` in `pkg/kubelet/kubelet_pods.go`).
pub(super) const NO_CONTAINER: &str = "container not found";
/// Parts of the apiserver's messages for an exec if it cannot reach the kubelet (`pkg/util/proxy` of apimachinery, and
/// its successor for exec over WebSocket).
const NO_KUBELET: [&str; 2] = ["error dialing backend", "error sending request"];
/// Parts of the container runtime's messages if it could not start the program: it was late, its helper process (the
/// shim) ended, or the machine had no capacity for another process.
const NO_RUNTIME: [&str; 5] = [
    "context deadline exceeded",
    "DeadlineExceeded",
    "ttrpc: closed",
    "temporarily unavailable",
    "cannot allocate memory",
];

/// Whether a message of the container runtime means that the machine is the reason of a failure, and not the request.
pub fn is_of_the_machine(message: &str) -> bool {
    NO_RUNTIME.iter().any(|it| message.contains(it))
}

/// The result of a program that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code of the program.
    pub exit: i32,
    /// The standard output of the program, at most 64 KiB.
    pub stdout: String,
    /// The standard error of the program, at most 64 KiB.
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

/// Runs a program in a container of a pod, for at most `within`.
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
        let mut process = pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|it| refused(&it))?;
        let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
        let (stdout, stderr, status) = tokio::join!(read(out), read(err), async {
            match status {
                Some(status) => status.await,
                None => None,
            }
        });
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

/// The exit code of a program, from the status with which its exec ends. Without a status, the connection broke.
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

/// Reads one output of a program, and returns its beginning. The rest is read too and dropped, because a program whose
/// output is not read would block.
async fn read(output: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut beginning = Vec::new();
    let all = async {
        (&mut output).take(OUTPUT_LIMIT_BYTES).read_to_end(&mut beginning).await?;
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
        assert_eq!(read(Some(&b"a\xffb"[..])).await, "a\u{fffd}b");
        let limit = usize::try_from(OUTPUT_LIMIT_BYTES).unwrap();
        // The limit splits a character of several bytes.
        let long = [b"x".repeat(limit - 1), "ü".repeat(limit).into_bytes()].concat();
        let mut output = &long[..];
        let text = read(Some(&mut output)).await;
        assert!(text.starts_with("xxx") && text.ends_with('\u{fffd}'), "{}", text.len());
        assert_eq!(output, b"", "it is read to its end");
        assert_eq!(read(None::<&[u8]>).await, "");
    }
}
