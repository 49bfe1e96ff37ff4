//! The only writer of a record: a thread that receives every event.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parallax_vocab::{Event, EventKind, Secret, millis};

use super::{RecordError, Redactor, Sink};

/// The name of the record within the run's folder.
pub const RECORD_FILE: &str = "record.jsonl";
/// While no event arrives, the writer calls [`Live::tick`] at this interval, in milliseconds.
const TICK_MS: u64 = 250;

/// A live display of a run. It runs on the writer's thread and receives every redacted event, including events that the
/// record does not contain.
pub trait Live: Send {
    /// Shows an event that has just been recorded or reported.
    fn see(&mut self, event: &Event);
    /// Tells the display that time has passed, so that it can update itself. `at_ms` is the time since the start of the
    /// run, in milliseconds.
    fn tick(&mut self, at_ms: u64);
    /// Ends the display and removes its remains from the screen. No event comes after this call.
    fn close(&mut self);
}

/// The handle of a run's writer. [`Recorder::finish`] adds a last event and ends the record. If the recorder is dropped
/// without this call, the record has no such last event.
#[derive(Debug)]
pub struct Recorder {
    send: Sender<Message>,
    thread: Option<JoinHandle<Recorded>>,
    redactor: Redactor,
    began: Instant,
}

/// What the writer returns at the end of a run.
#[derive(Debug)]
pub struct Recorded {
    /// All recorded events after redaction. The list is complete even if a write to the file failed.
    pub events: Vec<Event>,
    /// The first error of a write to the file; `None` if all writes succeeded.
    pub error: Option<RecordError>,
}

type Last = Box<dyn FnOnce(&[Event]) -> EventKind + Send>;

enum Message {
    Said { at_ms: u64, kind: Box<EventKind> },
    Attach(Box<dyn Live>),
    Reached(Sender<()>),
    End { at_ms: u64, last: Option<Last> },
}

impl Recorder {
    /// Creates the run's folder `directory` (mode 0700) and the record in it (mode 0600). Makes the link `latest` in
    /// the parent folder point to `directory`.
    pub fn start(directory: &Path) -> Result<(Sink, Self), RecordError> {
        let path = path_in(directory)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| RecordError::Write { path: path.display().to_string(), source })?;
        point_latest(directory);

        Self::spawn(Some(file), path)
    }

    /// Starts a recorder that shows events but writes no file. Commands that only prepare something use it.
    pub fn unrecorded() -> Result<(Sink, Self), RecordError> {
        Self::spawn(None, PathBuf::new())
    }

    fn spawn(file: Option<File>, path: PathBuf) -> Result<(Sink, Self), RecordError> {
        let (send, receive) = channel();
        let redactor = Redactor::default();
        let began = Instant::now();
        let shown = path.display().to_string();
        let writer = Writer {
            file,
            path,
            redactor: redactor.clone(),
            live: None,
            recorded: Recorded { events: Vec::new(), error: None },
            last_ms: 0,
        };
        let thread = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || writer.run(&receive, began))
            .map_err(|source| RecordError::Write { path: shown, source })?;
        let recorder = Self { send: send.clone(), thread: Some(thread), redactor, began };
        // Sending fails only after the writer has ended. An event that comes later belongs to no record, so it is
        // dropped.
        let sink = Sink::new(move |kind| {
            drop(send.send(Message::Said { at_ms: millis(began.elapsed()), kind: Box::new(kind) }));
        });
        Ok((sink, recorder))
    }

    /// Registers a secret. From now on, the secret is redacted, also in events that were sent earlier but are not
    /// written yet.
    pub fn redact(&self, secret: &Secret) {
        self.redactor.register(secret);
    }

    /// Returns the redactor, for modules that make secrets.
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    /// Adds a live display, which receives all events from now on.
    pub fn attach(&self, live: Box<dyn Live>) {
        drop(self.send.send(Message::Attach(live)));
    }

    /// Returns a handle with which another thread can wait until all events that were sent so far are written.
    pub fn mark(&self) -> Mark {
        Mark(self.send.clone())
    }

    /// Adds one last event, which `last` makes from all recorded events, and ends the record.
    pub fn finish(mut self, last: impl FnOnce(&[Event]) -> EventKind + Send + 'static) -> Recorded {
        self.end(Some(Box::new(last))).unwrap_or_else(|| Recorded { events: Vec::new(), error: None })
    }

    fn end(&mut self, last: Option<Last>) -> Option<Recorded> {
        let thread = self.thread.take()?;
        drop(self.send.send(Message::End { at_ms: millis(self.began.elapsed()), last }));
        thread.join().ok()
    }
}

/// A handle that waits until the writer has written and shown the events that were sent.
#[derive(Clone, Debug)]
pub struct Mark(Sender<Message>);

impl Mark {
    /// Blocks until the writer has processed all events that were sent before this call, or has ended.
    pub fn wait(&self) {
        let (send, receive) = channel();
        if self.0.send(Message::Reached(send)).is_ok() {
            let _ = receive.recv();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end(None);
    }
}

struct Writer {
    file: Option<File>,
    path: PathBuf,
    redactor: Redactor,
    live: Option<Box<dyn Live>>,
    recorded: Recorded,
    last_ms: u64,
}

impl Writer {
    fn run(mut self, receive: &Receiver<Message>, began: Instant) -> Recorded {
        loop {
            match receive.recv_timeout(Duration::from_millis(TICK_MS)) {
                Ok(Message::Said { at_ms, kind }) => self.take(at_ms, *kind),
                Ok(Message::Attach(live)) => self.live = Some(live),
                // Sending fails if the caller no longer waits, which does no harm.
                Ok(Message::Reached(waiting)) => drop(waiting.send(())),
                Ok(Message::End { at_ms, last }) => {
                    if let Some(last) = last {
                        let kind = last(&self.recorded.events);
                        self.take(at_ms, kind);
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(live) = &mut self.live {
                        live.tick(millis(began.elapsed()));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(live) = &mut self.live {
            live.close();
        }
        self.recorded
    }

    fn take(&mut self, at_ms: u64, kind: EventKind) {
        // Events of two tasks may arrive in the wrong order. An event that arrives too late gets the time of the event
        // before it, so that the times in the record never decrease.
        self.last_ms = self.last_ms.max(at_ms);
        let event = self.redacted(&Event { at_ms: self.last_ms, event: kind });
        if event.event.is_recorded() {
            self.write(&event);
        }
        if let Some(live) = &mut self.live {
            live.see(&event);
        }
        if event.event.is_recorded() {
            self.recorded.events.push(event);
        }
    }

    fn redacted(&self, event: &Event) -> Event {
        // `copy` fails if redaction changed a word that the record's format needs. The event is then replaced by a
        // warning.
        self.redactor.copy(event).unwrap_or_else(|_| Event {
            at_ms: event.at_ms,
            event: EventKind::Warning { text: "an event was left out: redaction made it unreadable".to_owned() },
        })
    }

    fn write(&mut self, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let mut line = serde_json::to_vec(event).expect("an event came from JSON just now");
        line.push(b'\n');
        if let Err(source) = file.write_all(&line) {
            // A failed write does not stop the run. The file then lacks all later events, but the list of events in
            // memory stays complete.
            self.file = None;
            self.recorded.error = Some(RecordError::Write { path: self.path.display().to_string(), source });
        }
    }
}

/// Writes a joint record to the folder `directory`. The events come from other records, so they are already redacted.
/// The folder is created if it is missing.
///
/// # Errors
///
/// Fails if the folder already contains a record. That record is not changed.
pub fn write(directory: &Path, events: &[Event]) -> Result<(), RecordError> {
    let path = path_in(directory)?;
    let failed = |source| RecordError::Write { path: path.display().to_string(), source };
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).map_err(failed)?;
    for event in events {
        let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        file.write_all(&line).map_err(failed)?;
    }
    Ok(())
}

/// Returns the path of the record in the folder `directory`. Creates the folder (mode 0700) if it is missing.
fn path_in(directory: &Path) -> Result<PathBuf, RecordError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    created.map_err(|source| RecordError::Directory { path: directory.display().to_string(), source })?;
    Ok(directory.join(RECORD_FILE))
}

/// Makes the link `latest` point to `directory`, and replaces an existing link atomically. A failure is ignored,
/// because the link is only a convenience.
pub fn point_latest(directory: &Path) {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else { return };
    let fresh = parent.join(format!(".latest-{}", std::process::id()));
    drop(std::fs::remove_file(&fresh));
    if symlink(name, &fresh).is_ok() && std::fs::rename(&fresh, parent.join("latest")).is_err() {
        drop(std::fs::remove_file(&fresh));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::read;

    fn note(text: &str) -> EventKind {
        EventKind::Note { text: text.to_owned() }
    }

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<EventKind>>>);

    impl Live for Seen {
        fn see(&mut self, event: &Event) {
            self.0.lock().expect("no panic").push(event.event.clone());
        }
        fn tick(&mut self, _: u64) {}
        fn close(&mut self) {
            self.0.lock().expect("no panic").push(note("closed"));
        }
    }

    #[test]
    fn what_is_said_is_written_redacted_and_shown_and_only_the_display_sees_progress() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = dir.path().join("r0");
        let (sink, recorder) = Recorder::start(&run).expect("starts");
        let seen = Seen::default();
        recorder.attach(Box::new(seen.clone()));
        recorder.redact(&Secret::new("hunter22"));
        sink.note("password hunter22");
        sink.say(EventKind::SetupProgress { id: "engine".into(), text: "hunter22".into() });
        let all = recorder.finish(|events| note(&format!("{} before", events.len())));
        assert!(all.error.is_none());
        sink.note("after the end: dropped, not a panic");

        let kinds = |events: Vec<Event>| events.into_iter().map(|e| e.event).collect::<Vec<_>>();
        let expected = vec![note("password [redacted]"), note("1 before")];
        assert_eq!(kinds(read(&run).expect("reads")), expected);
        assert_eq!(kinds(all.events), expected);
        let seen = seen.0.lock().expect("no panic").clone();
        let progress = EventKind::SetupProgress { id: "engine".into(), text: "[redacted]".into() };
        assert_eq!(seen, vec![note("password [redacted]"), progress, note("1 before"), note("closed")]);
        let mode = std::fs::metadata(run.join(RECORD_FILE)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_mark_is_reached_when_everything_before_it_was_shown() {
        let (sink, recorder) = Recorder::unrecorded().expect("starts");
        let seen = Seen::default();
        recorder.attach(Box::new(seen.clone()));
        let mark = recorder.mark();
        for number in 0..50 {
            sink.note(number.to_string());
        }
        mark.wait();
        assert_eq!(seen.0.lock().expect("no panic").len(), 50);
        drop(recorder);
        mark.wait();
    }

    #[test]
    fn latest_follows_the_last_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["r1", "r2"] {
            let (sink, _recorder) = Recorder::start(&dir.path().join(name)).expect("starts");
            sink.note(name);
        }
        let events = read(&dir.path().join("latest")).expect("reads through the link");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event, note("r2"));
    }

    #[test]
    fn a_full_disk_ends_the_record_but_not_the_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = dir.path().join("r1");
        std::fs::create_dir(&run).expect("makes a folder");
        symlink("/dev/full", run.join(RECORD_FILE)).expect("links");
        let (sink, recorder) = Recorder::start(&run).expect("starts");
        sink.note("one");
        let all = recorder.finish(|_| note("two"));
        assert_eq!(all.events.len(), 2);
        let message = all.error.expect("the disk is full").to_string();
        assert!(message.contains("record.jsonl") && message.contains("--out"), "{message}");
    }
}
