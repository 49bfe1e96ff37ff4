//! Runs programs on this machine apart from its other processes.
//!
//! A process can read the environment of every process of the same user under `/proc`, and so the tokens that CI gave to
//! the harness. `unshare` starts the program in a user namespace of its own: the kernel then refuses that, even if the
//! program removes the mount of `/proc`. In its own PID namespace it sees no other processes, and all of its processes
//! end with the first one, whatever they did to hide.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Where programs run that a question starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// Where this process runs.
    Here,
    /// Apart from the other processes of this machine.
    Apart,
}

const UNSHARE: &str = "unshare";
const FLAGS: [&str; 6] = ["--user", "--map-current-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
const SHELL: &str = "/bin/sh";
/// The first process of a PID namespace ignores the signals that others in it send, so it is a shell, and not the program.
/// Variables that shells set by themselves are removed.
const FIRST: [&str; 4] = [SHELL, "-c", "unset PWD OLDPWD SHLVL _; \"$@\"; exit $?", SHELL];

/// Whether programs can run apart on this machine. The error says what prevents it.
pub fn can_run_apart() -> Result<(), String> {
    let unshare = found(UNSHARE.as_ref(), std::env::var_os("PATH").as_deref(), Path::new("/"))?;
    let ended = std::process::Command::new(unshare).args(FLAGS).args(FIRST).args([SHELL, "-c", ":"]).output();
    let ended = ended.map_err(|why| format!("`{UNSHARE}` cannot be started: {why}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(if said.is_empty() { format!("`{UNSHARE}`: {}", ended.status) } else { said })
}

impl Programs {
    /// The command for a program that works in `folder` and finds programs in `path`. The error says why it cannot be
    /// started.
    pub(crate) fn command(self, program: &str, path: Option<&OsStr>, folder: &Path) -> Result<Command, String> {
        if self == Self::Here {
            return Ok(Command::new(program));
        }
        // Found here, because the shell would report a missing program in its own words, and would prefer its own
        // commands to programs.
        let program = found(program.as_ref(), path, folder)?;
        let mut command = Command::new(found(UNSHARE.as_ref(), std::env::var_os("PATH").as_deref(), folder)?);
        command.args(FLAGS).args(FIRST).arg(program);
        Ok(command)
    }
}

/// The file of a program.
fn found(program: &Path, path: Option<&OsStr>, folder: &Path) -> Result<PathBuf, String> {
    let is_program = |it: &PathBuf| it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    let shown = program.display();
    if program.components().count() > 1 {
        let at = folder.join(program);
        return match at.exists() {
            true if is_program(&at) => Ok(at),
            true => Err(format!("`{shown}` cannot be started: it is no program")),
            false => Err(missing(program)),
        };
    }
    let folders = path.map(|it| std::env::split_paths(it).collect::<Vec<_>>()).unwrap_or_default();
    let all = folders.into_iter().map(|it| folder.join(it).join(program));
    all.into_iter().find(is_program).ok_or_else(|| missing(program))
}

fn missing(program: &Path) -> String {
    format!("there is no program `{}` here", program.display())
}
