//! Reads log lines of containers: the last line of a container that ended, and the lines that show a declared failure.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::api::{ListParams, LogParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use parallax_vocab::Cause;
use tokio::time::Instant;

use crate::cluster::{until, watched};
use crate::probe::lives::{OUT_OF_MEMORY, end_of};
use parallax_record::Noted as _;

/// The number of last lines that are read from a log.
const TAIL_LINES: i64 = 40;
/// The number of last lines that are searched for the reason why a program ended. Earlier lines are not searched,
/// because a program writes the reason at its end.
const LAST_WORDS: usize = 5;
/// The exit code of a process that SIGKILL ended.
const KILLED: i32 = 137;
/// The reason in the status of a pod that the kubelet ended because the node lacks a resource.
const EVICTED: &str = "Evicted";
/// The largest number of bytes that are read from a log while it is followed.
const FOLLOWED_BYTES: i64 = 4 * 1024 * 1024;
/// If a line is long, this many characters are quoted from its beginning and from its end. The end matters because Go
/// programs print the original error last.
const QUOTE_ENDS: (usize, usize) = (100, 260);
/// After the log of a running container has shown the declared cause, the container may still become ready within this
/// time. If the container becomes ready, the line does not count.
const READY_ANYWAY_WITHIN: Duration = Duration::from_secs(10);

/// A function that decides whether a log line shows the cause that the caller expects.
pub(super) type Wanted<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// The log line that best explains why a container ended. Of the last [`LAST_WORDS`] lines, it is the newest one for
/// which `wanted` returns true. If `wanted` returns true for none of them, it is the last line.
pub(super) async fn last(pods: &Api<Pod>, pod: &str, container: &str, wanted: Option<Wanted<'_>>) -> Option<String> {
    let text = tail(pods, pod, container, false).await?;
    decisive_line(&text, wanted).map(quoted)
}

/// The last lines of a container's log. `previous` selects the instance before the current one.
async fn tail(pods: &Api<Pod>, pod: &str, container: &str, previous: bool) -> Option<String> {
    let parameters = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(TAIL_LINES),
        previous,
        ..LogParams::default()
    };
    pods.logs(pod, &parameters).await.noted("read the last words of a container")
}

fn decisive_line<'a>(text: &'a str, wanted: Option<Wanted<'_>>) -> Option<&'a str> {
    wanted
        .and_then(|wanted| last_words(text.lines()).find(|line| wanted(line)))
        .or_else(|| last_words(text.lines()).next())
}

/// The last lines that are not empty, at most [`LAST_WORDS`]. The newest line comes first.
pub(crate) fn last_words<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.map(str::trim).filter(|line| !line.is_empty()).rev().take(LAST_WORDS)
}

/// Whether a container was ended from outside and not by its own program, for example by the kernel or the kubelet. In
/// this case, the lines of its log do not say why it ended.
pub(super) fn was_killed(ended: &ContainerStateTerminated) -> bool {
    ended.exit_code == KILLED || ended.reason.as_deref() == Some(OUT_OF_MEMORY)
}

fn quoted(line: &str) -> String {
    let (head, tail) = QUOTE_ENDS;
    let length = line.chars().count();
    if length <= head + tail {
        return line.to_owned();
    }
    let head: String = line.chars().take(head).collect();
    let tail: String = line.chars().skip(length - tail).collect();
    format!("{head} ... {tail}")
}

/// Describes the first container of the selected pods that is not ready: its state and the last line of its log.
pub(super) async fn of_unready(client: &Client, namespace: &str, selected: &watcher::Config) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let watcher::Config { label_selector, field_selector, .. } = selected.clone();
    let found = pods.list(&ListParams { label_selector, field_selector, ..ListParams::default() }).await;
    let found = found.noted("list the pods that are not ready")?.items;
    let (pod, container) = found.iter().find_map(|pod| {
        let unready = containers(pod).find(|it| !it.ready)?;
        Some((pod.metadata.name.clone()?, unready))
    })?;
    let state = super::evidence::state(container);
    let says = last(&pods, &pod, &container.name, None).await.map_or(String::new(), |line| format!(": {line}"));
    Some(format!("container {} of pod {pod}: {}{says}", container.name, state.trim_end()))
}

/// Resolves when a log line that `wanted` accepts turns out to be the reason why a container is not ready. Otherwise
/// the future never resolves. The result contains the container, the pod and the line.
///
/// The accepted line is the reason in two cases. In the first case, the container does not become ready within
/// [`READY_ANYWAY_WITHIN`] after the line. In the second case, the container ends, and the line is among its last
/// lines. A line does not count if the container was ended from outside.
pub(super) async fn wanted_line(client: &Client, namespace: &str, selector: &str, wanted: Wanted<'_>) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selected = watcher::Config::default().labels(selector);
    let mut seen = watched(pods.clone(), selected, "pods");
    let mut followed: BTreeSet<String> = BTreeSet::new();
    let mut refused: BTreeSet<String> = BTreeSet::new();
    let mut lines: SelectAll<BoxStream<'_, Line>> = SelectAll::new();
    loop {
        let line = tokio::select! {
            event = seen.next() => {
                let Some(pod) = event else { return std::future::pending().await };
                for (container, instance) in instances(&pod) {
                    if followed.insert(instance.clone()) {
                        lines.push(follow(&pods, &pod, container, instance));
                    }
                }
                continue;
            }
            Some(line) = lines.next(), if !lines.is_empty() => line,
        };
        if refused.contains(&line.instance) || !wanted(&line.text) {
            continue;
        }
        let ended = |pod: Option<&Pod>| !pod.is_some_and(|it| runs(it, &line.instance));
        // The result of this wait does not matter. If the container becomes ready during the wait, the caller cancels
        // this future. So after the wait, the container has ended or is not ready.
        drop(until(&pods, &line.pod, ended, Instant::now() + READY_ANYWAY_WITHIN).await);
        if let Some(text) = decisive(&pods, &line, wanted).await {
            return format!("container {} of pod {}: {}", line.container, line.pod, quoted(text.trim()));
        }
        tracing::debug!(pod = line.pod, container = line.container, line = line.text, "a line is not the reason");
        refused.insert(line.instance);
    }
}

/// After a container logged a wanted line, returns the line that counts as the reason why the container is not ready.
/// `None` if the container ended for another reason, or if it is not known how it ended.
async fn decisive(pods: &Api<Pod>, line: &Line, wanted: Wanted<'_>) -> Option<String> {
    let pod = pods.get_opt(&line.pod).await.noted("look at a pod that is not ready")??;
    match how(&pod, &line.container, &line.instance)? {
        How::Runs => Some(line.text.clone()),
        How::Ended { previous } => {
            let text = tail(pods, &line.pod, &line.container, previous).await?;
            last_words(text.lines()).find(|it| wanted(it)).map(str::to_owned)
        }
    }
}

/// What has become of one instance of a container: it still runs, or it ended.
#[derive(Debug, PartialEq, Eq)]
enum How {
    Runs,
    /// The program ended on its own. `previous` is true if the kubelet has started another instance of the container
    /// since then.
    Ended {
        previous: bool,
    },
}

/// Finds out what has become of the instance with this id. `None` if the container was ended from outside, or if it is
/// not known how it ended.
fn how(pod: &Pod, container: &str, id: &str) -> Option<How> {
    if runs(pod, id) {
        return Some(How::Runs);
    }
    if pod.status.as_ref().is_some_and(|it| it.reason.as_deref() == Some(EVICTED)) {
        return None;
    }
    let status = containers(pod).find(|it| it.name == container)?;
    let end = end_of(status, id)?;
    let previous = instance(status).as_deref() != Some(id);
    (!was_killed(end)).then_some(How::Ended { previous })
}

/// The cause of a workload that is not ready.
pub(super) fn cause(resource: &str, detail: &str) -> Cause {
    Cause::Resource { resource: resource.to_owned(), detail: detail.to_owned() }
}

/// One log line, with the pod, the container and the id of the container's instance that wrote it.
struct Line {
    pod: String,
    container: String,
    instance: String,
    text: String,
}

fn follow<'a>(pods: &Api<Pod>, pod: &Pod, container: &str, instance: String) -> BoxStream<'a, Line> {
    let parameters = LogParams {
        container: Some(container.to_owned()),
        follow: true,
        limit_bytes: Some(FOLLOWED_BYTES),
        ..LogParams::default()
    };
    let (pods, container) = (pods.clone(), container.to_owned());
    let pod = pod.metadata.name.clone().unwrap_or_default();
    let name = pod.clone();
    let opened = async move {
        let log = pods.log_stream(&name, &parameters).await.map_err(std::io::Error::other);
        log.map(futures::io::AsyncBufReadExt::lines)
    };
    let lines = futures::stream::once(opened).try_flatten();
    // If the stream of a log breaks, the error is ignored, because the lines before it were already checked. If the
    // container starts again, the log of the new instance is followed.
    let lines = lines.filter_map(|line| std::future::ready(line.noted("follow what a container says")));
    lines
        .map(move |text| Line { pod: pod.clone(), container: container.clone(), instance: instance.clone(), text })
        .boxed()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|it| it.init_container_statuses.iter().chain(&it.container_statuses).flatten())
}

/// The containers of a pod that have a log, each with the id of the instance that runs now or ran last.
fn instances(pod: &Pod) -> impl Iterator<Item = (&str, String)> {
    containers(pod).filter_map(|it| Some((it.name.as_str(), instance(it)?)))
}

fn instance(status: &ContainerStatus) -> Option<String> {
    let now = status.state.as_ref()?;
    let waits = now.waiting.is_some();
    let ended = status.last_state.as_ref().and_then(|it| it.terminated.as_ref());
    let ended = now.terminated.as_ref().or(ended.filter(|_| waits));
    match (&now.running, ended) {
        (Some(_), _) => status.container_id.clone(),
        (None, Some(ended)) => ended.container_id.clone(),
        (None, None) => None,
    }
}

fn runs(pod: &Pod, id: &str) -> bool {
    containers(pod).any(|it| {
        it.container_id.as_deref() == Some(id) && it.state.as_ref().is_some_and(|state| state.running.is_some())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_decisive_line_is_the_wanted_one_or_the_last() {
        let text = "begins\nFATAL: no such key\n  usage: minio\n\n";
        let wants = |words: &'static str| move |line: &str| line.contains(words);
        assert_eq!(decisive_line(text, None), Some("usage: minio"));
        assert_eq!(decisive_line(text, Some(&wants("no such key"))), Some("FATAL: no such key"));
        assert_eq!(decisive_line(text, Some(&wants("never said"))), Some("usage: minio"));
        assert_eq!(decisive_line("\n\n", None), None);
        // The newest wanted line counts, if it is one of the last `LAST_WORDS` lines.
        assert_eq!(decisive_line("no 1\nno 2\nend", Some(&wants("no"))), Some("no 2"));
        let earlier = format!("no such key\n{}", "later\n\n".repeat(LAST_WORDS));
        assert_eq!(decisive_line(&earlier, Some(&wants("no such key"))), Some("later"));
        let long = format!("begin{}end", "x".repeat(QUOTE_ENDS.0 + QUOTE_ENDS.1));
        let short = quoted(&long);
        assert!(short.starts_with("begin") && short.contains(" ... ") && short.ends_with("end"), "{short}");
        assert_eq!(quoted("as it is"), "as it is");
    }

    #[test]
    fn a_line_is_the_reason_only_if_the_program_ended_by_itself() {
        let end = |id: &str, code: i32, reason: &str| json!({"terminated": {"exitCode": code, "containerID": id, "reason": reason}});
        let none = json!({});
        let ended = |previous| Some(How::Ended { previous });
        for (state, last, id, of_pod, expected) in [
            (json!({"running": {}}), none.clone(), "a", "", Some(How::Runs)),
            (end("a", 1, "Error"), none.clone(), "a", "", ended(false)),
            (json!({"waiting": {}}), end("a", 1, "Error"), "a", "", ended(false)),
            (json!({"running": {}}), end("a", 1, "Error"), "b", "", ended(true)),
            (end("a", 137, "OOMKilled"), none.clone(), "a", "", None),
            (end("a", 137, "Error"), none.clone(), "a", "", None),
            (json!({"running": {}}), end("a", 137, "Error"), "b", "", None),
            (end("a", 1, "Error"), none.clone(), "a", "Evicted", None),
            // The status of the container no longer shows how this earlier instance (`b`) ended.
            (json!({"running": {}}), end("c", 1, "Error"), "b", "", None),
        ] {
            let status = json!({"name": "minio", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state, "lastState": last, "containerID": id});
            let pod = json!({"status": {"reason": of_pod, "containerStatuses": [status]}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(how(&pod, "minio", "a"), expected, "{state} {last} {of_pod}");
        }
    }

    #[test]
    fn each_instance_of_a_container_has_its_own_id() {
        let status = |state, last, id| {
            json!({"name": "minio", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state, "lastState": last, "containerID": id})
        };
        let ended = |id: &str| json!({"terminated": {"exitCode": 1, "containerID": id}});
        let table = [
            (status(json!({"running": {}}), json!({}), "a"), Some("a")),
            (status(json!({"running": {}}), ended("a"), "b"), Some("b")),
            (status(ended("b"), ended("a"), "b"), Some("b")),
            (status(json!({"waiting": {}}), ended("b"), "b"), Some("b")),
            (status(json!({"waiting": {}}), json!({}), ""), None),
        ];
        for (status, expected) in table {
            let status: ContainerStatus = serde_json::from_value(status).expect("a status");
            assert_eq!(instance(&status).as_deref(), expected, "{status:?}");
        }
    }
}
