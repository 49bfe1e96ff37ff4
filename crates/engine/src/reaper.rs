//! The reaper: the process that removes the objects of a run after the harness was killed with SIGKILL.
//!
//! The reaper is a second process of the same program. It has its own process group, so that Ctrl-C in the terminal
//! does not reach it. Its standard input is a pipe, and only the harness holds the other end. The harness writes the
//! word `closed` into the pipe when it has removed the run's objects itself. If the pipe ends without that word, the
//! harness has died, and the reaper removes the objects.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use parallax_vocab::RunId;

use super::connect::Engine;
use super::error::EngineError;
use super::find::Endpoint;
use super::ledger::StateDir;
use super::site::Site;
use super::sweep::{Swept, Unfinished};

/// The hidden subcommand that runs this program as the reaper: `parallax reaper RUN ENDPOINT STATE`.
pub const SUBCOMMAND: &str = "reaper";

/// The word that the harness writes when it has removed the run's objects itself.
const CLOSED: &str = "closed";

/// The reaper as the harness sees it: the child process, with the pipe to it. If this value is dropped without
/// [`Reaper::closed`], the reaper sweeps the run.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
}

/// The command that runs this program as the reaper of a run.
pub fn command(site: &Site) -> Result<Command, EngineError> {
    command_for(site.run(), &site.engine().endpoint().host, site.state())
}

fn command_for(run: &RunId, endpoint: &str, state: &StateDir) -> Result<Command, EngineError> {
    let program = std::env::current_exe()
        .map_err(|error| EngineError::Process { doing: "find this program".to_owned(), reason: error.to_string() })?;
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).arg(run.as_str()).arg(endpoint).arg(state.path());
    Ok(command)
}

impl Reaper {
    /// Starts the reaper of a run. It writes its messages to `reaper.log` in the run's folder of the state folder.
    pub fn spawn(site: &Site) -> Result<Self, EngineError> {
        Self::spawn_as(command(site)?, site)
    }

    /// Starts the given command as the reaper of a run. [`command`] returns the usual command.
    pub fn spawn_as(command: Command, site: &Site) -> Result<Self, EngineError> {
        Self::spawn_in(command, site.run(), site.state())
    }

    /// Starts the reaper of a run whose objects are not in a container engine, but in somebody else's cluster.
    /// `endpoint` is a word that tells the reaper this; the reaper gets it in place of an engine's address. The run's
    /// folder in the state folder must exist already.
    pub fn spawn_for(run: &RunId, endpoint: &str, state: &StateDir) -> Result<Self, EngineError> {
        Self::spawn_in(command_for(run, endpoint, state)?, run, state)
    }

    fn spawn_in(mut command: Command, run: &RunId, state: &StateDir) -> Result<Self, EngineError> {
        let log = state.run(run).join("reaper.log");
        let file = std::fs::File::create(&log).map_err(EngineError::file("create", &log))?;
        let child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(|error| EngineError::Process {
                doing: "start the reaper".to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self { child })
    }

    /// Reports to the reaper that the harness has removed the run's objects itself, and waits until the reaper exits,
    /// which it does at once.
    pub fn closed(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // If the write fails, the reaper has already exited, and nothing is left to report.
            let _ = pipe.write_all(CLOSED.as_bytes());
        }
        let _ = self.child.wait();
    }
}

/// Waits until the harness writes `closed` or dies. Returns whether it died, which means that the run's objects must be
/// removed.
pub fn is_killed() -> bool {
    let mut word = String::new();
    // If reading from the pipe fails, the harness counts as dead, as if the pipe had ended.
    let _ = std::io::stdin().take(64).read_to_string(&mut word);
    word.trim() != CLOSED
}

/// The main function of the reaper process. Waits until the harness writes `closed` or dies. Returns the result of the
/// sweep, or `None` if the harness removed the run's objects itself.
pub fn main(run: &RunId, endpoint: &str, state: &Path) -> Result<Option<Swept>, EngineError> {
    if !is_killed() {
        return Ok(None);
    }
    let state = StateDir::at(state);
    let failed =
        |error: std::io::Error| EngineError::Process { doing: "start the sweep".to_owned(), reason: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let swept = runtime.block_on(async {
        let engine = Engine::connect(&Endpoint::given(endpoint)).await?;
        Ok::<_, EngineError>(engine.sweep(run, &state.entries(run), Unfinished::Maybe).await)
    })?;
    if swept.is_clean() {
        state.mark_swept(run)?;
    }
    Ok(Some(swept))
}
