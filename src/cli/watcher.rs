//! Watches for Ctrl-C during one command. The command may have several runs, one after the other, and one watcher for all
//! of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parallax_vocab::RunId;
use tokio_util::sync::CancellationToken;

use super::{CliError, printer, signal, wiring};
use parallax_record::Sink;

/// The watcher of a command. All clones share the token and the run in progress.
#[derive(Clone, Debug, Default)]
pub(super) struct Watcher {
    cancel: CancellationToken,
    present: Arc<Mutex<Option<Present>>>,
}

/// What is in progress: the sink of its events, and the id of the run, if it is a run.
#[derive(Clone, Debug)]
struct Present {
    sink: Sink,
    run: Option<RunId>,
}

/// The time during which a watcher follows a run. The time ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Following(Watcher);

impl Watcher {
    /// Starts to listen for signals.
    pub(super) fn start() -> Result<Self, CliError> {
        let watcher = Self::default();
        let [first, second, own] = [watcher.clone(), watcher.clone(), watcher.clone()];
        let cancel = signal::watch(move || first.say_first(), move || second.say_what_remains())
            .map_err(|error| CliError::Harness(format!("failed to listen for signals: {error}")))?;
        Ok(Self { cancel, ..own })
    }

    /// Directs the messages about signals to a run (or to other work without an id) until the result is dropped.
    pub(super) fn follow(&self, sink: &Sink, run: Option<RunId>) -> Following {
        *self.present() = Some(Present { sink: sink.clone(), run });
        Following(self.clone())
    }

    /// The token that the first signal cancels.
    pub(super) fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    fn say_first(&self) {
        match &*self.present() {
            Some(present) => present.sink.note(signal::CLEANING_UP),
            // A sink whose run has ended would drop the note.
            None => printer::word(signal::CLEANING_UP),
        }
    }

    fn say_what_remains(&self) {
        let run = self.present().as_ref().and_then(|present| present.run.clone());
        printer::word("stopped at once; what remains:");
        for line in run.as_ref().map(wiring::remaining).unwrap_or_default() {
            printer::word(&format!("  {line}"));
        }
        printer::word("`parallax gc` removes it");
    }

    fn present(&self) -> MutexGuard<'_, Option<Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        *self.0.present() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watcher_serves_each_run_of_a_command_and_the_time_between_them() {
        let watcher = Watcher::default();
        let notes: [Arc<Mutex<usize>>; 2] = Default::default();
        for (number, count) in notes.iter().enumerate() {
            let seen = count.clone();
            let following = watcher.clone().follow(&Sink::new(move |_| *seen.lock().expect("no panic") += 1), None);
            watcher.say_first();
            drop(following);
            watcher.say_first();
            let seen = notes.each_ref().map(|it| *it.lock().expect("no panic"));
            assert_eq!(seen, [[1, 0], [1, 1]][number], "only the run in progress gets the note");
        }
        watcher.token().cancel();
        assert!(watcher.clone().token().is_cancelled());
    }
}
