//! The sink: every module with side effects sends its events to the sink, and the sink passes them to the writer.

use std::sync::Arc;
use std::time::Instant;

use parallax_vocab::event::Failure;
use parallax_vocab::{EventKind, millis};

/// The result of a set-up step that reported neither success nor failure. It was given up, because something else
/// failed or the run was interrupted.
pub const GAVE_UP: &str = "gave up";

/// Accepts events from any task and passes them to the writer. The sink never blocks and never fails, so that reporting
/// an event cannot change what happens in the run. All clones have the same destination.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(EventKind) + Send + Sync>);

impl Sink {
    /// Returns a sink that passes every event to `take`.
    pub fn new(take: impl Fn(EventKind) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Returns a sink that drops every event. Tests and commands without side effects use it.
    pub fn silent() -> Self {
        Self::new(drop)
    }

    /// Sends one event to the writer.
    pub fn say(&self, event: EventKind) {
        (self.0)(event);
    }

    /// Reports an action of the harness. `text` is one sentence in lower case without a full stop.
    pub fn note(&self, text: impl Into<String>) {
        self.say(EventKind::Note { text: text.into() });
    }

    /// Reports something that will probably cause a problem. `text` also names the fix.
    pub fn warn(&self, text: impl Into<String>) {
        self.say(EventKind::Warning { text: text.into() });
    }

    /// Reports the start of a set-up step, for example of a cluster. The caller must end the step with [`Setup::done`]
    /// or [`Setup::failed`]. If the caller drops the result before, the step counts as failed ("gave up").
    pub fn setup(&self, id: impl Into<String>, title: impl Into<String>) -> Setup {
        let id = id.into();
        self.say(EventKind::SetupStarted { id: id.clone(), title: title.into() });
        Setup { sink: self.clone(), id, started: Instant::now(), ended: false }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// A set-up step that has started and not ended yet.
#[derive(Debug)]
pub struct Setup {
    sink: Sink,
    id: String,
    started: Instant,
    ended: bool,
}

impl Setup {
    /// Reports what the set-up step is doing now. Only the live display shows this; the record does not contain it.
    pub fn progress(&self, text: impl Into<String>) {
        self.sink.say(EventKind::SetupProgress { id: self.id.clone(), text: text.into() });
    }

    /// Reports that the set-up step has succeeded. `detail` is a short text about the success for people, for example
    /// `from engine`, `built` or `ready`.
    pub fn done(mut self, detail: impl Into<String>) {
        self.end(detail.into(), None);
    }

    /// Reports that the set-up step has failed.
    pub fn failed(mut self, failure: Failure) {
        self.end("failed".to_owned(), Some(failure));
    }

    fn end(&mut self, detail: String, error: Option<Failure>) {
        self.ended = true;
        let took_ms = millis(self.started.elapsed());
        self.sink.say(EventKind::SetupEnded { id: self.id.clone(), took_ms, detail, error });
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !self.ended {
            self.end(
                GAVE_UP.to_owned(),
                Some(Failure { what: format!("{} was given up", self.id), fix: None, evidence: Vec::new() }),
            );
        }
    }
}
