//! The reaper: the process that removes the objects of a run after the harness was killed with SIGKILL.
//!
//! The reaper is a second process of the same program. It has its own process group, so that Ctrl-C in the terminal
//! does not reach it. Its standard input is a pipe, and only the harness holds the other end. The harness writes the
//! word `closed` into the pipe when it has removed the run's objects itself. If the pipe ends without that word, the
//! harness has died, and the reaper removes the objects.
//!
//! Before that word, the harness may write notes into the pipe, one on each line. A note is a text that the reaper
//! needs but that must not be in a file, such as a secret key.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

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
    pipe: Notes,
}

/// The pipe to a reaper. The harness writes notes into it, which are texts that must not be in a file, such as secret
/// keys.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// `None` if there is no reaper, or if the reaper was told that the run is closed.
    pipe: Arc<Mutex<Option<ChildStdin>>>,
}

impl Notes {
    /// Sends the text `note`, which has no line break, to the reaper. The text is in the pipe when this method
    /// returns, so the reaper gets the text even if the harness is killed directly afterwards.
    pub fn tell(&self, note: &str) -> std::io::Result<()> {
        match &mut *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(pipe) => pipe.write_all(format!("{note}\n").as_bytes()),
            None => Ok(()),
        }
    }

    fn take(&self) -> Option<ChildStdin> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns the command that runs this program as the reaper of a run.
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
    /// Starts the reaper of a run. The reaper writes its messages to `reaper.log` in the run's folder of the state
    /// folder.
    pub fn spawn(site: &Site) -> Result<Self, EngineError> {
        Self::spawn_as(command(site)?, site)
    }

    /// Starts the given command as the reaper of a run. [`command`] returns the usual command.
    pub fn spawn_as(command: Command, site: &Site) -> Result<Self, EngineError> {
        Self::spawn_in(command, site.run(), site.state())
    }

    /// Starts the reaper of a run whose objects are not in a container engine, but in somebody else's cluster. The
    /// reaper gets the text in `endpoint` in place of an engine's address, and so knows that there is no engine. The
    /// run's folder in the state folder must exist already.
    pub fn spawn_for(run: &RunId, endpoint: &str, state: &StateDir) -> Result<Self, EngineError> {
        Self::spawn_in(command_for(run, endpoint, state)?, run, state)
    }

    fn spawn_in(mut command: Command, run: &RunId, state: &StateDir) -> Result<Self, EngineError> {
        let log = state.run(run).join("reaper.log");
        let file = std::fs::File::create(&log).map_err(EngineError::file("create", &log))?;
        let mut child = command
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
        let pipe = Notes { pipe: Arc::new(Mutex::new(child.stdin.take())) };
        Ok(Self { child, pipe })
    }

    /// Returns the pipe for notes to the reaper.
    pub fn notes(&self) -> Notes {
        self.pipe.clone()
    }

    /// Tells the reaper that the harness has removed the run's objects itself. The reaper then exits at once, and this
    /// function waits for that.
    pub fn closed(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // If the write fails, the reaper has already exited, and nothing is left to report.
            let _ = pipe.write_all(CLOSED.as_bytes());
        }
        let _ = self.child.wait();
    }
}

/// Waits until the harness writes `closed` or dies. Returns `None` if the harness wrote `closed`. Otherwise the
/// harness has died, and the run's objects must be removed. The result is then the list of notes that the harness
/// wrote, without an incomplete last note.
pub fn is_killed() -> Option<Vec<String>> {
    let mut bytes = Vec::new();
    // If reading from the pipe fails, the harness counts as dead.
    let _ = std::io::stdin().read_to_end(&mut bytes);
    notes(&String::from_utf8_lossy(&bytes))
}

/// Returns the notes in `said`, the text that the harness wrote. Returns `None` if the last word of the text is
/// `closed`.
fn notes(said: &str) -> Option<Vec<String>> {
    let (whole, last) = said.rsplit_once('\n').unwrap_or(("", said));
    (last.trim() != CLOSED).then(|| whole.lines().map(str::to_owned).collect())
}

/// The main function of the reaper process. Waits until the harness writes `closed` or dies. Returns the result of the
/// sweep, or `None` if the harness removed the run's objects itself.
pub fn main(run: &RunId, endpoint: &str, state: &Path) -> Result<Option<Swept>, EngineError> {
    if is_killed().is_none() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_count_unless_the_run_is_closed() {
        for (said, expected) in [
            ("closed", None),
            ("", Some(vec![])),
            ("clo", Some(vec![])),
            ("{\"a\":1}\n{\"b\":2}\n", Some(vec!["{\"a\":1}", "{\"b\":2}"])),
            ("{\"a\":1}\n{\"b\"", Some(vec!["{\"a\":1}"])),
            ("{\"a\":1}\nclosed", None),
        ] {
            let expected = expected.map(|it| it.into_iter().map(str::to_owned).collect());
            assert_eq!(notes(said), expected, "{said}");
        }
    }
}
