//! The main process of a vantage's pod or container. As process 1 of its namespace, it has no default signal actions,
//! so it must handle SIGTERM itself. Otherwise the end of each pod would take the whole grace period. Orphans of
//! programs become its children. It reaps them, so that the many processes of a browser do not stay as zombies.

use anyhow::Context as _;
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn until_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut ended = signal(SignalKind::child()).context("failed to listen for SIGCHLD")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = ended.recv() => reap(),
        }
    }
}

/// Reaps all children that have ended. A single signal can report several of them.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
