//! The steps `resource`, `log` and `event`: they read an object, the logs of containers, or the events of an object.
//! With `eventually`, a `log` or `event` step follows the log or the events. Then only the deadline shows that an
//! expected line or event is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use parallax_vocab::course::Moment;
use serde_json::json;
use time::OffsetDateTime;

use super::{Attempt, Tried};
use crate::apply::ApplyError;
use crate::probe::events::{self, EventQuestion};
use crate::probe::logs::{self, Line, LogError, LogQuestion};
use crate::run::concealed;
use crate::run::environment::LINES_BESIDE;
use crate::run::error::RunError;
use parallax_engine::{LINE_LIMIT_BYTES, Written};
use parallax_judge::{LogLook, Looked, ObjectEvent};
use parallax_language::scenario::model::{EventStep, Expect, LogStep, ResourceStep};
use parallax_language::scenario::target::{EventTarget, LogTarget};

/// The largest number of events that an `event` step reports to the user: the last events of the object.
const EVENTS_REPORTED: usize = 20;

/// At most this many lines are read from the end of the log of the external network (the world). The log has a line for
/// each DNS question. Without this limit, a client with very many DNS questions could fill the memory.
const WORLD_LINES: usize = 100_000;

/// The length in bytes of the longest time stamp that the engine writes before a log line, including the space after
/// it.
const INSTANT_BYTES: usize = 40;

/// The time limit of a last reading. If a step has followed a log or events until its time was over, and has seen
/// nothing, the step reads the log or the events once more.
const LAST_LOOK: Duration = Duration::from_secs(4);

/// The time limit of one try, and whether the try follows logs and events for this time or reads them only once.
#[derive(Clone, Copy)]
struct Patience {
    left: Duration,
    follow: bool,
}

/// Reads an object for a step and judges it.
pub(super) async fn resource(it: &Attempt<'_>, step: &ResourceStep) -> Result<Tried, RunError> {
    it.resource(step, it.expect()?.as_ref()).await
}

/// Reads the logs of containers for a step and judges them.
pub(super) async fn log(it: &Attempt<'_>, step: &LogStep) -> Result<Tried, RunError> {
    let target = it.target(&step.of)?;
    it.log(&it.fill(step)?, target, it.expect()?.as_ref(), it.patience()).await
}

/// Reads the events of an object for a step and judges them.
pub(super) async fn event(it: &Attempt<'_>, step: &EventStep) -> Result<Tried, RunError> {
    let target = it.target(&step.of)?;
    it.event(&it.fill(step)?, target, it.expect()?.as_ref(), it.patience()).await
}

impl Attempt<'_> {
    fn patience(&self) -> Patience {
        Patience { left: self.left, follow: self.step.eventually.is_some() }
    }

    async fn resource(&self, it: &ResourceStep, expect: Option<&Expect>) -> Result<Tried, RunError> {
        let namespace = it.namespace.as_deref().unwrap_or_else(|| self.namespace());
        let (title, object) = self.stage.applier.get(&it.api_version, &it.kind, namespace, &it.name).await?;
        let expect = expect.cloned().map(|mut expect| {
            expect.object = expect.object.map(|object| concealed::expected(&it.kind, object));
            expect
        });
        let shown = object.as_ref().map(concealed::conceal);
        if let Some(object) = &object {
            concealed::register(&self.stage.context.redactor, object);
        }
        let notes = parallax_judge::object_differences(expect.as_ref(), shown.as_ref());
        let looked = Looked::Object { resource: title, object: shown };
        Ok(Tried { notes, other: object, ..Tried::looked(expect.as_ref(), looked) })
    }

    async fn log(
        &self,
        it: &LogStep,
        target: LogTarget,
        expect: Option<&Expect>,
        patience: Patience,
    ) -> Result<Tried, RunError> {
        let since = it.since.as_ref().and_then(|step| self.results.ended(step));
        let mut look = LogLook::new(expect);
        let seen = if look.forbids() { self.pods.after(since).cloned().collect() } else { Vec::new() };
        let question = LogQuestion {
            seen,
            target,
            namespace: it.namespace.as_deref().unwrap_or_else(|| self.namespace()).to_owned(),
            container: it.container.as_ref().map(ToString::to_string),
            previous: it.previous,
            since,
            without: self.apart.others(),
            whole: look.forbids(),
        };
        let title = question.target.describe(&question.namespace);
        let client = self.stage.applier.client();
        let mut found_at: Option<u64> = None;
        let counts = |at| question.since.is_none_or(|since| at >= since) && !question.without.contains(&at);
        let of_engine_itself = match &question.target {
            LogTarget::Beside(fixture) => Some(self.stage.written_beside(fixture, counts).await),
            LogTarget::Node(name) => Some(self.stage.written_by_node(name, counts).await),
            LogTarget::World => return self.world_log(title, since, expect).await,
            LogTarget::Deployment(_) | LogTarget::StatefulSet(_) | LogTarget::Pod(_) => None,
        };
        if let Some(written) = of_engine_itself {
            let written = written.map_err(|reason| self.wrong(reason))?;
            let Written { lines, read } = written;
            of_engine(&mut look, &lines, read, LINES_BESIDE);
            for line in &lines {
                look.take(line);
            }
            return Ok(read_in(look, expect, title, None));
        }
        let read = async {
            // The log of an earlier instance of the container (`previous`) is not followed, because an ended instance
            // writes no further lines. Instead, the step is tried again until such an instance exists.
            //
            // `no-line` can be judged only when all lines have been read, so a log is never followed for `no-line`
            // alone.
            if patience.follow && !it.previous && look.requires() {
                let take = |line: &Line| {
                    look.take(&line.text);
                    found_at = found_at.or_else(|| look.found().map(|_| line.unix_ms));
                    look.found().is_some()
                };
                logs::follow(client, &question, take).await?;
                if !look.forbids() {
                    return Ok(());
                }
                look = LogLook::new(expect);
            }
            read_once(client, &question, &mut look, &mut found_at).await
        };
        let mut read = tokio::time::timeout(patience.left, read).await;
        if read.is_err() && patience.follow && look.last().next().is_none() {
            // On a busy machine, the step's time may be over before the first line has arrived. So the log is read once
            // more, without waiting for further lines.
            read = tokio::time::timeout(LAST_LOOK, read_once(client, &question, &mut look, &mut found_at)).await;
        }
        let missing = match read {
            Ok(Err(LogError::None(why))) => Some(why),
            Ok(Err(error @ LogError::Api { .. })) => return Err(error.into()),
            Ok(Err(LogError::Unclear(reason))) => return Err(self.wrong(reason)),
            Err(_) if !patience.follow => {
                return Err(self.wrong("the log could not be read to its end in time".to_owned()));
            }
            Ok(Ok(())) => None,
            Err(_) => {
                // Either no line was written, or the apiserver does not answer. A request to the apiserver shows which
                // of the two is true.
                self.answers(&title).await?;
                if look.last().next().is_none() {
                    return Err(self.wrong("the log could not be read in time".to_owned()));
                }
                look.not_read("its end was not reached in time");
                None
            }
        };
        let who = it.container.as_ref().unwrap_or(it.of.text());
        let what =
            found_at.zip(look.found()).map(|(unix_ms, line)| Moment { unix_ms, what: format!("{who} says {line}") });
        Ok(Tried { moments: what.into_iter().collect(), ..read_in(look, expect, title, missing) })
    }

    /// Reads the DNS questions that the external network (the world) received, and judges them. Only questions since
    /// the time `since` count.
    async fn world_log(
        &self,
        title: String,
        since: Option<OffsetDateTime>,
        expect: Option<&Expect>,
    ) -> Result<Tried, RunError> {
        let own = self.stage.scene.cluster.own("read what its outside world was asked")?;
        let lines = own.asked_outside(WORLD_LINES).await?;
        let ms = |it: OffsetDateTime| u64::try_from(it.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let since_ms = since.map_or(0, ms);
        let others = self.apart.others();
        let others_ms = ms(others.start)..ms(others.end);
        let mut look = LogLook::new(expect);
        of_engine(&mut look, &lines, lines.len(), WORLD_LINES);
        for line in crate::cluster::questions(&lines, |at| at >= since_ms && !others_ms.contains(&at)) {
            look.take(&line);
        }
        Ok(read_in(look, expect, title, None))
    }

    async fn event(
        &self,
        it: &EventStep,
        target: EventTarget,
        expect: Option<&Expect>,
        patience: Patience,
    ) -> Result<Tried, RunError> {
        let namespace = it.namespace.as_deref().unwrap_or_else(|| self.namespace());
        let title = target.describe(namespace);
        let applier = self.stage.applier;
        let Some(there) = applier.names(&target.kind, namespace, &target.which).await? else {
            let why = format!("the cluster knows no kind {}", target.kind);
            return Ok(Tried::looked(
                expect,
                Looked::Events { resource: title, events: Vec::new(), missing: Some(why) },
            ));
        };
        let question = EventQuestion {
            kind: target.kind.clone(),
            name: target.which.name().map(str::to_owned),
            namespace: there.events,
            reason: it.reason.as_ref().map(ToString::to_string),
            hidden: self.apart.hidden.clone(),
        };
        let mut names: BTreeSet<String> = there.names.into_iter().collect();
        let mut seen: Vec<ObjectEvent> = Vec::new();
        let client = applier.client();
        if patience.follow {
            let mut unsure: Vec<ObjectEvent> = Vec::new();
            let follow = events::follow(client, &question, async |event| {
                unsure.push(event);
                // The event may be about an object that was created after the objects were last listed. Therefore the
                // objects that the step selects by labels are listed again.
                if question.name.is_none() && unsure.iter().any(|it| !names.contains(&it.object)) {
                    match applier.names(&target.kind, namespace, &target.which).await {
                        Ok(more) => names.extend(more.into_iter().flat_map(|it| it.names)),
                        // The objects could not be listed. At the next event or at the deadline, they are listed
                        // again, and `unsure` still has the events whose object is unknown.
                        Err(error) => {
                            tracing::debug!(%error, "whose event it is could not be asked");
                            return false;
                        }
                    }
                }
                seen.extend(unsure.drain(..).filter(|it| concerns(&question, &names, it)));
                let looked = Looked::Events { resource: title.clone(), events: seen.clone(), missing: None };
                parallax_judge::judge_look(expect, &looked).cause.is_none()
            });
            if tokio::time::timeout(patience.left, follow).await.is_err() {
                if seen.is_empty() && unsure.is_empty() {
                    // On a busy machine, the step's time may be over before the existing events have arrived. So they
                    // are listed once more.
                    unsure = self.listed_events(&question, &title, LAST_LOOK).await?;
                }
                // Either no further event happened, or the apiserver does not answer. If the apiserver answers now,
                // the events so far are complete.
                self.answers(&title).await?;
                if !unsure.is_empty() {
                    let more = applier.names(&target.kind, namespace, &target.which).await?;
                    names.extend(more.into_iter().flat_map(|it| it.names));
                    seen.extend(unsure.into_iter().filter(|it| concerns(&question, &names, it)));
                }
            }
        } else {
            let listed = self.listed_events(&question, &title, patience.left).await?;
            seen.extend(listed.into_iter().filter(|it| concerns(&question, &names, it)));
        }
        let gone = seen.is_empty() && names.is_empty();
        let missing = gone.then(|| "it does not exist, and no event of it is there".to_owned());
        let notes = seen.iter().rev().take(EVENTS_REPORTED).rev().map(ToString::to_string).collect();
        let said = json!({ "events": seen });
        let looked = Looked::Events { resource: title, events: seen, missing };
        Ok(Tried { notes, other: Some(said), ..Tried::looked(expect, looked) })
    }

    /// Lists the existing events once, without waiting for further events.
    async fn listed_events(
        &self,
        question: &EventQuestion,
        title: &str,
        within: Duration,
    ) -> Result<Vec<ObjectEvent>, RunError> {
        match tokio::time::timeout(within, events::list(self.stage.applier.client(), question)).await {
            Ok(Ok(listed)) => Ok(listed),
            Ok(Err(source)) => Err(ApplyError::Api { doing: format!("list the events of {title}"), source }.into()),
            Err(_) => Err(self.wrong("the apiserver did not list the events in time".to_owned())),
        }
    }

    /// Checks that the apiserver still answers. If it does not, returns an error of the harness. `what` is the title of
    /// the object or the logs whose state is then unknown.
    pub(super) async fn answers(&self, what: &str) -> Result<(), RunError> {
        let answers = crate::cluster::answers(self.stage.applier.client()).await;
        answers.map_err(|reason| ApplyError::Watch { what: what.to_owned(), reason }.into())
    }
}

/// Whether an event is about an object that the question selects. `names` are the names of these objects, as far as
/// they are known. If the question contains the name of an object, the apiserver has already selected the events of
/// this object.
fn concerns(question: &EventQuestion, names: &BTreeSet<String>, event: &ObjectEvent) -> bool {
    question.name.is_some() || names.contains(&event.object)
}

/// Reads the selected logs once, and passes what was read to `look`. `found_at` becomes the time of the line that meets
/// the expectation, in milliseconds since the Unix epoch.
async fn read_once(
    client: &Client,
    question: &LogQuestion,
    look: &mut LogLook,
    found_at: &mut Option<u64>,
) -> Result<(), LogError> {
    let extent = logs::read(client, question, |line| {
        if line.earlier {
            look.take_earlier(&line.text);
        } else {
            look.take(&line.text);
        }
        if line.cut {
            look.was_cut();
        }
        *found_at = found_at.or_else(|| look.found().map(|_| line.unix_ms));
    })
    .await?;
    look.read_whole(extent.instances);
    extent.unread.into_iter().for_each(|what| look.not_read(what));
    Ok(())
}

/// Records in `look` how much of a container's log was read from the engine. At most the last `most` lines were
/// requested, and `read` lines were received.
fn of_engine(look: &mut LogLook, lines: &[String], read: usize, most: usize) {
    if read >= most {
        look.not_read(format!("only its last {most} lines were read"));
    }
    // The engine limits the length of a line together with its time stamp, but these lines no longer have their time
    // stamp. So a line may have been cut although it is shorter than the limit by the length of a time stamp.
    lines.iter().filter(|it| it.len() + INSTANT_BYTES >= LINE_LIMIT_BYTES).for_each(|_| look.was_cut());
    look.read_whole(1);
}

/// The result of a step that reads a log. `missing` says why there is no log. It is `None` if there is a log.
fn read_in(log: LogLook, expect: Option<&Expect>, resource: String, missing: Option<String>) -> Tried {
    let unseen = if log.forbids() { log.unseen() } else { Vec::new() };
    let notes: Vec<String> = unseen.into_iter().chain(log.last().map(str::to_owned)).collect();
    let found = log.found().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let said = json!({ "line": log.found(), "json": found, "last": notes });
    Tried { notes, other: Some(said), ..Tried::looked(expect, Looked::Log { resource, log, missing }) }
}
