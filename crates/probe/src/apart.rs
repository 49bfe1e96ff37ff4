//! Runs programs on the harness's machine, isolated from the other processes of the machine.
//!
//! Under `/proc`, a process can read the environment variables of every process of the same user. So a program could
//! read the tokens that CI gave to the harness. `unshare` starts the program in its own user namespace. The kernel then
//! forbids the program to read the environment of the harness, even if the program removes the mount of `/proc`.
//! `unshare` also gives the program its own PID namespace, in which the program sees no other processes. When the first
//! process of this namespace ends, the kernel ends all other processes in it, even those that try to hide.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parallax_vocab::program::missing;
use tokio::process::Command;

/// How the program of a question runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// The program runs in the same namespaces as this process.
    Here,
    /// The program runs isolated from the other processes of this machine.
    Apart,
}

pub(crate) const UNSHARE: &str = "unshare";
/// The options of `unshare` for each isolated program. The mapping of users is missing.
pub(crate) const ISOLATED: [&str; 5] = ["--user", "--pid", "--fork", "--mount-proc", "--kill-child"];
/// The program sees its user as the same user.
const SAME_USER: &str = "--map-current-user";
pub(crate) const SHELL: &str = "/bin/sh";
/// The beginning of the command of the first process in the PID namespace. The program's own command follows. The
/// kernel drops a signal that a process of the namespace sends to the first process, unless the first process has a
/// handler for it. So the first process is a shell that starts the program, and signals reach the program as usual. The
/// shell unsets the variables that shells set themselves.
const FIRST: [&str; 4] = [SHELL, "-c", "unset PWD OLDPWD SHLVL _; \"$@\"; exit $?", SHELL];

/// Checks whether programs can run isolated on this machine. If they cannot, the error gives the reason.
pub fn can_run_apart() -> Result<(), String> {
    let unshare = found(UNSHARE.as_ref(), std::env::var_os("PATH").as_deref(), Path::new("/"))?;
    let ended =
        std::process::Command::new(unshare).args(ISOLATED).arg(SAME_USER).args(FIRST).args([SHELL, "-c", ":"]).output();
    let ended = ended.map_err(|why| format!("`{UNSHARE}` cannot be started: {why}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(if said.is_empty() { format!("`{UNSHARE}`: {}", ended.status) } else { said })
}

impl Programs {
    /// The command that starts a program. `folder` is the program's working directory, and `path` is the value of its
    /// `PATH`. The error says why the program cannot be started.
    pub(crate) fn command(self, program: &str, path: Option<&OsStr>, folder: &Path) -> Result<Command, String> {
        if self == Self::Here {
            return Ok(Command::new(program));
        }
        // The program is searched here and not by the shell. The shell would report a missing program in its own words,
        // and would prefer its built-in commands to programs.
        let program = found(program.as_ref(), path, folder)?;
        let mut command = Command::new(found(UNSHARE.as_ref(), std::env::var_os("PATH").as_deref(), folder)?);
        command.args(ISOLATED).arg(SAME_USER).args(FIRST).arg(program);
        Ok(command)
    }
}

/// Returns the path of a program's file: relative to `folder` if `program` contains a slash, otherwise found in `path`.
/// The error says why the program cannot be started.
pub(crate) fn found(program: &Path, path: Option<&OsStr>, folder: &Path) -> Result<PathBuf, String> {
    let is_program = |it: &PathBuf| it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    let shown = program.display();
    if program.components().count() > 1 {
        let at = folder.join(program);
        return match at.exists() {
            true if is_program(&at) => Ok(at),
            true => Err(format!("`{shown}` cannot be started: it is no program")),
            false => Err(missing(&shown.to_string())),
        };
    }
    let folders = path.map(|it| std::env::split_paths(it).collect::<Vec<_>>()).unwrap_or_default();
    let all = folders.into_iter().map(|it| folder.join(it).join(program));
    all.into_iter().find(is_program).ok_or_else(|| missing(&shown.to_string()))
}
