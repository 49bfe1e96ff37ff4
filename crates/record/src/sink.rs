//! The sink, to which every module with side effects sends its events.

use std::sync::Arc;
use std::time::Instant;

use parallax_vocab::event::Failure;
use parallax_vocab::{EventKind, millis};

/// Accepts events from any task. The sink never blocks and never fails, so that reporting an event cannot change what
/// happens. A clone is cheap and has the same destination.
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

    /// Begins a set-up step. The caller must end the step: a step that is dropped before its end counts as failed
    /// ("gave up").
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

/// A set-up step in progress.
#[derive(Debug)]
pub struct Setup {
    sink: Sink,
    id: String,
    started: Instant,
    ended: bool,
}

impl Setup {
    /// Reports what the step is doing now (for the live display only).
    pub fn progress(&self, text: impl Into<String>) {
        self.sink.say(EventKind::SetupProgress { id: self.id.clone(), text: text.into() });
    }

    /// Ends the step as done. `detail` tells people how the step was done, for example `from engine`, `built` or
    /// `ready`.
    pub fn done(mut self, detail: impl Into<String>) {
        self.end(detail.into(), None);
    }

    /// Ends the step as failed.
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
                "gave up".to_owned(),
                Some(Failure { what: format!("{} was given up", self.id), fix: None, evidence: Vec::new() }),
            );
        }
    }
}
