//! `cargo xtask bare` runs the commands of README in a minimal root file system, as on a newly installed machine.
//!
//! A developer's machine already has all programs, so a missing installation step is not noticed there. The shell
//! script `xtask/bare/bare.sh` does the work, because the work consists of namespaces, mounts and cgroups.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::folders::caches;

/// The programs that `bare.sh` itself needs on this machine. Each entry has the name of a program and of its Debian
/// package.
const NEEDED: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("slirp4netns", "slirp4netns"),
    ("unshare", "util-linux"),
    ("perl", "perl-base"),
    ("git", "git"),
];

/// The command-line arguments of `cargo xtask bare`.
#[derive(Debug, Args)]
pub(crate) struct Bare {
    /// Run only one of README's two commands: `cargo xtask e2e` or `cargo xtask test`. By default both run.
    #[arg(long, value_enum, value_name = "WHICH")]
    only: Option<Which>,
    /// Pass a filter to `cargo xtask e2e`, so that only some scenarios run. The option may be repeated.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Remove the uses of this program from the table of programs (`crates/provision`). This changes only the clone of
    /// the repository in which the commands run. The commands must then fail. If they fail, the table needs the
    /// program.
    #[arg(long, value_name = "PROGRAM")]
    without: Option<String>,
    /// Keep the root file system after the end, for inspection.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    E2e,
    Test,
}

impl Bare {
    /// Returns the commands of README, or only the one that `only` selects.
    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        if self.only != Some(Which::Test) {
            let filters = self.filter.iter().map(|filter| format!(" '{}'", filter.replace('\'', r"'\''")));
            commands.push(format!("cargo xtask e2e --provision{}", filters.collect::<String>()));
        }
        if self.only != Some(Which::E2e) {
            commands.push("cargo xtask test --provision".to_owned());
        }
        commands
    }
}

/// Replaces this process by the script `bare.sh`. Returns only if the script cannot be started.
pub(crate) fn run(bare: &Bare) -> Result<bool> {
    ensure!(
        std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0),
        "this needs root: run the same command as root"
    );
    for (program, package) in NEEDED {
        ensure!(is_on_path(program), "{program} is missing: `apt-get install {package}`");
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = ours.parent().context("xtask lies in the repository")?;
    if !is_clean(source)? {
        crate::parts::say("bare: uncommitted changes are not in the clone");
    }
    let script = ours.join("bare/bare.sh");
    let error = Command::new("bash")
        .arg(&script)
        .args(bare.commands())
        .env("BARE_SOURCE", source)
        .env("BARE_FOLDER", source.join("target/bare"))
        .env("BARE_CACHE", cache()?)
        .env("BARE_SYSROOT", sysroot()?)
        .env("BARE_WITHOUT", bare.without.as_deref().unwrap_or_default())
        .env("BARE_KEEP", if bare.keep { "yes" } else { "" })
        .exec();
    Err(error).with_context(|| format!("failed to start {}", script.display()))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_clean(source: &Path) -> Result<bool> {
    let output = Command::new("git").arg("-C").arg(source).args(["status", "--porcelain"]).output();
    Ok(output.context("failed to start git")?.stdout.is_empty())
}

/// Returns the folder for the downloads of `cargo xtask bare`. This cache is separate from the machine's own caches.
fn cache() -> Result<PathBuf> {
    Ok(caches()?.join("parallax-bare"))
}

/// Returns the path of the Rust toolchain in use.
fn sysroot() -> Result<String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("failed to start rustc")?;
    ensure!(output.status.success(), "rustc --print sysroot failed");
    Ok(String::from_utf8(output.stdout).context("the toolchain's path is not text")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_those_of_the_readme() {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let readme = std::fs::read_to_string(readme).expect("it is there");
        let bare = |only, filter: &[&str]| {
            let filter = filter.iter().map(|filter| (*filter).to_owned()).collect();
            Bare { only, filter, without: None, keep: false }.commands()
        };
        let both = bare(None, &[]);
        assert_eq!(both.len(), 2);
        for command in &both {
            assert!(readme.lines().any(|line| line.trim().starts_with(&format!("{command} "))), "{command}");
        }
        assert_eq!(bare(Some(Which::Test), &["x"]), both[1..]);
        assert_eq!(bare(Some(Which::E2e), &["a/b", "c'd"]), [r"cargo xtask e2e --provision 'a/b' 'c'\''d'"]);
    }
}
