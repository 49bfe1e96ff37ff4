//! The instances of a container. Finds out which parts of their logs still exist, and reads these parts.

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::LogParams;
use kube::{Api, Client};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::{Dated, Line, LogError, LogQuestion, later};
use crate::cluster::{Pauses, is_transient, pauses};
use crate::probe::restarts::starts_again;
use parallax_engine::{CutLine, lines};
use parallax_record::in_full;

/// The format of the time in the name of a rotated log file (`pkg/kubelet/logs/container_log_manager.go`), for example
/// `20260101-120000`.
const ROTATED: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]-[hour][minute][second]");

/// One instance (one run) of a container.
pub(super) struct Instance {
    pub(super) pod: String,
    container: String,
    /// The id of the container, which changes with each start.
    pub(super) id: String,
    /// The number of times that the container was restarted.
    restarts: i32,
    /// The previous instance, if its log exists. The kubelet keeps the log of only one earlier instance.
    pub(super) before: Option<Before>,
    /// The number of earlier instances whose logs no longer exist.
    lost: i32,
    /// The time at which the earliest instance whose log still exists was started. `None` if the container has never
    /// ended.
    kept_since: Option<OffsetDateTime>,
    /// Set if this instance has ended and the kubelet will start another instance after a pause. This instance ended
    /// before the time, so a line with a later time may be a line of the next instance. `None` in all other cases. One
    /// such case is the first end of a container: the kubelet starts the second instance without a pause.
    ///
    /// During the pause, no instance runs, so for the harness this instance is the previous one. For the kubelet, that
    /// depends on the state of the container. In the state `terminated`, the kubelet calls an earlier instance the
    /// previous one, and the log of that instance no longer exists. Therefore the harness then reads the log that the
    /// kubelet calls the current one. In the state `waiting`, the kubelet calls this instance the previous one, too.
    pub(super) until_next: Option<OffsetDateTime>,
}

/// The previous instance of a container. `ended` is the time of its end, if the status contains this time.
pub(super) struct Before {
    ended: Option<OffsetDateTime>,
}

impl Before {
    /// Whether the instance may have written lines after `since`, so that its log must be read.
    pub(super) fn ended_after(&self, since: Option<OffsetDateTime>) -> bool {
        since.is_none_or(|since| self.ended.is_none_or(|it| may_be_after(it, since)))
    }
}

impl Instance {
    /// Returns the current or last instance of the container, from the container's status. `None` if the container has
    /// not started. While the container waits for its next start, both its current log and its previous log are the log
    /// of its last instance. Therefore `before` is `None` then, so that no line is read twice.
    ///
    /// `starts_again` says whether the kubelet starts the container again after an end with the given exit code.
    fn of(pod: &str, starts_again: impl Fn(i32) -> bool, status: &ContainerStatus) -> Option<Self> {
        let id = run(status)?;
        let state = status.state.as_ref();
        let waits = state.is_some_and(|it| it.waiting.is_some());
        let ended = state.and_then(|it| it.terminated.as_ref());
        let last = status.last_state.as_ref().and_then(|it| it.terminated.as_ref());
        let before = (!waits && status.restart_count > 0)
            .then(|| Before { ended: instant(last.and_then(|it| it.finished_at.as_ref())) });
        Some(Self {
            pod: pod.to_owned(),
            container: status.name.clone(),
            id,
            restarts: status.restart_count,
            lost: status.restart_count - i32::from(before.is_some()),
            kept_since: instant(last.and_then(|it| it.started_at.as_ref())),
            before,
            until_next: ended.filter(|it| status.restart_count > 0 && starts_again(it.exit_code)).and_then(|it| {
                // The kubelet rounds the time of an end down to whole seconds, so one second is added. The next
                // instance usually starts ten seconds later or more.
                Some(instant(it.finished_at.as_ref())? + Duration::SECOND)
            }),
        })
    }

    /// Describes that the container started again while the log was read. So the lines may come from the log of the
    /// next instance.
    pub(super) fn started_again(&self) -> String {
        let Self { pod, container, .. } = self;
        format!("container {container} of pod {pod} started again while its log was read")
    }

    /// Describes that the logs of earlier instances no longer exist. Returns `None` if there are no such instances, or
    /// if they cannot have written lines after `since`.
    pub(super) fn forgotten(&self, since: Option<OffsetDateTime>) -> Option<String> {
        let counts = since.is_none_or(|since| self.kept_since.is_none_or(|it| may_be_after(it, since)));
        let Self { pod, container, restarts, lost, .. } = self;
        (*lost > 0 && counts).then(|| {
            format!("container {container} of pod {pod} ran {} times, and {lost} of its logs are lost", restarts + 1)
        })
    }
}

/// Whether an event may have happened after `since`. `at` is the time of the event, which Kubernetes rounds down to
/// whole seconds, so the event may have happened up to one second later than `at`.
fn may_be_after(at: OffsetDateTime, since: OffsetDateTime) -> bool {
    at + Duration::SECOND > since
}

fn instant(at: Option<&Time>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at?.0.as_second()).ok()
}

#[derive(Clone)]
pub(super) struct Reader {
    client: Client,
    pub(super) pods: Api<Pod>,
    question: LogQuestion,
}

impl Reader {
    pub(super) fn new(client: &Client, question: &LogQuestion) -> Self {
        let pods = Api::namespaced(client.clone(), &question.namespace);
        Self { client: client.clone(), pods, question: question.clone() }
    }

    fn what(&self) -> String {
        self.question.target.describe(&self.question.namespace)
    }

    pub(super) fn failed(&self, source: kube::Error) -> LogError {
        LogError::Api { what: self.what(), source: Box::new(source) }
    }

    pub(super) fn broken(&self, source: std::io::Error) -> LogError {
        self.failed(kube::Error::ReadEvents(source))
    }

    /// Returns the current or last instance of the container that the question selects. `None` if the container has not
    /// started.
    pub(super) fn instance(&self, pod: &Pod) -> Result<Option<Instance>, LogError> {
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
                let what = self.what();
                return Err(LogError::Unclear(format!(
                    "the pods of {what} have several containers: say which of {known}, with `container`"
                )));
            }
        };
        let status = pod.status.as_ref();
        let mut statuses = status
            .into_iter()
            .flat_map(|it| it.init_container_statuses.iter().flatten().chain(it.container_statuses.iter().flatten()));
        let status = statuses.find(|it| it.name == container);
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let starts_again = |exit_code| !is_at_its_end(pod) && starts_again(spec, &container, exit_code);
        Ok(status.and_then(|status| Instance::of(name, starts_again, status)))
    }

    /// Whether the instance is still the last instance of its container, as far as the apiserver knows.
    pub(super) async fn is_still(&self, it: &Instance) -> Result<bool, LogError> {
        let pod = self.pods.get_opt(&it.pod).await.map_err(|error| self.failed(error))?;
        let now = pod.map(|pod| self.instance(&pod)).transpose()?.flatten();
        Ok(now.is_some_and(|now| now.id == it.id))
    }

    /// Opens the log of an instance as a stream of lines. Returns `None` if the kubelet has no log of the instance.
    pub(super) async fn open(
        &self,
        it: &Instance,
        previous: bool,
        follow: bool,
    ) -> Result<Option<BoxStream<'static, std::io::Result<Line>>>, LogError> {
        let parameters = LogParams {
            container: Some(it.container.clone()),
            follow,
            previous,
            timestamps: true,
            ..LogParams::default()
        };
        match self.pods.log_stream(&it.pod, &parameters).await {
            Ok(stream) => {
                let lines = lines(stream).map_ok(|CutLine { text, cut }| Line { text, cut, ..Line::default() });
                Ok(Some(lines.boxed()))
            }
            Err(kube::Error::Api(status)) if self.question.previous && status.code < 429 => Err(LogError::None(
                format!("pod {} has no previous container {}: {}", it.pod, it.container, status.message),
            )),
            // The instance ended, or its pod was deleted, after the harness had read the pod's status. So the kubelet
            // has no log of the instance.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Returns a stream of the instance's lines, without the lines that the question leaves out. New lines arrive as
    /// they are written, until the instance ends. If the log's stream breaks, it is opened again and continues after
    /// the last line that was read.
    pub(super) fn followed(self, it: Instance) -> BoxStream<'static, Result<Line, LogError>> {
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
                    None => match it.reader.open(&it.instance, false, true).await {
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
                            it.pauses = pauses();
                            let question = &it.reader.question;
                            let dated = later(line, question.since, &question.without);
                            let Dated::Line(at, line) = dated else { continue };
                            if it.after.is_some_and(|after| at <= after) {
                                continue;
                            }
                            it.after = Some(at);
                            return Some((Ok(line), Some(it)));
                        }
                        Err(error) => error.to_string(),
                    },
                };
                it.lines = None;
                tracing::debug!(pod = it.instance.pod, container = it.instance.container, why, "a log is opened again");
                // No event reports that the apiserver is reachable again, so the code polls.
                tokio::time::sleep(it.pauses.pause()).await;
            }
        });
        following.boxed()
    }

    /// Describes that the log of an instance no longer exists. Returns `None` if the pod no longer exists either,
    /// because then the pod is not one of the selected pods any more.
    pub(super) async fn gone(&self, it: &Instance, previous: bool) -> Result<Option<String>, LogError> {
        let pod = self.pods.get_opt(&it.pod).await.map_err(|error| self.failed(error))?;
        let which = if previous { "the run before the present one" } else { "the present run" };
        let words = || format!("the log of {which} of container {} in pod {} is gone", it.container, it.pod);
        Ok(pod.is_some().then(words))
    }

    /// Describes that a part of the instance's log was rotated into another file, because the apiserver shows only the
    /// newest file. If the node does not list its log files, this is described too, because a part may be missing.
    /// Otherwise returns `None`.
    pub(super) async fn rotated(&self, pod: &Pod, it: &Instance) -> Option<String> {
        let (node, uid) = (pod.spec.as_ref()?.node_name.as_ref()?, pod.metadata.uid.as_ref()?);
        let folder = format!("{}_{}_{uid}/{}", self.question.namespace, it.pod, it.container);
        let path = format!("/api/v1/nodes/{node}/proxy/logs/pods/{folder}/");
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        let listing = match self.client.request_text(request).await {
            Ok(listing) => listing,
            // The folder was removed together with the pod. The code that opens the log reports that the log is gone.
            Err(kube::Error::Api(status)) if status.code == 404 => return None,
            Err(error) => {
                let Instance { pod, container, .. } = it;
                let why = in_full(&error);
                return Some(format!(
                    "whether the log of container {container} in pod {pod} was rotated cannot be seen: {why}"
                ));
            }
        };
        has_rotated_file(&listing, it.restarts, self.question.since)
            .then(|| format!("the beginning of the log of container {} in pod {} was put aside", it.container, it.pod))
    }
}

/// Whether a log folder contains a rotated file of this instance that may have lines after `since`. `listing` is the
/// list of the folder's files, as HTML links. `restarts` is the number with which the names of the instance's files
/// begin.
fn has_rotated_file(listing: &str, restarts: i32, since: Option<OffsetDateTime>) -> bool {
    let names = listing.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let of_run = format!("{restarts}.log.");
    names.filter_map(|name| name.strip_prefix(&of_run)).any(|instant| {
        let digits = instant.get(..15).unwrap_or(instant);
        let at = PrimitiveDateTime::parse(digits, ROTATED).map(PrimitiveDateTime::assume_utc).ok();
        since.zip(at).is_none_or(|(since, at)| may_be_after(at, since))
    })
}

/// Whether the kubelet starts no container of the pod any more.
fn is_at_its_end(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Failed" | "Succeeded"))
}

/// Returns the id of a container's current or last instance. `None` if the container has never started.
fn run(status: &ContainerStatus) -> Option<String> {
    let ended = status.last_state.as_ref().is_some_and(|it| it.terminated.is_some());
    let began = status.restart_count > 0
        || ended
        || status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    began.then(|| status.container_id.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).expect("an instant")
    }

    #[test]
    fn a_run_has_begun_when_the_kubelet_says_so() {
        for (state, restarts, expected) in [
            (json!({"waiting": {"reason": "ContainerCreating"}}), 0, None),
            (json!({"running": {}}), 0, Some("containerd://a")),
            (json!({"terminated": {"exitCode": 1}}), 0, Some("containerd://a")),
            (json!({"waiting": {"reason": "CrashLoopBackOff"}}), 1, Some("containerd://a")),
        ] {
            assert_eq!(run(&status(&state, restarts)).as_deref(), expected, "{state}");
        }
    }

    fn status(state: &serde_json::Value, restarts: i32) -> ContainerStatus {
        let ended = json!({"exitCode": 1, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"});
        let last = if restarts > 0 { json!({"terminated": ended}) } else { json!({}) };
        let status = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last, "containerID": "containerd://a"});
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn the_run_before_is_read_and_those_that_are_lost_are_counted() {
        let (running, waiting) = (json!({"running": {}}), json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        for (state, restarts, before, lost) in [
            (&running, 0, false, 0),
            (&running, 1, true, 0),
            (&running, 3, true, 2),
            (&waiting, 1, false, 1),
            (&waiting, 2, false, 2),
        ] {
            let instance = Instance::of("p", |_| true, &status(state, restarts)).expect("begun");
            assert_eq!((instance.before.is_some(), instance.lost), (before, lost), "{state} {restarts}");
        }
    }

    #[test]
    fn the_last_instance_is_the_previous_one_while_a_container_waits_for_its_restart() {
        let (running, waiting) = (json!({"running": {}}), json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let ended = |exit: i32| json!({"terminated": {"exitCode": exit, "finishedAt": "2026-01-01T00:02:00Z"}});
        let next = Some(at("2026-01-01T00:02:01Z"));
        for (state, policy, restarts, until_next) in [
            (&running, "Always", 1, None),
            (&waiting, "Always", 1, None),
            (&ended(0), "Always", 1, next),
            (&ended(1), "Always", 1, next),
            // When a container ends for the first time, the kubelet starts it again at once. Then the times of lines do
            // not show which of the two instances wrote a line.
            (&ended(0), "Always", 0, None),
            (&ended(0), "OnFailure", 1, None),
            (&ended(1), "OnFailure", 1, next),
            (&ended(1), "Never", 1, None),
        ] {
            let again = |exit_code| policy == "Always" || policy == "OnFailure" && exit_code != 0;
            let instance = Instance::of("p", again, &status(state, restarts)).expect("begun");
            assert_eq!(instance.until_next, until_next, "{state} {policy} {restarts}");
        }
    }

    #[test]
    fn a_pod_at_its_end_starts_no_container_again() {
        for (pod, expected) in [
            (json!({"status": {"phase": "Running"}}), false),
            (json!({"status": {"phase": "Failed"}}), true),
            (json!({"status": {"phase": "Succeeded"}}), true),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), true),
        ] {
            let read: Pod = serde_json::from_value(pod.clone()).expect("a pod");
            assert_eq!(is_at_its_end(&read), expected, "{pod}");
        }
    }

    #[test]
    fn what_ended_before_what_counts_is_not_missed() {
        let running =
            |restarts| Instance::of("p", |_| true, &status(&json!({"running": {}}), restarts)).expect("begun");
        let before = running(1).before.expect("one");
        assert!(before.ended_after(None) && before.ended_after(Some(at("2026-01-01T00:00:30Z"))));
        assert!(!before.ended_after(Some(at("2026-01-01T00:02:00Z"))));
        // The kubelet rounds the time of an end down to a second, so the real end may be up to one second later.
        let (ended, half) = (before.ended.expect("a time"), time::Duration::milliseconds(500));
        assert!(before.ended_after(Some(ended + half)));
        assert!(!before.ended_after(Some(ended + Duration::SECOND)));
        assert_eq!(running(1).forgotten(None), None);
        assert!(running(3).forgotten(None).is_some_and(|it| it.contains("ran 4 times, and 2")));
        assert_eq!(running(3).forgotten(Some(at("2026-01-01T00:00:30Z"))), None);
    }

    #[test]
    fn a_log_that_was_put_aside_is_seen_by_its_file() {
        let listing = "<pre>\n<a href=\"0.log\">0.log</a>\n<a href=\"1.log.20260101-000030.gz\">…</a>\n</pre>";
        for (restarts, since, expected) in [
            (0, None, false),
            (1, None, true),
            (1, Some(at("2026-01-01T00:00:00Z")), true),
            (1, Some(at("2026-01-01T00:00:30Z") + Duration::milliseconds(500)), true),
            (1, Some(at("2026-01-01T00:01:00Z")), false),
        ] {
            assert_eq!(has_rotated_file(listing, restarts, since), expected, "{restarts} {since:?}");
        }
    }
}
