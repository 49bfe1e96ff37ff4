//! Reads the output of containers from the apiserver: once, or continuously while it is written.

mod instance;

use std::collections::BTreeSet;
use std::ops::Range;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{Selector, SelectorExt as _};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::{pod_selector, watched};
use instance::Reader;
use parallax_language::scenario::target::LogTarget;

/// The size in bytes of the longest log that is read to its end. If a log is longer, the step has no result.
const LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// Says which log is read, and which part of it.
#[derive(Clone, Debug)]
pub struct LogQuestion {
    /// The object whose log is read.
    pub target: LogTarget,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the container; `None` if the pods have only one container.
    pub container: Option<String>,
    /// Whether to read only the log of the container's previous instance.
    pub previous: bool,
    /// Lines that were written before this time are left out. `None` leaves out no line.
    pub since: Option<OffsetDateTime>,
    /// Lines in this time range are left out, because other variants used the environment in this time.
    pub without: Range<OffsetDateTime>,
    /// Whether to read the logs of earlier instances too, as far as these logs exist. A step that checks that no line
    /// contains a text needs these logs.
    pub whole: bool,
    /// The pods of the variant's namespace that have been seen so far and that existed after `since`. If such a pod is
    /// gone, its log is reported as unread.
    pub seen: Vec<Pod>,
}

/// One line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The time at which the line was written, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The text of the line.
    pub text: String,
    /// Whether the line was longer than `text`, because the harness cuts long lines.
    pub cut: bool,
    /// Whether an earlier instance of the container wrote the line.
    pub earlier: bool,
}

/// How much of a log was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The number of container instances whose logs were read to their end.
    pub instances: usize,
    /// The logs that could not be read to their end, in words: the log and the reason.
    pub unread: Vec<String>,
}

/// The reason why no log could be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The object whose log was requested does not exist, or has no such log. This is a fault of the system under test.
    /// The text says what is missing.
    #[error("{0}")]
    None(String),
    /// The log cannot be read as the scenario requests. Either the pods have several containers and the scenario names
    /// none, or the log is longer than the harness reads. This says nothing about the system under test. The text is
    /// the reason.
    #[error("{0}")]
    Unclear(String),
    /// The request for a log to the apiserver failed.
    #[error("the log of {what} cannot be read: {source}")]
    Api {
        /// The object whose log was requested.
        what: String,
        /// The error that the Kubernetes client returned.
        source: Box<kube::Error>,
    },
}

/// Reads the selected logs once. Passes to `take` every existing line that the question does not leave out. Returns how
/// much was read. A log that cannot be read is reported in [`Extent::unread`].
pub async fn read(client: &Client, question: &LogQuestion, mut take: impl FnMut(&Line)) -> Result<Extent, LogError> {
    let reader = Reader::new(client, question);
    let selected = selected(client, question).await?;
    let pods = match &selected {
        Selected::One(name) => {
            vec![reader.pods.get_opt(name).await.map_err(|it| reader.failed(it))?.ok_or_else(absent)?]
        }
        Selected::Labels(labels) => {
            let found = reader.pods.list(&ListParams::default().labels(&labels.to_string())).await;
            found.map_err(|it| reader.failed(it))?.items
        }
    };
    if pods.is_empty() {
        return Err(LogError::None("it has no pods".to_owned()));
    }
    let mut bytes = 0;
    let mut extent = Extent::default();
    if question.whole && !question.previous {
        extent.unread = gone(&selected, question, &pods);
    }
    for pod in &pods {
        // A container that has not started has no log.
        let Some(instance) = reader.instance(pod)? else { continue };
        let mut runs = Vec::new();
        if question.whole && !question.previous {
            extent.unread.extend(instance.forgotten(question.since));
            extent.unread.extend(reader.rotated(pod, &instance).await);
            runs.extend(instance.before.iter().filter(|it| it.ended_after(question.since)).map(|_| true));
        }
        let ends_before = instance.until_next.filter(|_| question.previous);
        runs.push(question.previous && ends_before.is_none());
        for previous in runs {
            let Some(mut lines) = reader.open(&instance, previous, false).await? else {
                extent.unread.extend(reader.gone(&instance, previous).await?);
                continue;
            };
            let mut maybe_of_next = false;
            while let Some(line) = lines.next().await {
                // If the stream of a log breaks, its remaining lines are unknown, so the whole function fails.
                let line = line.map_err(|it| reader.broken(it))?;
                match later(line, question.since, &question.without) {
                    Dated::Line(at, _) if ends_before.is_some_and(|end| at >= end) => {
                        maybe_of_next = true;
                        break;
                    }
                    Dated::Line(_, line) => {
                        bounded(&mut bytes, &line.text)?;
                        take(&Line { earlier: previous && !question.previous, ..line });
                    }
                    Dated::Early => {}
                    // A line without a time is a message that the kubelet sends in place of the log.
                    Dated::Undated(said) => extent.unread.push(format!("pod {}: {said}", instance.pod)),
                }
            }
            // The container may have started again after its status was read. Then the lines that were read may come
            // from the log of another instance.
            if ends_before.is_some() && (maybe_of_next || !reader.is_still(&instance).await?) {
                extent.unread.push(instance.started_again());
                continue;
            }
            extent.instances += 1;
        }
    }
    Ok(extent)
}

/// Reads the selected logs while they are written, from the first line on. Passes every line to `take` until `take`
/// returns true. Pods that are created later are included. If `take` never returns true, the function never returns, so
/// the caller must set a time limit.
pub async fn follow(
    client: &Client,
    question: &LogQuestion,
    mut take: impl FnMut(&Line) -> bool,
) -> Result<(), LogError> {
    let reader = Reader::new(client, question);
    let only = match selected(client, question).await? {
        Selected::One(name) => {
            reader.pods.get_opt(&name).await.map_err(|it| reader.failed(it))?.ok_or_else(absent)?;
            watcher::Config::default().fields(&format!("metadata.name={name}"))
        }
        Selected::Labels(labels) => watcher::Config::default().labels(&labels.to_string()),
    };
    let mut pods = watched(reader.pods.clone(), only, "pods");
    let mut opened: BTreeSet<String> = BTreeSet::new();
    let mut lines: SelectAll<BoxStream<'static, Result<Line, LogError>>> = SelectAll::new();
    let mut bytes = 0;
    loop {
        tokio::select! {
            Some(pod) = pods.next() => {
                let Some(instance) = reader.instance(&pod)? else { continue };
                if opened.insert(instance.id.clone()) {
                    lines.push(reader.clone().followed(instance));
                }
            }
            Some(line) = lines.next(), if !lines.is_empty() => {
                let line = line?;
                bounded(&mut bytes, &line.text)?;
                if take(&line) {
                    return Ok(());
                }
            }
        }
    }
}

fn bounded(bytes: &mut usize, line: &str) -> Result<(), LogError> {
    *bytes += line.len() + 1;
    if *bytes > LIMIT_BYTES {
        return Err(LogError::Unclear(format!("the log is longer than {} MiB, which is not read", LIMIT_BYTES >> 20)));
    }
    Ok(())
}

/// Describes the selected pods that no longer exist. Their logs no longer exist either. This applies only to pods that
/// are selected by labels. If a pod is selected by name, only the pod that has this name now counts.
fn gone(selected: &Selected, question: &LogQuestion, pods: &[Pod]) -> Vec<String> {
    let Selected::Labels(labels) = selected else { return Vec::new() };
    let is_there = |seen: &&Pod| pods.iter().any(|it| it.metadata.uid == seen.metadata.uid);
    let of_question = |it: &&Pod| it.metadata.namespace.as_ref() == Some(&question.namespace);
    let gone = question.seen.iter().filter(of_question).filter(|it| labels.matches(it.labels()) && !is_there(it));
    gone.map(|it| format!("pod {} is gone, and its log with it", it.name_any())).collect()
}

fn absent() -> LogError {
    LogError::None("it does not exist".to_owned())
}

enum Selected {
    One(String),
    Labels(Selector),
}

async fn selected(client: &Client, question: &LogQuestion) -> Result<Selected, LogError> {
    let namespace = &question.namespace;
    let failed = |source| LogError::Api { what: question.target.describe(namespace), source: Box::new(source) };
    let of = match &question.target {
        LogTarget::Pod(name) => return Ok(Selected::One(name.clone())),
        // The container engine runs these three kinds of containers, so the apiserver does not have their logs.
        LogTarget::Beside(_) | LogTarget::Node(_) | LogTarget::World => return Err(absent()),
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
    pod_selector(of.unwrap_or_default()).map(Selected::Labels).map_err(LogError::None)
}

/// One line of a log, after its time was parsed.
#[derive(Debug, PartialEq, Eq)]
enum Dated {
    /// The line is part of the result. The first field is the time at which the line was written.
    Line(OffsetDateTime, Line),
    /// The line is left out of the result, because it was written too early, or while other variants ran.
    Early,
    /// The line has no time, so it does not come from the container. The field is its text.
    Undated(String),
}

/// Parses the time at the beginning of a line. A line before `since` or within `without` is left out of the result.
fn later(line: Line, since: Option<OffsetDateTime>, without: &Range<OffsetDateTime>) -> Dated {
    let (at, text) = line.text.split_once(' ').unwrap_or((&line.text, ""));
    let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else { return Dated::Undated(line.text) };
    let unix_ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    if since.is_some_and(|since| at < since) || without.contains(&at) {
        return Dated::Early;
    }
    Dated::Line(at, Line { unix_ms, text: text.to_owned(), ..line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selected_pod_that_is_gone_has_a_log_that_is_not_read() {
        let pod = |name: &str, app: &str| -> Pod {
            let metadata = serde_json::json!({ "name": name, "namespace": "n", "uid": name, "labels": { "app": app } });
            serde_json::from_value(serde_json::json!({ "metadata": metadata })).expect("a pod")
        };
        let question = |namespace: &str| LogQuestion {
            target: LogTarget::Deployment("store".to_owned()),
            namespace: namespace.to_owned(),
            container: None,
            previous: false,
            since: None,
            without: OffsetDateTime::UNIX_EPOCH..OffsetDateTime::UNIX_EPOCH,
            whole: true,
            seen: vec![pod("old", "store"), pod("new", "store"), pod("other", "other")],
        };
        let labels = || Selected::Labels(Selector::from_iter([("app".to_owned(), "store".to_owned())]));
        let there = [pod("new", "store")];
        assert_eq!(gone(&labels(), &question("n"), &there), ["pod old is gone, and its log with it"]);
        assert_eq!(gone(&labels(), &question("elsewhere"), &there), [""; 0]);
        assert_eq!(gone(&Selected::One("new".to_owned()), &question("n"), &there), [""; 0]);
    }

    #[test]
    fn what_was_written_before_is_left_out() {
        let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).expect("an instant");
        let since = Some(at("2026-01-01T00:00:01.5Z"));
        let without = at("2026-01-01T00:00:03Z")..at("2026-01-01T00:00:04Z");
        for (line, expected) in [
            ("2026-01-01T00:00:03Z a b", None),
            ("2026-01-01T00:00:03.999Z a b", None),
            ("2026-01-01T00:00:04Z a b", Some("a b")),
            ("2026-01-01T00:00:01.499999999Z a b", None),
            ("2026-01-01T00:00:01.500000001Z a b", Some("a b")),
            ("2026-01-01T00:00:02Z ", Some("")),
            ("2026-01-01T00:00:02Z", Some("")),
            ("no time", Some("undated: no time")),
        ] {
            let text = match later(Line { text: line.to_owned(), ..Line::default() }, since, &without) {
                Dated::Line(_, line) => Some(line.text),
                Dated::Early => None,
                Dated::Undated(said) => Some(format!("undated: {said}")),
            };
            assert_eq!(text.as_deref(), expected, "{line}");
        }
        let line = Line { text: "2026-01-01T00:00:01.5Z a b".to_owned(), cut: true, ..Line::default() };
        let dated = Line { unix_ms: 1_767_225_601_500, text: "a b".to_owned(), ..line.clone() };
        assert!(matches!(later(line, None, &without), Dated::Line(_, line) if line == dated));
    }
}
