//! Reading what containers wrote, by the apiserver: once, or as it is written.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{BoxStream, SelectAll};
use futures::{AsyncBufRead, AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ListParams, LogParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::{Pauses, is_transient, pauses};
use crate::record::in_full;
use parallax_language::scenario::target::LogTarget;

/// A line longer than this is cut.
const LINE_LIMIT_BYTES: usize = 64 * 1024;
/// A longer log is not read to its end, and says nothing.
const LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// Whose log is read, and which part of it.
#[derive(Clone, Debug)]
pub struct LogQuestion {
    /// Whose.
    pub target: LogTarget,
    /// In which namespace.
    pub namespace: String,
    /// Which container; none where pods have one only.
    pub container: Option<String>,
    /// The instance before the present one.
    pub previous: bool,
    /// Only what was written later.
    pub since: Option<OffsetDateTime>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is nothing that has this log: the asked system's doing.
    #[error("{0}")]
    None(String),
    /// The apiserver could not be asked.
    #[error("the log of {what} cannot be read: {source}")]
    Api {
        /// Whose.
        what: String,
        /// The client's reason.
        source: Box<kube::Error>,
    },
}

/// Hands every line to `take` until it says that it has seen enough or all is read.
pub async fn read(
    client: &Client,
    question: &LogQuestion,
    mut take: impl FnMut(&str, u64) -> bool,
) -> Result<(), LogError> {
    let reader = Reader::new(client, question);
    let pods = match selected(client, question).await? {
        Selected::One(name) => {
            vec![reader.pods.get_opt(&name).await.map_err(|it| reader.failed(it))?.ok_or_else(absent)?]
        }
        Selected::Labels(labels) => {
            let found = reader.pods.list(&ListParams::default().labels(&labels)).await;
            found.map_err(|it| reader.failed(it))?.items
        }
    };
    if pods.is_empty() {
        return Err(LogError::None("it has no pods".to_owned()));
    }
    let mut bytes = 0;
    for pod in &pods {
        let Some(instance) = reader.instance(pod)? else { continue };
        let Some(mut lines) = reader.open(&instance, false, None).await? else { continue };
        while let Some(line) = lines.next().await {
            // Of a log that breaks off nobody knows what else it says.
            let (at, line) = line.map_err(|it| reader.failed(kube::Error::ReadEvents(it)))?;
            let at = unix_ms(at);
            bounded(&mut bytes, &line)?;
            if take(&line, at) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Hands every line to `take` as it is written, from the first on, of pods that come later too, until it says that it has
/// seen enough. Ends in no other way: the caller bounds it.
pub async fn follow(
    client: &Client,
    question: &LogQuestion,
    mut take: impl FnMut(&str, u64) -> bool,
) -> Result<(), LogError> {
    let reader = Reader::new(client, question);
    let only = match selected(client, question).await? {
        Selected::One(name) => {
            reader.pods.get_opt(&name).await.map_err(|it| reader.failed(it))?.ok_or_else(absent)?;
            watcher::Config::default().fields(&format!("metadata.name={name}"))
        }
        Selected::Labels(labels) => watcher::Config::default().labels(&labels),
    };
    let mut pods = Box::pin(watcher(reader.pods.clone(), only).backoff(pauses()).applied_objects());
    let mut opened: BTreeSet<String> = BTreeSet::new();
    let mut lines: SelectAll<BoxStream<'static, Result<Line, LogError>>> = SelectAll::new();
    let mut bytes = 0;
    loop {
        tokio::select! {
            Some(pod) = pods.next() => {
                let pod = match pod {
                    Ok(pod) => pod,
                    Err(error) => {
                        tracing::debug!(error = in_full(&error), "the watch of pods broke and is begun again");
                        continue;
                    }
                };
                let Some(instance) = reader.instance(&pod)? else { continue };
                if opened.insert(instance.id.clone()) {
                    lines.push(reader.clone().followed(instance));
                }
            }
            Some(line) = lines.next(), if !lines.is_empty() => {
                let (at, line) = line?;
                bounded(&mut bytes, &line)?;
                if take(&line, unix_ms(at)) {
                    return Ok(());
                }
            }
        }
    }
}

fn bounded(bytes: &mut usize, line: &str) -> Result<(), LogError> {
    *bytes += line.len() + 1;
    if *bytes > LIMIT_BYTES {
        return Err(LogError::None(format!("its log is longer than {} MiB", LIMIT_BYTES >> 20)));
    }
    Ok(())
}

fn absent() -> LogError {
    LogError::None("it does not exist".to_owned())
}

enum Selected {
    One(String),
    Labels(String),
}

async fn selected(client: &Client, question: &LogQuestion) -> Result<Selected, LogError> {
    let namespace = &question.namespace;
    let failed = |source| LogError::Api { what: question.target.describe(namespace), source: Box::new(source) };
    let selector = match &question.target {
        LogTarget::Pod(name) => return Ok(Selected::One(name.clone())),
        // The apiserver has not heard of it.
        LogTarget::Beside(_) => return Err(absent()),
        LogTarget::Deployment(name) => {
            let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            let found = api.get_opt(name).await.map_err(failed)?.ok_or_else(absent)?;
            found.spec.map(|spec| spec.selector)
        }
        LogTarget::StatefulSet(name) => {
            let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
            let found = api.get_opt(name).await.map_err(failed)?.ok_or_else(absent)?;
            found.spec.map(|spec| spec.selector)
        }
    };
    Ok(Selected::Labels(labels(&selector.unwrap_or_default())))
}

/// A selector's labels as the apiserver takes them in a query.
fn labels(selector: &LabelSelector) -> String {
    let labels: BTreeMap<_, _> = selector.match_labels.iter().flatten().collect();
    labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// When a line was written, and the line.
type Line = (OffsetDateTime, String);

/// One run of a container.
struct Instance {
    pod: String,
    container: String,
    /// Changes with each start.
    id: String,
}

#[derive(Clone)]
struct Reader {
    pods: Api<Pod>,
    question: LogQuestion,
}

impl Reader {
    fn new(client: &Client, question: &LogQuestion) -> Self {
        Self { pods: Api::namespaced(client.clone(), &question.namespace), question: question.clone() }
    }

    fn failed(&self, source: kube::Error) -> LogError {
        let what = self.question.target.describe(&self.question.namespace);
        LogError::Api { what, source: Box::new(source) }
    }

    /// The present run of the pod's container that is meant; none where it has not begun yet.
    fn instance(&self, pod: &Pod) -> Result<Option<Instance>, LogError> {
        let Some(spec) = &pod.spec else { return Ok(None) };
        let all = || spec.init_containers.iter().flatten().chain(&spec.containers).map(|it| it.name.as_str());
        let container = match (&self.question.container, spec.containers.as_slice()) {
            (Some(name), _) if all().any(|it| it == name) => name.clone(),
            (Some(name), _) => {
                let known = all().collect::<Vec<_>>().join(", ");
                return Err(LogError::None(format!("it has no container {name}; it has {known}")));
            }
            (None, [only]) => only.name.clone(),
            (None, _) => {
                let known = all().collect::<Vec<_>>().join(", ");
                return Err(LogError::None(format!("its pods have several containers: say which of {known}")));
            }
        };
        let status = pod.status.as_ref();
        let mut statuses = status
            .into_iter()
            .flat_map(|it| it.init_container_statuses.iter().flatten().chain(it.container_statuses.iter().flatten()));
        let run = statuses.find(|it| it.name == container).and_then(run);
        let pod = pod.metadata.name.clone().unwrap_or_default();
        Ok(run.map(|id| Instance { pod, container, id }))
    }

    /// The lines of a run as they are written, to its end. A stream that breaks is opened again behind its last line.
    fn followed(self, it: Instance) -> BoxStream<'static, Result<Line, LogError>> {
        struct Following {
            reader: Reader,
            instance: Instance,
            lines: Option<BoxStream<'static, std::io::Result<Line>>>,
            after: Option<OffsetDateTime>,
            pauses: Pauses,
        }
        let begin = Following { reader: self, instance: it, lines: None, after: None, pauses: pauses() };
        let following = futures::stream::unfold(Some(begin), async |state| {
            let mut it = state?;
            loop {
                let why = match &mut it.lines {
                    None => match it.reader.open(&it.instance, true, it.after).await {
                        Ok(None) => return None,
                        Ok(lines) => {
                            it.lines = lines;
                            continue;
                        }
                        Err(LogError::Api { source, .. }) if is_transient(&source) => in_full(&source),
                        Err(error) => return Some((Err(error), None)),
                    },
                    Some(lines) => match lines.next().await? {
                        Ok(line) => {
                            it.after = Some(line.0);
                            it.pauses = pauses();
                            return Some((Ok(line), Some(it)));
                        }
                        Err(error) => error.to_string(),
                    },
                };
                it.lines = None;
                tracing::debug!(pod = it.instance.pod, container = it.instance.container, why, "a log is opened again");
                // The apiserver gives no notice when it can be reached again.
                tokio::time::sleep(it.pauses.pause()).await;
            }
        });
        following.boxed()
    }

    /// The lines of a run that were written after an instant; none where the kubelet has nothing of it.
    async fn open(
        &self,
        it: &Instance,
        follow: bool,
        after: Option<OffsetDateTime>,
    ) -> Result<Option<BoxStream<'static, std::io::Result<Line>>>, LogError> {
        let parameters = LogParams {
            container: Some(it.container.clone()),
            follow,
            previous: self.question.previous,
            timestamps: true,
            ..LogParams::default()
        };
        let since = self.question.since;
        match self.pods.log_stream(&it.pod, &parameters).await {
            Ok(stream) => {
                let later = move |line: std::io::Result<String>| match line {
                    Ok(line) => later(&line, since).filter(|it| after.is_none_or(|after| it.0 > after)).map(Ok),
                    Err(error) => Some(Err(error)),
                };
                Ok(Some(lines(stream).filter_map(move |line| std::future::ready(later(line))).boxed()))
            }
            Err(kube::Error::Api(status)) if self.question.previous && status.code < 429 => Err(LogError::None(
                format!("pod {} has no previous container {}: {}", it.pod, it.container, status.message),
            )),
            // It ended, or its pod did, since it was seen.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }
}

/// The id of a container's present or last run, where it has begun at all.
fn run(status: &ContainerStatus) -> Option<String> {
    let began = status.restart_count > 0
        || status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    began.then(|| status.container_id.clone().unwrap_or_default())
}

/// A line and its timestamp, where it is not too old.
fn later(line: &str, since: Option<OffsetDateTime>) -> Option<Line> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    let at = OffsetDateTime::parse(at, &Rfc3339).ok()?;
    since.is_none_or(|since| at >= since).then(|| (at, text.to_owned()))
}

/// Milliseconds since the Unix epoch.
fn unix_ms(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// Cuts a stream into lines of bounded length. One that breaks ends with the error, and with it a line that is not whole.
fn lines(
    reader: impl AsyncBufRead + Send + 'static,
) -> impl futures::Stream<Item = std::io::Result<String>> + Send + 'static {
    let state = Some((Box::pin(reader), Vec::new()));
    futures::stream::unfold(state, async |state| {
        let (mut reader, mut line) = state?;
        loop {
            let chunk = match reader.fill_buf().await {
                Ok(chunk) => chunk,
                Err(error) => return Some((Err(error), None)),
            };
            if chunk.is_empty() {
                return (!line.is_empty()).then(|| (Ok(text(&line)), None));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            line.extend_from_slice(&part[..part.len().min(LINE_LIMIT_BYTES.saturating_sub(line.len()))]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            reader.consume_unpin(used);
            if end.is_some() {
                return Some((Ok(text(&line)), Some((reader, Vec::new()))));
            }
        }
    })
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_cut_into_lines_and_none_is_too_long() {
        let long = "x".repeat(LINE_LIMIT_BYTES + 10);
        let text = format!("one\r\n\n{long}\nlast");
        let reader = futures::io::BufReader::with_capacity(7, futures::io::Cursor::new(text.into_bytes()));
        let cut: Vec<String> = lines(reader).map(|line| line.expect("it does not break")).collect().await;
        assert_eq!(cut.iter().map(String::len).collect::<Vec<_>>(), [3, 0, LINE_LIMIT_BYTES, 4]);
        assert_eq!((cut[0].as_str(), cut[3].as_str()), ("one", "last"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_told_from_one_that_ends() {
        let whole = futures::stream::iter([Ok("one\ntw".to_owned().into_bytes())]);
        let broken = whole.chain(futures::stream::iter([Err(std::io::Error::other("reset"))]));
        let cut: Vec<_> = lines(futures::TryStreamExt::into_async_read(broken)).collect().await;
        assert_eq!(cut.len(), 2, "{cut:?}");
        assert_eq!(cut[0].as_deref().ok(), Some("one"));
        assert!(cut[1].is_err(), "half a line is none");
    }

    #[test]
    fn what_was_written_before_is_left_out() {
        let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).expect("an instant");
        let since = Some(at("2026-01-01T00:00:01.5Z"));
        for (line, expected) in [
            ("2026-01-01T00:00:01.499999999Z a b", None),
            ("2026-01-01T00:00:01.500000001Z a b", Some("a b")),
            ("2026-01-01T00:00:02Z ", Some("")),
            ("2026-01-01T00:00:02Z", Some("")),
            ("no time", None),
        ] {
            assert_eq!(later(line, since).map(|it| it.1).as_deref(), expected, "{line}");
        }
        let line = later("2026-01-01T00:00:01.5Z a b", None).map(|(at, line)| (unix_ms(at), line));
        assert_eq!(line, Some((1_767_225_601_500, "a b".to_owned())));
    }

    #[test]
    fn a_run_has_begun_when_the_kubelet_says_so() {
        use serde_json::json;
        for (state, restarts, expected) in [
            (json!({"waiting": {"reason": "ContainerCreating"}}), 0, None),
            (json!({"running": {}}), 0, Some("containerd://a")),
            (json!({"terminated": {"exitCode": 1}}), 0, Some("containerd://a")),
            (json!({"waiting": {"reason": "CrashLoopBackOff"}}), 1, Some("containerd://a")),
        ] {
            let status = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "containerID": "containerd://a"});
            let status: ContainerStatus = serde_json::from_value(status).expect("a status");
            assert_eq!(run(&status).as_deref(), expected, "{state}");
        }
    }
}
