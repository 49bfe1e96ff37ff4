//! The main process of a vantage's pod or container. As process 1 of its namespace, it has no default signal actions,
//! so it must handle SIGTERM itself. Otherwise each pod would end only after the whole grace period. When a program
//! ends before its own children, these become children of process 1. It reaps them, so that the many processes of a
//! browser do not stay as zombies.

use anyhow::Context as _;
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, and reaps orphans in the meantime.
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

/// Reaps all child processes that have ended. A single SIGCHLD can stand for several of them.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
