//! Runs a program of the machine that sees no network, no other process, and no file but those of one folder.
//!
//! The folder becomes the root of the program's file system. The program itself is mounted into it, and the shared
//! libraries of the machine if the program needs any. The rest of the machine is unmounted before the program starts.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::apart::{ISOLATED, SHELL, UNSHARE, found};

/// The folder in the program's root in which the machine's root is until it is unmounted.
const OLD: &str = "old";
/// The folder in the program's root that contains the program.
const PROGRAM: &str = "program";
/// The folders with shared libraries. Only a program that is linked dynamically sees them.
const LIBRARIES: [&str; 8] =
    ["lib", "lib32", "lib64", "usr/lib", "usr/lib32", "usr/lib64", "usr/local/lib", "nix/store"];
/// Folders that may be missing in the `PATH` of an ordinary user, but have the programs that mount.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What the first process in the namespaces does. Its arguments are the folder, the working directory in it, the `PATH`
/// of the machine, and pairs of a path of the machine and its place in the folder, until `--`. The program's command
/// follows. The shell stays the first process for the reason that is given in `apart.rs`, and unsets the variables that
/// shells set themselves.
///
/// `umount` runs when the folder is the root already. It finds its libraries and `/proc` by links to [`OLD`], which lead
/// nowhere afterwards.
const SCRIPT: &str = r#"
set -e
trap 'exit 125' EXIT
folder=$1 within=$2 own=$PATH PATH=$3 memory=$4
shift 4
take_down=$(command -v umount)
cd "$folder"
mount --bind . .
cd "$folder"
while [ "$1" != -- ]; do
  mount --rbind "$1" "$2"
  shift 2
done
shift
pivot_root . old
cd /
"/old$take_down" -l /old
cd "/$within"
ulimit -v "$memory" 2>&- || :
PATH=$own
unset PWD OLDPWD SHLVL _ folder within own memory take_down
trap - EXIT
set +e
"$@"
exit $?
"#;

/// The command that starts a program in its own namespaces, with `folder` as the root of its file system, and without a
/// network. `within` is its working directory, relative to `folder`. The program gets at most `memory_kib` of virtual
/// memory. The folder is used for one program only, and is not changed by the caller any more. If the program cannot be
/// enclosed, the command's exit code is 125 or more, and its standard error has the reason.
///
/// # Errors
/// Returns the reason if the machine lacks a program for this, or if `program` is a script.
pub fn enclosed(program: &Path, folder: &Path, within: &str, memory_kib: u64) -> Result<Command, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::env::split_paths(&path).chain(std::env::split_paths(SYSTEM_PATH)));
    let path = path.map_err(|error| error.to_string())?;
    let real = program.canonicalize().map_err(|error| format!("`{}`: {error}", program.display()))?;
    let is_dynamic = is_dynamic(&real)?;
    let name = program.file_name().unwrap_or_default();
    let mounts = furnish(folder, &real, name, is_dynamic);
    let mounts = mounts.map_err(|error| format!("the folder for `{}`: {error}", program.display()))?;
    let mut command = Command::new(found(UNSHARE.as_ref(), Some(&path), Path::new("/"))?);
    command.args(ISOLATED).args(["--map-root-user", "--net", SHELL, "-c", SCRIPT, SHELL]);
    command.arg(folder).arg(within).arg(&path).arg(memory_kib.to_string());
    command.args(mounts.iter().flat_map(|(from, to)| [from.as_os_str(), to.as_os_str()]));
    command.arg("--").arg(Path::new("/").join(PROGRAM).join(name));
    Ok(command)
}

/// Makes the places in the folder into which something of the machine is mounted. Returns what is mounted, and where.
fn furnish(
    folder: &Path,
    program: &Path,
    name: &OsStr,
    is_dynamic: bool,
) -> Result<Vec<(PathBuf, OsString)>, std::io::Error> {
    std::fs::create_dir(folder.join(OLD))?;
    std::fs::create_dir(folder.join(PROGRAM))?;
    let at = Path::new(PROGRAM).join(name);
    File::create_new(folder.join(&at))?;
    let mut mounts = vec![(program.to_owned(), at.into_os_string())];
    for library in LIBRARIES.iter().filter(|_| is_dynamic) {
        let of_machine = Path::new("/").join(library);
        let at = folder.join(library);
        let Ok(metadata) = of_machine.symlink_metadata() else { continue };
        std::fs::create_dir_all(at.parent().unwrap_or(folder))?;
        if metadata.is_symlink() {
            symlink(of_machine.read_link()?, at)?;
        } else {
            std::fs::create_dir(at)?;
            mounts.push((of_machine, (*library).into()));
        }
    }
    for entry in std::fs::read_dir("/")? {
        let name = entry?.file_name();
        match symlink(Path::new(OLD).join(&name), folder.join(&name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(mounts)
}

/// Whether a program needs shared libraries: its ELF file names an interpreter. A script is refused, because it needs
/// further programs.
fn is_dynamic(program: &Path) -> Result<bool, String> {
    const INTERPRETER: [u8; 4] = [3, 0, 0, 0];
    let shown = program.display();
    let mut start = Vec::new();
    let read = File::open(program).and_then(|it| it.take(4096).read_to_end(&mut start));
    read.map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    if !start.starts_with(b"\x7fELF") {
        return Err(format!(
            "`{shown}` is a script, which needs other programs of the machine; put the program itself on the PATH before \
             it, or accept with --allow-host-programs=unconfined that it sees the machine"
        ));
    }
    // Of a form other than 64 bits with little-endian numbers, or with its table far behind, nothing is known.
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = start.get(at..at.checked_add(size)?)?;
        bytes.iter().rev().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
    };
    let table = number(32, 8).zip(number(54, 2)).zip(number(56, 2)).filter(|_| start[4..6] == [2, 1]);
    let Some(((at, size), count)) = table else { return Ok(true) };
    let kinds = (0..count).map(|index| start.get(at + index * size..)?.get(..4));
    Ok(kinds.into_iter().any(|kind| kind.is_none_or(|it| it == INTERPRETER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY_KIB: u64 = 4 * 1024 * 1024;

    /// Runs a script with the machine's shell, which is linked dynamically.
    async fn shell(folder: &Path, script: &str) -> std::process::Output {
        crate::can_run_apart().expect("this machine has user namespaces");
        std::fs::create_dir(folder.join("within")).expect("made");
        std::fs::write(folder.join("within/a"), "content").expect("written");
        let mut command = enclosed(Path::new("/bin/sh"), folder, "within", MEMORY_KIB).expect("a command");
        command.args(["-c", script]).env_clear().env("PATH", "/none").output().await.expect("runs")
    }

    #[tokio::test]
    async fn an_enclosed_program_sees_its_folder_and_neither_the_machine_nor_a_network() {
        let home = tempfile::tempdir().expect("a folder");
        let outside = home.path().join("secret");
        std::fs::write(&outside, "password").expect("written");
        let folder = home.path().join("folder");
        std::fs::create_dir(&folder).expect("made");
        let script = format!(
            "read -r a < a; echo $a $PATH; for it in {} /proc/self/environ /etc/passwd /old/* ../../* /usr/bin/*; do \
             [ -e \"$it\" ] && echo sees $it; done; ulimit -v; exit 7",
            outside.display()
        );
        let ended = shell(&folder, &script).await;
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
        let said = String::from_utf8(ended.stdout).expect("text");
        let said: Vec<&str> = said.lines().filter(|it| !it.starts_with("sees ../../")).collect();
        assert_eq!(said, ["content /none", &MEMORY_KIB.to_string()]);
        assert_eq!(ended.status.code(), Some(7));
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_enclosed_is_told_apart_from_one_that_fails() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("within")).expect("made");
        let command = enclosed(Path::new("/bin/sh"), home.path(), "absent", MEMORY_KIB);
        let ended = command.expect("a command").args(["-c", ":"]).output().await.expect("runs");
        assert_eq!(ended.status.code(), Some(125), "{ended:?}");
        let script = home.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").expect("written");
        let refused = enclosed(&script, home.path(), "within", MEMORY_KIB).expect_err("a script");
        assert!(refused.contains("is a script") && refused.contains("unconfined"), "{refused}");
    }
}
