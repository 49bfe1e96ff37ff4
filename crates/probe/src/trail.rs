//! The trail of one question: the evidence that was recorded so far, and the name of the current stage. The trail is
//! kept even if the probe fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parallax_vocab::Evidence;

use crate::clock::unix_ms;

/// Collects the evidence of one question, and the name of its current stage. Clones share the same data, so the code of
/// each protocol (DNS, TCP, TLS, HTTP) adds to the same evidence.
#[derive(Clone, Debug)]
pub(crate) struct Trail(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    evidence: Evidence,
    stage: String,
}

impl Trail {
    pub(crate) fn begin() -> Self {
        let evidence = Evidence { started_unix_ms: unix_ms(), ..Evidence::default() };
        Self(Arc::new(Mutex::new(Inner { evidence, stage: "preparing the question".to_owned() })))
    }

    /// Records evidence about the question. `write` sets fields of the evidence.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Evidence)) {
        write(&mut self.lock().evidence);
    }

    /// Sets the current stage, for example "resolving a.example.com". If the deadline passes, the message names this
    /// stage.
    pub(crate) fn enter(&self, stage: impl Into<String>) {
        self.lock().stage = stage.into();
    }

    pub(crate) fn stage(&self) -> String {
        self.lock().stage.clone()
    }

    pub(crate) fn end(&self, started: Instant) -> Evidence {
        let mut evidence = self.lock().evidence.clone();
        evidence.took_us = micros(started.elapsed());
        evidence
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The lock is poisoned if a closure panicked. The closures only assign fields, so the values are usable even
        // then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
