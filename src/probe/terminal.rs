//! A process with a terminal (TTY) in a container of a pod, over the apiserver's exec.

use futures::SinkExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, TerminalSize};
use tokio::sync::mpsc;

use super::ProbeError;
use super::exec::{NotRan, exit_code};
use parallax_engine::{Terminal, Window};

/// The largest number of messages about a new size of the terminal's window that wait to be sent.
const SIZES: usize = 8;

/// Starts a process with a terminal in a container of a running pod. The second parameter is the namespace, the pod and
/// the container.
pub async fn in_pod(
    client: Client,
    (namespace, pod, container): (&str, &str, &str),
    argv: &[&str],
) -> Result<Terminal, ProbeError> {
    let start = |why: String| ProbeError::Start { place: format!("pod {pod} of namespace {namespace}"), why };
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let parameters = AttachParams::interactive_tty().container(container);
    let mut process =
        pods.exec(pod, argv.iter().copied(), &parameters).await.map_err(|error| start(error.to_string()))?;
    let missing = || start("the exec came without its streams".to_owned());
    let stdin = process.stdin().ok_or_else(missing)?;
    let stdout = process.stdout().ok_or_else(missing)?;
    let mut resize = process.terminal_size().ok_or_else(missing)?;
    let status = process.take_status().ok_or_else(missing)?;
    let (sizes, mut changed) = mpsc::channel::<Window>(SIZES);
    tokio::spawn(async move {
        while let Some(Window { columns, rows }) = changed.recv().await {
            if resize.send(TerminalSize { width: columns, height: rows }).await.is_err() {
                return;
            }
        }
    });
    let exit = async move {
        let status = status.await;
        // `process` owns the connection, which must exist until the exit status has arrived.
        drop(process);
        exit_code(status).map_err(|why| match why {
            NotRan::Failed(why) | NotRan::Lost(why) => why,
            NotRan::Late { .. } => "it took too long".to_owned(),
        })
    };
    Ok(Terminal { stdin: Box::pin(stdin), stdout: Box::new(stdout), sizes, exit: Box::pin(exit) })
}
