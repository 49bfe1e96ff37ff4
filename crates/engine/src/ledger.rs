//! The ledger: the list of a run's objects. The name of an object is written to disk before the engine creates the
//! object.
//!
//! The folder `$XDG_STATE_HOME/parallax/runs/<run>/` (or `~/.local/state/parallax/…`) holds `run.json` (the owner of
//! the run) and `ledger.jsonl` (one object a line). It can hold two more files. The file `swept` means that no object
//! of the run is left. The file `standing` means that the run is kept after its process has ended; it contains the path
//! of the project that the run belongs to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use parallax_record::{Noted as _, Present as _};
use parallax_vocab::RunId;
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::identity::{Owner, unix_seconds};

const RUN_FILE: &str = "run.json";
const LEDGER_FILE: &str = "ledger.jsonl";
const SWEPT_FILE: &str = "swept";
const STANDING_FILE: &str = "standing";

/// The kind of an object in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The object is a container.
    Container,
    /// The object is a network.
    Network,
    /// The object is a volume.
    Volume,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        })
    }
}

/// One object of a run in the engine, as the ledger lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The kind of the object.
    pub kind: Kind,
    /// The name of the object in the engine.
    pub name: String,
}

/// The content of `run.json`: what a later process must know about a run to decide whether the run is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The id of the run.
    pub run: RunId,
    /// The process that started the run, by which a later process can tell whether the run is alive.
    pub owner: Owner,
    /// The address of the run's engine, in the form of `DOCKER_HOST`.
    pub endpoint: String,
    /// The time at which the run was created, in seconds since 1970.
    pub created: u64,
}

/// The content of the file `standing`: the project and the folder of a run that is kept after its process has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The root folder of the project to which the run belongs.
    pub project: PathBuf,
    /// The run's folder in the project, `target/e2e/RUN`. It is not the run's folder in [`StateDir`].
    pub directory: PathBuf,
}

/// The folder in which Parallax stores the ledgers of all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The state folder of this user: `$XDG_STATE_HOME/parallax`, or `~/.local/state/parallax`.
    pub fn of_user() -> Result<Self, EngineError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let state = state.ok_or_else(|| EngineError::Process {
            doing: "find the folder for ledgers".to_owned(),
            reason: "neither XDG_STATE_HOME nor HOME is set to an absolute path".to_owned(),
        })?;
        Ok(Self(state.join("parallax")))
    }

    /// The state folder at a given path, for example for a test.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path of the state folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a run's folder.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.0.join("runs").join(run.as_str())
    }

    /// Every run that has a folder in the state folder, sorted by name.
    pub fn runs(&self) -> Result<Vec<RunId>, EngineError> {
        let path = self.0.join("runs");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::File { doing: "read", path, source: error }),
        };
        let mut runs: Vec<RunId> =
            entries.filter_map(|entry| entry.noted("list the runs")?.file_name().to_str().map(RunId::new)).collect();
        runs.sort();
        Ok(runs)
    }

    /// The content of a run's `run.json`; `None` if the file is missing or incomplete.
    pub fn run_file(&self, run: &RunId) -> Option<RunFile> {
        let text = fs::read_to_string(self.run(run).join(RUN_FILE)).present("read a run's file")?;
        serde_json::from_str(&text).noted("understand a run's file")
    }

    /// The objects in a run's ledger. A last line that a crash cut short is left out. This loses no object: the
    /// harness asks the engine to create an object only after the object's line is complete on disk.
    pub fn entries(&self, run: &RunId) -> Vec<Entry> {
        let text = fs::read_to_string(self.run(run).join(LEDGER_FILE)).present("read a ledger").unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).noted("understand a line of a ledger")).collect()
    }

    /// Whether a run is kept on purpose after its process has ended, as its file `standing` says.
    pub fn is_standing(&self, run: &RunId) -> bool {
        self.run(run).join(STANDING_FILE).exists()
    }

    /// The project and the folder of a run that is kept after its process has ended; `None` if the file `standing` is
    /// missing or invalid.
    pub fn kept(&self, run: &RunId) -> Option<Kept> {
        let text = fs::read_to_string(self.run(run).join(STANDING_FILE)).present("read what a kept run belongs to")?;
        serde_json::from_str(&text).noted("understand what a kept run belongs to")
    }

    /// Whether the run's folder records that no object of the run is left.
    pub fn is_swept(&self, run: &RunId) -> bool {
        self.run(run).join(SWEPT_FILE).exists()
    }

    /// Records that no object of a run is left.
    pub fn mark_swept(&self, run: &RunId) -> Result<(), EngineError> {
        mark(&self.run(run).join(SWEPT_FILE), &[])
    }

    /// Removes the folder of a run with its ledger. A folder that does not exist is not an error.
    pub fn forget(&self, run: &RunId) -> Result<(), EngineError> {
        let path = self.run(run);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EngineError::File { doing: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }
}

/// A run's ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    state: StateDir,
    run: RunId,
    file: Mutex<File>,
}

impl Ledger {
    /// Creates the ledger of a new run. `endpoint` is the address of the run's engine. Only this user can read the
    /// ledger (folder 0700, files 0600).
    pub fn open(state: StateDir, run: &RunId, owner: Owner, endpoint: &str) -> Result<Self, EngineError> {
        let directory = state.run(run);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(EngineError::file("create", &directory))?;
        let file = RunFile { run: run.clone(), owner, endpoint: endpoint.to_owned(), created: unix_seconds() };
        let path = directory.join(RUN_FILE);
        private(&path)
            .and_then(|mut out| out.write_all(&serde_json::to_vec(&file)?).and_then(|()| out.sync_all()))
            .map_err(EngineError::file("write", &path))?;
        let path = directory.join(LEDGER_FILE);
        let ledger = private(&path).map_err(EngineError::file("create", &path))?;
        sync_directory(&directory)?;
        Ok(Self { state, run: run.clone(), file: Mutex::new(ledger) })
    }

    /// Appends an object to the ledger and syncs the file to disk. Call this function before the engine creates the
    /// object.
    pub fn record(&self, kind: Kind, name: &str) -> Result<(), EngineError> {
        let entry = Entry { kind, name: name.to_owned() };
        let write = || {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(EngineError::file("write", self.state.run(&self.run).join(LEDGER_FILE)))
    }

    /// The objects that the ledger lists so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.state.entries(&self.run)
    }

    /// The state folder, which holds the ledgers of all runs.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Marks the run as kept after its process has ended: gc spares it from now on.
    pub fn keep_standing(&self, kept: &Kept) -> Result<(), EngineError> {
        let path = self.state.run(&self.run).join(STANDING_FILE);
        // The conversion to JSON fails for a path that is not UTF-8.
        let text = serde_json::to_vec(kept).map_err(|error| EngineError::file("write", &path)(error.into()))?;
        mark(&path, &text)
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn mark(path: &Path, text: &[u8]) -> Result<(), EngineError> {
    let written = private(path).and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()));
    written.map_err(EngineError::file("write", path))
}

/// Syncs a directory to disk. Without this, a crash could lose the names of new files although their contents are on
/// disk.
fn sync_directory(path: &Path) -> Result<(), EngineError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(EngineError::file("sync", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_ledger_is_private_and_survives_a_torn_line() {
        let scratch = tempfile::tempdir().unwrap();
        let state = StateDir::at(scratch.path().join("state"));
        let run = RunId::new("r00000001");
        let owner = Owner::this_process().unwrap();
        let ledger = Ledger::open(state.clone(), &run, owner.clone(), "unix:///x").unwrap();
        ledger.record(Kind::Network, "n").unwrap();
        ledger.record(Kind::Container, "c").unwrap();
        let path = state.run(&run).join(LEDGER_FILE);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(br#"{"kind":"conta"#).unwrap();

        let names: Vec<String> = state.entries(&run).into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["n", "c"]);
        assert_eq!(state.run_file(&run).unwrap().owner, owner);
        assert_eq!(state.runs().unwrap(), std::slice::from_ref(&run));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(state.run(&run)).unwrap().permissions().mode() & 0o777, 0o700);

        assert!(!state.is_standing(&run) && !state.is_swept(&run));
        let kept = Kept { project: "/p".into(), directory: "/p/target/e2e/r00000001".into() };
        ledger.keep_standing(&kept).unwrap();
        assert_eq!(state.kept(&run), Some(kept));
        state.mark_swept(&run).unwrap();
        assert!(state.is_standing(&run) && state.is_swept(&run));
        state.forget(&run).unwrap();
        state.forget(&run).unwrap();
        assert_eq!(state.runs().unwrap(), []);
    }
}
