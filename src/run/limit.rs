//! The time limit of a whole run.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::RunError;
use parallax_record::Sink;

/// The timer of a run with a time limit. When the limit is reached, the run is cancelled in the same way as by an
/// interruption.
#[derive(Debug)]
pub(super) struct Limit {
    /// Cancelled when the user interrupts the run or when the time limit is reached.
    pub(super) cancel: CancellationToken,
    given: Option<Duration>,
    interrupted: CancellationToken,
    /// The timer task. The task stops when this value is dropped.
    _clock: JoinSet<()>,
}

impl Limit {
    /// Starts the timer. If `given` is `None`, the run has no time limit.
    pub(super) fn new(given: Option<Duration>, sink: &Sink, interrupted: &CancellationToken) -> Self {
        let cancel = interrupted.child_token();
        let mut clock = JoinSet::new();
        if let Some(given) = given {
            let (sink, cancel) = (sink.clone(), cancel.clone());
            clock.spawn(async move {
                // The time limit of the run is a period and not an event, so a sleep is correct here.
                tokio::time::sleep(given).await;
                sink.note(format!("the run's time of {} s is over: cleaning up", given.as_secs()));
                cancel.cancel();
            });
        }
        Self { cancel, given, interrupted: interrupted.clone(), _clock: clock }
    }

    /// If the time limit ended the run and not the user, replaces [`RunError::Interrupted`] by [`RunError::TimeOver`].
    /// Other errors stay as they are.
    pub(super) fn reason(&self, error: RunError) -> RunError {
        match (error, self.given) {
            (RunError::Interrupted, Some(given)) if !self.interrupted.is_cancelled() => {
                RunError::TimeOver { limit_s: given.as_secs(), without: Vec::new() }
            }
            (error, _) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_limit_is_distinguished_from_an_interruption() {
        let interrupted = CancellationToken::new();
        let limit = Limit::new(Some(Duration::from_millis(10)), &Sink::silent(), &interrupted);
        limit.cancel.cancelled().await;
        assert!(!interrupted.is_cancelled(), "nobody interrupted the run");
        assert!(matches!(limit.reason(RunError::Interrupted), RunError::TimeOver { .. }));

        let limit = Limit::new(Some(Duration::from_hours(1)), &Sink::silent(), &interrupted);
        interrupted.cancel();
        limit.cancel.cancelled().await;
        assert!(matches!(limit.reason(RunError::Interrupted), RunError::Interrupted));
    }
}
