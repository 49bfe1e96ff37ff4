//! Keeps half of the processors busy, with one process for each of these processors. The processes end when xtask
//! ends.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};

/// A shell script that keeps a processor busy until its standard input ends. Standard input is a pipe from xtask, so it
/// also ends if xtask is killed.
const SCRIPT: &str = "(while :; do :; done) & busy=$!; cat > /dev/null; kill $busy";

/// The processes that keep the processors busy. Dropping this value ends them.
pub(super) struct Load(Vec<Child>);

impl Load {
    /// Starts the processes that keep the processors busy.
    pub(super) fn begin() -> Result<Self> {
        let processors = available_parallelism().context("failed to count the processors")?.get();
        let mut children = Vec::new();
        for _ in 0..(processors / 2).max(1) {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null());
            children.push(command.spawn().context("failed to start a shell for the load")?);
        }
        Ok(Self(children))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            drop(child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_of(pid: u32) -> u64 {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let busy = children.split_whitespace().map(|child| std::fs::read_to_string(format!("/proc/{child}/stat")));
        // The user time and the system time are fields 14 and 15 of `/proc/PID/stat`, in ticks. The name of the program
        // may contain spaces, so the test counts the fields from the parenthesis after the name.
        let ticks = busy.filter_map(Result::ok).map(|stat| {
            let rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            rest.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum::<u64>()
        });
        ticks.sum()
    }

    #[test]
    fn a_load_keeps_processors_busy_and_ends_with_its_owner() {
        let load = Load::begin().expect("a shell");
        let pids: Vec<u32> = load.0.iter().map(Child::id).collect();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while pids.iter().any(|pid| time_of(*pid) < 5) {
            assert!(std::time::Instant::now() < deadline, "no process uses processor time");
            // No event reports used processor time, so the test polls.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let alive = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        let busy: Vec<u32> = pids
            .iter()
            .flat_map(|pid| {
                let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
                children.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<u32>>()
            })
            .collect();
        drop(load);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while pids.iter().chain(&busy).any(alive) {
            assert!(std::time::Instant::now() < deadline, "the load did not end");
            // A killed process disappears only after its parent has reaped it. No event reports that, so the test
            // polls.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
