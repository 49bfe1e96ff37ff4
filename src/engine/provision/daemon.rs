//! Starting `dockerd`, and waiting until it answers.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::apt::{last_lines, run};
use super::error::ProvisionError;
use super::tool::on_path;
use crate::engine::find::{DEFAULT_SOCKET, Reach, Surroundings};
use crate::record::Sink;

const LOG: &str = "/var/log/parallax-dockerd.log";
/// Where a running dockerd writes its number.
const PID_FILE: &str = "/var/run/docker.pid";
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const OUTPUT_LINES: usize = 20;

/// Starts the engine where it does not run, through systemd where that runs, and waits until it answers.
pub(super) async fn start(around: &dyn Surroundings, sink: &Sink) -> Result<(), ProvisionError> {
    let mut child = None;
    // Lines of an earlier start explain nothing.
    let log_begins = std::fs::metadata(LOG).map_or(0, |file| file.len());
    if is_starting() {
        sink.note("waiting for the dockerd that is starting already");
    } else if Path::new("/run/systemd/system").exists() {
        sink.note("starting the engine (systemctl start docker)");
        run("systemctl", &["start", "docker"], ANSWERS_WITHIN).await?;
    } else {
        sink.note(format!("starting dockerd, which stays when this ends; its log is {LOG}"));
        child = Some(spawn()?);
    }
    let begun = Instant::now();
    loop {
        if around.reach(Path::new(DEFAULT_SOCKET)) == Reach::Answers {
            return Ok(());
        }
        if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            return Err(failed(format!("ended at once ({status})"), log_begins));
        }
        if begun.elapsed() > ANSWERS_WITHIN {
            return Err(failed(format!("does not answer after {} s", ANSWERS_WITHIN.as_secs()), log_begins));
        }
        // A socket that does not exist yet cannot be awaited, only looked for.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether its package, or somebody else, has started one a moment ago.
fn is_starting() -> bool {
    let pid = std::fs::read_to_string(PID_FILE).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let name = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    name.is_some_and(|name| name.trim() == "dockerd")
}

/// In a session of its own, so that neither the terminal's end nor ours takes it along.
fn spawn() -> Result<Child, ProvisionError> {
    let failed =
        |reason: String| ProvisionError::Command { command: "setsid dockerd".to_owned(), reason, output: Vec::new() };
    let dockerd = dockerd().ok_or_else(|| failed("dockerd is not installed".to_owned()))?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(LOG)
        .map_err(ProvisionError::file("write", LOG))?;
    let errors = log.try_clone().map_err(ProvisionError::file("write", LOG))?;
    let mut command = Command::new("setsid");
    command.arg(dockerd).current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
    // The client's variables mean other things to the server.
    for name in ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_CONFIG"] {
        command.env_remove(name);
    }
    command.spawn().map_err(|error| failed(error.to_string()))
}

/// Where the server is installed.
pub(super) fn dockerd() -> Option<PathBuf> {
    on_path("dockerd").next()
}

fn failed(reason: String, log_begins: u64) -> ProvisionError {
    let log = std::fs::read(LOG).unwrap_or_default();
    let begins = usize::try_from(log_begins).unwrap_or_default().min(log.len());
    let text = String::from_utf8_lossy(&log[begins..]);
    ProvisionError::Daemon { reason, log: LOG.to_owned(), output: last_lines(&text, OUTPUT_LINES) }
}
