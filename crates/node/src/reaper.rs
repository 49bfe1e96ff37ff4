//! Process 1: it starts the node as a child, hands signals on, and reaps whatever is left to it.
//!
//! The kernel gives every orphan of the container to process 1. Were the node itself process 1, reaping orphans would
//! race with waiting for components; so it is a child, and this loop knows only one process by name.

use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::say::complain;

/// Exit code when the node cannot even be started.
const FAILED: u8 = 1;
/// Added to a signal's number by every shell and engine.
const SIGNALLED: i32 = 128;

/// Runs the node as a child and ends as it ends.
pub(crate) fn run() -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(supervise()));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(format!("error: the node cannot be started: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn supervise() -> std::io::Result<u8> {
    // Listening begins before the child exists, so that neither its end nor an early stop is missed.
    let mut child_ended = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let child = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).spawn()?;
    let node = Pid::from_child(&child);
    loop {
        tokio::select! {
            _ = child_ended.recv() => {
                if let Some(code) = reap(node) {
                    return Ok(code);
                }
            }
            _ = terminate.recv() => hand_on(node),
            _ = interrupt.recv() => hand_on(node),
        }
    }
}

/// Reaps all that ended; gives the exit code once the node is among them.
fn reap(node: Pid) -> Option<u8> {
    let mut code = None;
    // Each call takes one ended process away, so this ends with the last of them.
    while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
        if pid == node {
            let number = status.exit_status().or(status.terminating_signal().map(|signal| SIGNALLED + signal));
            code = Some(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(FAILED));
        }
    }
    code
}

fn hand_on(node: Pid) {
    // It may have ended this instant; then its end is on its way as a signal, too.
    let _ = kill_process(node, Signal::TERM);
}
