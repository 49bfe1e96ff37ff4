//! Starts `dockerd` and waits until it answers.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::find::{DEFAULT_SOCKET, Reach, Surroundings};
use parallax_provision::ProvisionError;
use parallax_provision::Tool;
use parallax_provision::on_path;
use parallax_provision::{last_lines, run};
use parallax_record::Sink;

const LOG: &str = "/var/log/parallax-dockerd.log";
/// The file in which a running dockerd stores its process id.
const PID_FILE: &str = "/var/run/docker.pid";
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const OUTPUT_LINES: usize = 20;

/// Starts dockerd if it does not run, and waits until it answers. If systemd runs on the machine, systemd starts
/// dockerd.
pub(super) async fn start(around: &dyn Surroundings, sink: &Sink) -> Result<(), ProvisionError> {
    let mut child = None;
    // The log may contain lines of an earlier start. An error of this start must not show those lines.
    let log_begins = std::fs::metadata(LOG).map_or(0, |file| file.len());
    let by_systemd = Path::new("/run/systemd/system").exists();
    if is_starting() {
        sink.note("waiting for the dockerd that is starting already");
    } else if by_systemd {
        sink.note("starting the engine (systemctl start docker)");
        run("systemctl", &["start", "docker"], ANSWERS_WITHIN).await?;
    }
    let begun = Instant::now();
    loop {
        if around.reach(Path::new(DEFAULT_SOCKET)) == Reach::Answers {
            return Ok(());
        }
        if child.is_none() && !by_systemd && !is_starting() {
            // At this point, dockerd was not started yet, or the dockerd that was starting has ended before it
            // answered.
            sink.note(format!("starting dockerd, which stays when this ends; its log is {LOG}"));
            child = Some(spawn()?);
        }
        if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            return Err(failed(format!("ended at once ({status})"), log_begins));
        }
        if begun.elapsed() > ANSWERS_WITHIN {
            return Err(failed(format!("does not answer after {} s", ANSWERS_WITHIN.as_secs()), log_begins));
        }
        // No event reports that dockerd has created its socket, so the code polls.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether a dockerd process exists already. The installation of dockerd's package, or another process, may have just
/// started dockerd.
fn is_starting() -> bool {
    let pid = std::fs::read_to_string(PID_FILE).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let stat = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stat.is_some_and(|stat| is_living_dockerd(&stat))
}

/// Whether `/proc/PID/stat` describes a dockerd that has not ended. A process that has ended keeps its entry, in state
/// Z or X, until its parent reads its exit code.
fn is_living_dockerd(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(')') else { return false };
    let name = before.split_once('(').map_or("", |(_, name)| name);
    name == "dockerd" && !after.trim_start().starts_with(['Z', 'X'])
}

/// Starts dockerd in a session of its own, so that dockerd continues when the terminal closes or this process ends.
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
    let mut command = Command::new(Tool::Setsid.command());
    command.arg(dockerd).current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
    // These variables configure Docker's client. dockerd gives some of these variables another meaning, so dockerd does
    // not get any of them.
    for name in ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_CONFIG"] {
        command.env_remove(name);
    }
    command.spawn().map_err(|error| failed(error.to_string()))
}

/// The path of the dockerd program; `None` if it is not installed.
pub(super) fn dockerd() -> Option<PathBuf> {
    on_path(Tool::Dockerd.command()).next()
}

fn failed(reason: String, log_begins: u64) -> ProvisionError {
    let log = std::fs::read(LOG).unwrap_or_default();
    let begins = usize::try_from(log_begins).unwrap_or_default().min(log.len());
    let text = String::from_utf8_lossy(&log[begins..]);
    ProvisionError::Daemon { reason, log: LOG.to_owned(), output: last_lines(&text, OUTPUT_LINES) }
}

#[cfg(test)]
mod tests {
    use super::is_living_dockerd;

    #[test]
    fn a_dockerd_that_has_ended_is_not_waited_for() {
        for (stat, living) in [
            ("29198 (dockerd) S 1 29198 29198 0 -1", true),
            ("29198 (dockerd) Z 1 29198 29198 0 -1", false),
            ("29198 (dockerd) X 1 29198 29198 0 -1", false),
            ("29198 (docker) S 1 29198 29198 0 -1", false),
            ("29198 (a) dockerd) S 1", false),
            ("", false),
        ] {
            assert_eq!(is_living_dockerd(stat), living, "{stat}");
        }
    }
}
