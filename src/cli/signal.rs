//! Handles Ctrl-C and other signals that end a run. After the first signal, the run cleans up. The second signal ends
//! the process at once, and the process lists the objects that remain.

use parallax_vocab::event::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The message after the first signal.
pub const CLEANING_UP: &str = "interrupted: cleaning up; press Ctrl-C again to stop at once";

/// Listens to SIGINT, SIGTERM and SIGHUP (a closed terminal) until the async runtime ends.
///
/// The first signal calls `first` and cancels the returned token. The second signal calls `second`, and then ends the
/// process with exit code 130 without waiting.
pub fn watch(
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) -> std::io::Result<CancellationToken> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup: signal(SignalKind::hangup())?,
    };
    let cancelled = CancellationToken::new();
    let token = cancelled.clone();
    tokio::spawn(async move {
        signals.next().await;
        // `first` records that the run cleans up. It is called before the cancellation. Otherwise a run that ends at
        // once could close its record before this note is written.
        first();
        token.cancel();
        signals.next().await;
        second();
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
    Ok(cancelled)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal as Kill, getpid, kill_process};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_cancels_and_says_so() {
        let (said, heard) = oneshot::channel();
        let cancelled = watch(|| said.send(()).expect("the test listens"), || unreachable!("there was one signal"))
            .expect("listens");
        assert!(!cancelled.is_cancelled());
        kill_process(getpid(), Kill::TERM).expect("a process may signal itself");
        let first = async {
            cancelled.cancelled().await;
            heard.await
        };
        tokio::time::timeout(Duration::from_secs(10), first).await.expect("in time").expect("was said");
    }
}
