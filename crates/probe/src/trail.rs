//! The trail of one question: the evidence recorded so far, which survives a failure, and the current stage.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parallax_vocab::Evidence;

use crate::clock::unix_ms;

/// The trail that all layers of one question share. A clone is cheap.
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

    /// Records evidence about the current question.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Evidence)) {
        write(&mut self.lock().evidence);
    }

    /// Sets the current stage. If the deadline passes, the message names this stage.
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
        // The closures only assign fields, so the values are consistent even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
