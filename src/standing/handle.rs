//! The handles of kept variants. A handle is a file by which other processes find the process that keeps the variant.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use parallax_vocab::{RunId, VariantId};
use serde::{Deserialize, Serialize};

use super::StandingError;
use parallax_record::Present as _;

/// The largest length of the path of a Unix socket, in bytes (`sun_path` of unix(7), without the final zero byte).
const SOCKET_PATH_LIMIT: usize = 107;

/// The description of a kept variant. The process that keeps the variant writes it to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    /// The id of the run to which the variant belongs.
    pub run: RunId,
    /// The id of the kept variant.
    pub variant: VariantId,
    /// The path of the scenario's file, relative to the project.
    pub file: PathBuf,
    /// The root folder of the variant's project.
    pub project: PathBuf,
    /// The folder of the run, which contains its record and reports.
    pub directory: PathBuf,
    /// The process id of the process that keeps the variant.
    pub process: u32,
    /// The time at which the process that keeps the variant wrote the handle, in seconds since the Unix epoch.
    pub since: i64,
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.run, self.variant)
    }
}

/// The folder that contains the handles of one user's kept variants.
#[derive(Clone, Debug)]
pub struct Handles(PathBuf);

impl Handles {
    /// Returns the folder of handles. `state` is the state folder of the user (`parallax_engine::StateDir`).
    pub fn below(state: &Path) -> Self {
        Self(state.join("standing"))
    }

    /// Returns the path of the socket on which the process of a run receives requests.
    pub(super) fn socket(&self, run: &RunId) -> PathBuf {
        self.0.join(format!("{run}.sock"))
    }

    /// Checks that the socket of a run can be created. The kernel limits the length of a socket's path.
    pub fn check(&self, run: &RunId) -> Result<(), StandingError> {
        let socket = self.socket(run);
        if socket.as_os_str().len() <= SOCKET_PATH_LIMIT {
            return Ok(());
        }
        Err(StandingError::TooLong { path: socket.display().to_string() })
    }

    fn file(&self, run: &RunId) -> PathBuf {
        self.0.join(format!("{run}.json"))
    }

    /// Creates the folder with permissions that allow only the user to access it. These permissions are necessary,
    /// because everyone who can write to a socket in this folder can run programs through the socket.
    pub(super) fn create(&self) -> Result<(), StandingError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|source| failed("create", &self.0, source))
    }

    /// Writes the handle of a run to disk.
    pub(super) fn keep(&self, handle: &Handle) -> Result<(), StandingError> {
        let path = self.file(&handle.run);
        let text = serde_json::to_vec(handle).expect("a handle becomes JSON");
        fs::write(&path, text).map_err(|source| failed("write", &path, source))
    }

    /// Removes the handle of a run and the run's socket.
    pub(super) fn forget(&self, run: &RunId) {
        for path in [self.file(run), self.socket(run)] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "{} was not removed", path.display()),
            }
        }
    }

    /// Returns the handles of all kept variants, the oldest first. Removes the handles whose process has ended.
    pub fn all(&self) -> Result<Vec<Handle>, StandingError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("read", &self.0, source)),
        };
        let paths = entries.flatten().map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "json"));
        let mut handles = Vec::new();
        for path in paths {
            // The process may remove its handle at any time, so a file that is no longer there is ignored.
            let Some(handle) = fs::read(&path).ok().and_then(|it| serde_json::from_slice::<Handle>(&it).ok()) else {
                continue;
            };
            match UnixStream::connect(self.socket(&handle.run)) {
                Ok(_) => handles.push(handle),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                    self.forget(&handle.run);
                    // The process of this run was killed, so it could not remove the files with its secrets itself.
                    remove_secrets(&handle.directory);
                }
                // It is unknown whether the process of this run still exists, for example because the process belongs
                // to another user. The handle is left out of the result, but not removed.
                Err(error) => tracing::warn!(%error, "run {} cannot be asked", handle.run),
            }
        }
        handles.sort_by(|a, b| (a.since, a.run.as_str()).cmp(&(b.since, b.run.as_str())));
        Ok(handles)
    }
}

/// Removes two kinds of entries from a run's folder: the files for access to the environment, and the folders with the
/// scripts of `parallax shell`. Most of these files contain secrets, and nobody needs them when the environment no
/// longer exists.
pub(crate) fn remove_secrets(directory: &Path) {
    for entry in fs::read_dir(directory).present("look for the files of what stood").into_iter().flatten().flatten() {
        let path = entry.path();
        let of_shell = entry.file_name().to_str().is_some_and(|name| name.starts_with("shell-"));
        if of_shell && entry.file_type().is_ok_and(|it| it.is_dir()) {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(%error, "{} was not removed", path.display());
            }
            continue;
        }
        let secret = path.extension().is_some_and(|it| it == "kubeconfig" || it == "env" || it == "pem");
        if secret && let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, "{} was not removed", path.display());
        }
    }
}

pub(super) fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> StandingError {
    StandingError::File { doing, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_handles_whose_process_answers_are_listed() {
        let state = tempfile::tempdir().expect("a folder");
        let handles = Handles::below(state.path());
        assert_eq!(handles.all().expect("lists"), []);
        handles.create().expect("creates");
        let of_dead = state.path().join("target");
        fs::create_dir(&of_dead).expect("creates");
        for name in ["c1.kubeconfig", "store.env", "store-ca.pem", "record.jsonl"] {
            fs::write(of_dead.join(name), "x").expect("writes");
        }
        let shell = of_dead.join("shell-r1");
        fs::create_dir(&shell).expect("creates");
        fs::write(shell.join("enter"), "x").expect("writes");
        let handle = |run: &str, since| Handle {
            run: RunId::new(run),
            variant: "a/b".into(),
            file: "scenarios/a/b/scenario.yaml".into(),
            project: "/p".into(),
            directory: of_dead.clone(),
            process: 1,
            since,
        };
        let [old, new, dead] = [handle("r2", 1), handle("r1", 2), handle("r3", 3)];
        let _open = [&old, &new].map(|it| UnixListener::bind(handles.socket(&it.run)).expect("listens"));
        drop(UnixListener::bind(handles.socket(&dead.run)).expect("listens"));
        for it in [&new, &old, &dead] {
            handles.keep(it).expect("writes");
        }
        assert_eq!(handles.all().expect("lists"), [old, new]);
        assert!(!handles.file(&dead.run).exists() && !handles.socket(&dead.run).exists());
        let left: Vec<_> = fs::read_dir(&of_dead).expect("reads").flatten().map(|it| it.file_name()).collect();
        assert_eq!(left, ["record.jsonl"], "whoever was killed leaves no secret");
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_refused_with_the_fix() {
        let run = RunId::new("r12345678");
        let of = |length: usize| Handles::below(&Path::new("/").join("x".repeat(length)));
        let fixed = of(0).socket(&run).as_os_str().len() + 1;
        assert!(of(SOCKET_PATH_LIMIT - fixed).check(&run).is_ok());
        let error = of(SOCKET_PATH_LIMIT - fixed + 1).check(&run).expect_err("too long").to_string();
        assert!(error.contains("XDG_STATE_HOME"), "{error}");
    }
}
