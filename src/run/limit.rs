//! The time that a whole run may take.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::RunError;
use parallax_record::Sink;

/// Ends a run when its time is over, as an interruption does.
#[derive(Debug)]
pub(super) struct Limit {
    /// Cancelled when somebody interrupts the run, or its time is over.
    pub(super) cancel: CancellationToken,
    given: Option<Duration>,
    interrupted: CancellationToken,
    /// The clock; it ends with this.
    _clock: JoinSet<()>,
}

impl Limit {
    /// Begins to count, where there is a limit.
    pub(super) fn new(given: Option<Duration>, sink: &Sink, interrupted: &CancellationToken) -> Self {
        let cancel = interrupted.child_token();
        let mut clock = JoinSet::new();
        if let Some(given) = given {
            let (sink, cancel) = (sink.clone(), cancel.clone());
            clock.spawn(async move {
                // The limit is one of time: there is nothing else to wait for.
                tokio::time::sleep(given).await;
                sink.note(format!("the run's time of {} s is over: cleaning up", given.as_secs()));
                cancel.cancel();
            });
        }
        Self { cancel, given, interrupted: interrupted.clone(), _clock: clock }
    }

    /// Why the run ended: what looks like an interruption, and was none, was the end of its time.
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
    async fn the_end_of_the_time_is_told_from_an_interruption() {
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
