//! Process 1: starts the node as a child process, forwards stop signals to the node as SIGTERM, and reaps orphans.
//!
//! The kernel makes process 1 the parent of every orphan in the container. If the node itself were process 1, it would
//! have to reap orphans and wait for its components at the same time, and the two would race. Therefore the node is a
//! child process.

use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::say::print_error;

/// The exit code if the node process cannot be started or its exit code is not known.
const FAILED: u8 = 1;
/// If a signal ended the node process, the exit code is this number plus the signal's number, as in shells and
/// container engines.
const SIGNALLED: i32 = 128;

/// Runs the node as a child process, and exits with the child's exit code.
pub(crate) fn run() -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(supervise()));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            print_error(format!("error: the node cannot be started: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn supervise() -> std::io::Result<u8> {
    // The handlers are registered before the child exists. Otherwise the end of the child or an early stop signal could
    // be missed.
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
            _ = terminate.recv() => forward(node),
            _ = interrupt.recv() => forward(node),
        }
    }
}

/// Reaps all child processes that have ended. Returns the node's exit code if the node is among them.
fn reap(node: Pid) -> Option<u8> {
    let mut code = None;
    // Each call reaps one process, so the loop ends when no ended process is left.
    while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
        if pid == node {
            let number = status.exit_status().or(status.terminating_signal().map(|signal| SIGNALLED + signal));
            code = Some(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(FAILED));
        }
    }
    code
}

fn forward(node: Pid) {
    // The signal cannot be sent if the node process has just ended. The kernel reports that end by SIGCHLD, so the
    // error is ignored.
    let _ = kill_process(node, Signal::TERM);
}
