//! The sink: where rooms with effects say what they do.

use std::sync::Arc;
use std::time::Instant;

use parallax_vocab::event::Failure;
use parallax_vocab::{EventKind, millis};

/// Takes events from any task. Cheap to clone; never blocks and never fails, so that saying something cannot change
/// what happens.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(EventKind) + Send + Sync>);

impl Sink {
    /// A sink that hands every event to `take`.
    pub fn new(take: impl Fn(EventKind) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// A sink that drops everything: for tests and for commands that only decide.
    pub fn silent() -> Self {
        Self::new(drop)
    }

    /// Says one event.
    pub fn say(&self, event: EventKind) {
        (self.0)(event);
    }

    /// Says something that the harness did: one lower-case sentence without a full stop.
    pub fn note(&self, text: impl Into<String>) {
        self.say(EventKind::Note { text: text.into() });
    }

    /// Says something that will probably hurt, with its fix.
    pub fn warn(&self, text: impl Into<String>) {
        self.say(EventKind::Warning { text: text.into() });
    }

    /// Begins a set-up step. It must be ended; one that is dropped before counts as failed ("gave up").
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

/// A set-up step that is under way.
#[derive(Debug)]
pub struct Setup {
    sink: Sink,
    id: String,
    started: Instant,
    ended: bool,
}

impl Setup {
    /// Says what it is doing now (live display only).
    pub fn progress(&self, text: impl Into<String>) {
        self.sink.say(EventKind::SetupProgress { id: self.id.clone(), text: text.into() });
    }

    /// It is done; `detail` says how, for people: `from engine`, `built`, `ready`.
    pub fn done(mut self, detail: impl Into<String>) {
        self.end(detail.into(), None);
    }

    /// It failed.
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
