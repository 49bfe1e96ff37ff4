//! Starts the node's components, reports when one ends, and stops them in the reverse order of the start.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

use crate::error::NodeError;
use crate::paths;

/// The number of lines from the end of a component's log that an error message contains.
const TAIL_LINES: usize = 20;
/// The largest part of the end of a log that is read to find its last lines, in bytes.
const TAIL_BYTES: i64 = 32 * 1024;
/// The time after which the components of one stage are killed if they do not stop. All three stages together take less
/// than 5 s.
const STOP_LIMIT: Duration = Duration::from_millis(1200);

/// The value of the variable GOGC for components: how much, in percent, Go's heap grows before a garbage collection. A
/// node runs only for minutes, so it can use more memory. With the default of 100, garbage collection takes a fifth of
/// the components' CPU time. The components' child processes inherit the value, but containers do not.
const GARBAGE_PERCENT: &str = "400";

/// The stage at which a component is stopped. The stages are stopped in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Clients of the apiserver, for example the kubelet. They stop first.
    Client,
    /// The apiserver. It stops after its clients.
    Server,
    /// The components that all others need: containerd and etcd. They stop last.
    Base,
}

/// A component of the node, which runs as a process of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Component {
    /// The component's name, used in messages and in the name of its log file.
    pub(crate) name: &'static str,
    /// The name of the component's program, which is looked up in `PATH`.
    pub(crate) program: &'static str,
    /// The stage at which the component is stopped.
    pub(crate) stage: Stage,
    /// Whether the component gets all environment variables of the container. Only containerd gets all of them, because
    /// it pulls images and needs the proxy variables. The other components get only `PATH` and `HOME`.
    pub(crate) environment: bool,
}

struct Running {
    stage: Stage,
    pid: Pid,
    ended: watch::Receiver<bool>,
}

/// The components that were started, and the channel on which their ends are reported.
pub(crate) struct Supervisor {
    running: Mutex<Vec<Running>>,
    ends: mpsc::UnboundedSender<NodeError>,
}

impl Supervisor {
    /// Creates a supervisor, and the receiving end of a channel. The channel gets one message for each component that
    /// ended.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<NodeError>) {
        let (ends, ended) = mpsc::unbounded_channel();
        (Self { running: Mutex::default(), ends }, ended)
    }

    /// Starts a component. Its standard output and standard error go to its log file.
    pub(crate) fn start(&self, component: Component, arguments: &[String]) -> Result<(), NodeError> {
        let Component { name, program, .. } = component;
        let log = log_path(name);
        let out = File::options().create(true).append(true).open(&log).map_err(NodeError::file("open", &log))?;
        let error_out = out.try_clone().map_err(NodeError::file("open", &log))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(error_out);
        if !component.environment {
            command.env_clear();
            command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
        }
        command.env("GOGC", GARBAGE_PERCENT);
        let spawned = command.spawn();
        let mut child = spawned.map_err(|source| NodeError::Spawn { name, program: program.to_owned(), source })?;
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.expect("a child that nobody waited for has a process id");
        let (ended_sender, ended) = watch::channel(false);
        let ends = self.ends.clone();
        tokio::spawn(async move {
            let status = child.wait().await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            // When the node stops, the receivers of these messages may be gone already, so errors are ignored.
            let _ = ended_sender.send(true);
            let _ = ends.send(NodeError::Ended { name, status, tail: tail(&log) });
        });
        self.running.lock().expect("no holder of this lock panics").push(Running {
            stage: component.stage,
            pid,
            ended,
        });
        Ok(())
    }

    /// Stops all components, stage by stage. A component that does not end in time is killed.
    pub(crate) async fn stop(&self) {
        let mut running = std::mem::take(&mut *self.running.lock().expect("no holder of this lock panics"));
        for stage in [Stage::Client, Stage::Server, Stage::Base] {
            let mut now: Vec<Running> = running.extract_if(.., |component| component.stage == stage).collect();
            for component in &now {
                signal(component, Signal::TERM);
            }
            let all =
                futures::future::join_all(now.iter_mut().map(|component| component.ended.wait_for(|ended| *ended)));
            if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
                for component in &now {
                    signal(component, Signal::KILL);
                }
            }
        }
    }
}

fn signal(component: &Running, signal: Signal) {
    // A component that ended has been reaped. Another process may have its process id now and must not get the signal.
    if !*component.ended.borrow() {
        let _ = kill_process(component.pid, signal);
    }
}

/// The path of the log file of a component.
pub(crate) fn log_path(name: &str) -> PathBuf {
    Path::new(paths::LOGS).join(format!("{name}.log"))
}

/// The last lines of a log file, for an error message. If the file cannot be read, the result is the reason.
pub(crate) fn tail(log: &Path) -> String {
    read_end(log).map_or_else(|error| format!("({}: {error})", log.display()), |text| last_lines(&text))
}

fn read_end(log: &Path) -> std::io::Result<String> {
    let length = i64::try_from(fs::metadata(log)?.len()).unwrap_or(i64::MAX);
    let mut file = File::open(log)?;
    if length > TAIL_BYTES {
        file.seek(SeekFrom::End(-TAIL_BYTES))?;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let mut lines = VecDeque::with_capacity(TAIL_LINES);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    if lines.is_empty() {
        return "(it wrote nothing)".to_owned();
    }
    Vec::from(lines).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_leave_out_empty_ones() {
        let many = (0..50).map(|n| format!("line {n}\n")).collect::<Vec<_>>().join("\n");
        let kept = last_lines(&many);
        assert_eq!(kept.lines().count(), TAIL_LINES);
        assert!(kept.starts_with("line 30") && kept.ends_with("line 49"), "{kept}");
        assert_eq!(last_lines("\n \n"), "(it wrote nothing)");
    }

    #[test]
    fn a_long_log_is_read_from_its_end() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("x.log");
        let text = (0..10_000).map(|n| format!("line number {n}")).collect::<Vec<_>>().join("\n");
        fs::write(&log, text).expect("written");
        assert!(tail(&log).ends_with("line number 9999"));
        assert!(tail(&folder.path().join("none.log")).contains("none.log"));
    }
}
