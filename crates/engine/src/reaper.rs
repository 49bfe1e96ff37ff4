//! The reaper: the process that removes the objects of a run after the harness was killed with SIGKILL.
//!
//! The reaper is the same program in its own process group, so that Ctrl-C in the terminal does not reach it. Its
//! standard input is a pipe that only the harness holds. The word `closed` means that the run has already removed its
//! objects. If the pipe ends without that word, the harness has died, and the reaper removes the run's objects.

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

/// The harness's end of the pipe to the reaper. If it is dropped without [`Reaper::closed`], the reaper sweeps the run.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
}

/// The command that runs this program as the reaper of a site.
pub fn command(site: &Site) -> Result<Command, EngineError> {
    let program = std::env::current_exe()
        .map_err(|error| EngineError::Process { doing: "find this program".to_owned(), reason: error.to_string() })?;
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).arg(site.run().as_str()).arg(&site.engine().endpoint().host).arg(site.state().path());
    Ok(command)
}

impl Reaper {
    /// Starts the reaper of a site. Its messages go to `reaper.log` in the ledger's folder.
    pub fn spawn(site: &Site) -> Result<Self, EngineError> {
        Self::spawn_as(command(site)?, site)
    }

    /// Starts a given command as the reaper; see [`command`].
    pub fn spawn_as(mut command: Command, site: &Site) -> Result<Self, EngineError> {
        let log = site.state().run(site.run()).join("reaper.log");
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

    /// Tells the reaper that the run has removed its objects itself, and waits for the reaper to exit. The reaper exits
    /// at once.
    pub fn closed(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // If the write fails, the reaper has exited already.
            let _ = pipe.write_all(CLOSED.as_bytes());
        }
        let _ = self.child.wait();
    }
}

/// Runs the reaper: waits until the harness writes `closed` or dies. Returns the result of the sweep, or `None` if the
/// run removed its objects itself.
pub fn main(run: &RunId, endpoint: &str, state: &Path) -> Result<Option<Swept>, EngineError> {
    let mut word = String::new();
    // A read error also means that the harness has died.
    let _ = std::io::stdin().take(64).read_to_string(&mut word);
    if word.trim() == CLOSED {
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
