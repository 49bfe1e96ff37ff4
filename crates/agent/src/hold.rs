//! The main process of a vantage's pod or container, which is process 1 of its PID namespace. The kernel has no default
//! signal actions for process 1. Therefore this process must handle SIGTERM itself; otherwise each pod would end only
//! after the whole grace period. When a program ends before its own children, this process becomes their parent. It
//! must reap them; otherwise the many processes of a browser would stay as zombies.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, for at most the time `within`. `None` means that there is no limit.
pub(crate) async fn hold(within: Option<Duration>) -> anyhow::Result<()> {
    match within {
        Some(within) => tokio::time::timeout(within, until_signal()).await.unwrap_or(Ok(())),
        None => until_signal().await,
    }
}

/// Ends each `hold` process that runs the same file as this program. If containers share a process namespace, this
/// program also sees the `hold` processes of other containers. Those run another file, so this function does not end
/// them.
pub(crate) fn release() -> anyhow::Result<()> {
    let file = |of: &str| std::fs::metadata(format!("/proc/{of}/exe")).map(|it| (it.dev(), it.ino()));
    let own = file("self").context("failed to read the own program")?;
    for entry in std::fs::read_dir("/proc").context("failed to read /proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.parse().ok().and_then(Pid::from_raw).filter(|it| *it != getpid()) else { continue };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let holds = arguments.split(|it| *it == 0).nth(1) == Some(b"hold");
        if holds && file(&name).is_ok_and(|it| it == own) {
            kill_process(process, Signal::TERM).with_context(|| format!("failed to end process {name}"))?;
        }
    }
    Ok(())
}

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

/// Reaps all child processes that have ended. The loop is needed because one SIGCHLD can stand for several children.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
