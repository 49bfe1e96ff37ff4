//! A session with the agent in a pod, over the apiserver's exec.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use parallax_vocab::{Answer, Question};

use super::exec::NO_CONTAINER;
use super::{Hello, ProbeError, Session};
use crate::cluster::{api_message, is_transient, met, pauses};

/// The path of the agent in its image.
pub const AGENT_PATH: &str = "/parallax-agent";

/// The command that starts a session of the agent in its image.
pub const AGENT_SESSION: [&str; 2] = [AGENT_PATH, "session"];

/// The time limit for opening a session, including all tries.
const OPENS_WITHIN: Duration = Duration::from_secs(35);
/// After the agent's process has ended, the watch of the pod has this time to report that the pod was deleted. The
/// deletion of the pod explains more than the end of the process.
const WATCH_LIMIT: Duration = Duration::from_millis(1500);
/// The size of the buffers with which the library kube copies the data of an exec, in bytes. With kube's default of 1
/// KiB, one answer of the agent would be copied in hundreds of pieces.
const BUFFER_BYTES: usize = 64 * 1024;

/// A session with the agent in one pod. The session ends when this value and all probers that use the session are
/// dropped.
#[derive(Debug)]
pub struct PodSession {
    session: Arc<Session>,
}

impl PodSession {
    /// Starts the agent by `command` in the running pod `name`. `container` names the container; `None` means the pod's
    /// only container. As long as the session is open, it watches the pod, so that it notices the pod's end.
    pub async fn open(
        client: kube::Client,
        namespace: &str,
        name: &str,
        container: Option<&str>,
        command: &[&str],
    ) -> Result<Self, ProbeError> {
        let place = format!("pod {name} of namespace {namespace}");
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let mut params = AttachParams::default()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .tty(false)
            .max_stdin_buf_size(BUFFER_BYTES)
            .max_stdout_buf_size(BUFFER_BYTES)
            .max_stderr_buf_size(BUFFER_BYTES);
        if let Some(container) = container {
            params = params.container(container);
        }
        let opened = Box::pin(tokio::time::timeout(OPENS_WITHIN, async {
            let mut pauses = pauses();
            loop {
                match once(&place, &pods, (name, container), command, &params).await {
                    // No question has been sent yet, so a session whose connection broke can safely be opened again.
                    Err(Broken { error, again: true }) => {
                        tracing::debug!(%error, "a session is opened again");
                        // No event reports that the apiserver is reachable again, so the code polls.
                        tokio::time::sleep(pauses.pause()).await;
                    }
                    Err(Broken { error, again: false }) => return Err(error),
                    Ok(session) => return Ok(Self { session: Arc::new(session) }),
                }
            }
        }));
        let late = |_| ProbeError::Start {
            place: place.clone(),
            why: format!("the apiserver opened no session in {} s", OPENS_WITHIN.as_secs()),
        };
        opened.await.map_err(late)?
    }

    /// Returns the first message of the agent, in which it names its host and its addresses.
    pub fn hello(&self) -> &Hello {
        self.session.hello()
    }

    /// Asks one question and returns the answer.
    pub async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        self.session.ask(question).await
    }

    /// Returns the session itself. A prober keeps it as long as the prober runs.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Ends the session with the agent.
    pub async fn close(self) {
        // If a prober still uses the session, the session ends when the prober drops it.
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
    }
}

/// The reason why a session could not be opened, and whether another try may help.
struct Broken {
    error: ProbeError,
    /// Whether the connection to the apiserver broke. A broken connection says nothing about the pod, so another try
    /// may succeed.
    again: bool,
}

/// Tries once to open a session with the agent in a pod.
async fn once(
    place: &str,
    pods: &Api<Pod>,
    (name, container): (&str, Option<&str>),
    command: &[&str],
    params: &AttachParams,
) -> Result<Session, Broken> {
    let start = |why: String| ProbeError::Start { place: place.to_owned(), why };
    let exec = pods.exec(name, command.iter().copied(), params).await;
    // If a container does not run, the kubelet's message arrives with the status 500, which normally counts as
    // transient. A container that does not run is not a transient failure.
    let again = |why: &kube::Error| is_transient(why) && !api_message(why).contains(NO_CONTAINER);
    let mut process = exec.map_err(|why| Broken { again: again(&why), error: start(api_message(&why)) })?;
    let missing = || Broken { error: start("the exec came without its streams".to_owned()), again: false };
    let stdin = process.stdin().ok_or_else(missing)?;
    let stdout = process.stdout().ok_or_else(missing)?;
    let stderr = process.stderr().ok_or_else(missing)?;
    let cut = Arc::new(AtomicBool::new(false));
    let ended = ended(process, pods.clone(), name.to_owned(), container.map(str::to_owned), Arc::clone(&cut));
    let opened = Session::open(place, stdin, stdout, stderr, ended).await;
    opened.map_err(|error| Broken { error, again: cut.load(Ordering::Relaxed) })
}

/// Completes with the reason when the agent's process or its pod is gone. The future owns the exec, so the exec exists
/// as long as the future.
///
/// If the connection broke, the future sets `cut` before it completes.
async fn ended(
    mut process: AttachedProcess,
    pods: Api<Pod>,
    name: String,
    container: Option<String>,
    cut: Arc<AtomicBool>,
) -> String {
    let status = process.take_status();
    let exited = async {
        match status {
            Some(status) => status.await.map_or_else(
                || {
                    cut.store(true, Ordering::Relaxed);
                    Exit::Broken("the exec was cut off".to_owned())
                },
                exit,
            ),
            None => std::future::pending().await,
        }
    };
    first_reason(exited, pod_gone(pods, &name, container.as_deref()), WATCH_LIMIT).await
}

/// How the process of an exec ended.
enum Exit {
    /// The process ended normally, for example because its input ended.
    Clean,
    /// The process ended abnormally. The text is the reason.
    Broken(String),
}

/// Waits for the end of the process or of the pod, and returns the reason. The reason of the pod is preferred, because
/// the process always ends abnormally if its pod ends. Therefore, after an abnormal end of the process, the function
/// waits for the pod's reason for at most `patience`.
async fn first_reason(
    exited: impl Future<Output = Exit>,
    gone: impl Future<Output = String>,
    patience: Duration,
) -> String {
    let mut gone = pin!(gone);
    tokio::select! {
        exit = exited => match exit {
            Exit::Clean => "it ended by itself".to_owned(),
            Exit::Broken(why) => tokio::time::timeout(patience, gone).await.unwrap_or(why),
        },
        why = &mut gone => why,
    }
}

/// Completes when the pod is deleted or the agent's container has ended.
async fn pod_gone(pods: Api<Pod>, name: &str, container: Option<&str>) -> String {
    // The future is boxed, so that the buffers of the watch do not enlarge every future that awaits it.
    let pod = Box::pin(met(pods, name, |pod: Option<&Pod>| verdict(pod, container).is_some())).await;
    verdict(pod.as_ref(), container).unwrap_or_default()
}

/// The reason why `container` (or the pod's first container) has ended, according to the state of the pod. `None` if
/// the container still runs.
fn verdict(pod: Option<&Pod>, container: Option<&str>) -> Option<String> {
    let Some(pod) = pod else { return Some("the pod was deleted".to_owned()) };
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("the pod was deleted".to_owned());
    }
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let why = status.reason.as_deref().or(status.message.as_deref()).unwrap_or("no reason given");
        return Some(format!("the pod failed: {why}"));
    }
    let first = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|first| first.name.as_str());
    let name = container.or(first)?;
    let all = status.container_statuses.iter().chain(&status.ephemeral_container_statuses).flatten();
    let ours = { all }.find(|status| status.name == name)?;
    let ended = ours.state.as_ref()?.terminated.as_ref()?;
    let why = ended.reason.as_deref().unwrap_or("no reason given");
    Some(format!("its container {name} ended with exit code {}: {why}", ended.exit_code))
}

/// Finds out from the final status of an exec how the process ended.
fn exit(status: Status) -> Exit {
    match status.status.as_deref() {
        Some("Success") => Exit::Clean,
        _ => Exit::Broken(status.message.or(status.reason).unwrap_or_else(|| "it ended".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Does, apiserver, status};

    #[test]
    fn a_pod_that_goes_is_told_from_one_that_stands() {
        let ended = json!({"metadata": {}, "spec": {"containers": [{"name": "hold"}, {"name": "side"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "side", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
                {"name": "hold", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}});
        let hold_ended = Some("its container hold ended with exit code 137: OOMKilled");
        let table = [
            (json!({"metadata": {}}), None, None),
            (json!({"metadata": {}, "status": {"phase": "Running"}}), None, None),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), None, Some("the pod was deleted")),
            (
                json!({"metadata": {}, "status": {"phase": "Failed", "reason": "Evicted"}}),
                None,
                Some("the pod failed: Evicted"),
            ),
            (ended.clone(), None, hold_ended),
            (ended.clone(), Some("hold"), hold_ended),
            (ended, Some("side"), None),
        ];
        let beside = json!({"metadata": {}, "status": {"ephemeralContainerStatuses": [
            {"name": "check", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}});
        let check_ended = Some("its container check ended with exit code 0: Completed");
        let table = table.into_iter().chain([(beside, Some("check"), check_ended)]);
        for (pod, container, expected) in table {
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(verdict(Some(&pod), container).as_deref(), expected);
        }
        assert_eq!(verdict(None, None).as_deref(), Some("the pod was deleted"));
    }

    #[tokio::test]
    async fn a_session_is_opened_again_when_the_connection_breaks() {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let (client, _server) = apiserver(Duration::from_secs(5), move |number, _| {
            counted.store(number, Ordering::Relaxed);
            match number {
                1 => Does::Reset,
                2 => status(500, "etcdserver: leader changed"),
                _ => status(404, "pods \"p\" not found"),
            }
        })
        .await;
        let error = PodSession::open(client, "n", "p", None, &AGENT_SESSION).await.expect_err("there is no pod");
        assert!(matches!(&error, ProbeError::Start { why, .. } if why.contains("not found")), "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn the_pods_reason_wins_when_it_comes_soon_enough() {
        let exited = || async { Exit::Broken("exit code 137".to_owned()) };
        let deleted = || async { "the pod was deleted".to_owned() };
        let patience = Duration::from_millis(20);
        assert_eq!(first_reason(exited(), deleted(), patience).await, "the pod was deleted");
        assert_eq!(first_reason(exited(), std::future::pending(), patience).await, "exit code 137");
        assert_eq!(first_reason(std::future::pending(), deleted(), patience).await, "the pod was deleted");
        let never = std::future::pending::<String>();
        let began = std::time::Instant::now();
        assert_eq!(first_reason(async { Exit::Clean }, never, Duration::from_mins(1)).await, "it ended by itself");
        assert!(began.elapsed() < Duration::from_secs(30), "a clean end waits for no watch");
    }
}
