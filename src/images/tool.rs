//! Tools that recipes are built with, and who sees to it that the machine has them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;

/// A tool that a recipe needs on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// The Go toolchain, 1.21 or later: older ones cannot fetch the toolchain that a module asks for.
    Go,
    /// Makes Debian root file systems.
    Mmdebstrap,
    /// Fetches wheels: a Python that has pip, 20.3 or later, which judges platforms by their glibc.
    Pip,
    /// Fetches packages for Node, 7 or later: older ones cannot read the lock files.
    Npm,
    /// Fetches jars, 3.6 or later, as the plugin that does it asks for.
    Maven,
    /// Compiles Java, 17 or later.
    Javac,
}

impl Tool {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Mmdebstrap => "mmdebstrap",
            Self::Pip => "python3",
            Self::Npm => "npm",
            Self::Maven => "mvn",
            Self::Javac => "javac",
        }
    }

    /// What asks it for its version, and the least one.
    fn version(self) -> (&'static [&'static str], (u32, u32)) {
        match self {
            Self::Go => (&["env", "GOVERSION"], (1, 21)),
            Self::Mmdebstrap => (&["--version"], (1, 0)),
            Self::Pip => (&["-m", "pip", "--version"], (20, 3)),
            Self::Npm => (&["--version"], (7, 0)),
            // Otherwise it says its version in bold, also where nobody looks.
            Self::Maven => (&["-q", "--version"], (3, 6)),
            Self::Javac => (&["--version"], (17, 0)),
        }
    }

    /// What a person does when it is missing.
    pub fn fix(self) -> String {
        let other = match self {
            Self::Go => "install Go 1.21 or later and put its `bin` on PATH",
            Self::Mmdebstrap => "`apt-get install mmdebstrap`",
            Self::Pip => "`apt-get install python3-pip`",
            Self::Npm => "install Node with npm 7 or later, for example by `apt-get install npm`",
            Self::Maven => "`apt-get install maven`",
            Self::Javac => "install a JDK of Java 17 or later, for example by `apt-get install default-jdk-headless`",
        };
        format!("run again with --provision, or {other}")
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pip => "pip",
            other => other.program(),
        })
    }
}

/// Sees to it that the machine has a tool.
pub trait Tools: Send + Sync {
    /// The tool's program, installed first where that was allowed. The error says what is the matter
    /// with it. Asked at most once a run for each tool, and for one tool at a time.
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>>;
}

/// Finds tools on `PATH` and installs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnPath;

impl Tools for OnPath {
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<PathBuf, String>> {
        Box::pin(async move {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let places = std::env::split_paths(&path).map(|folder| folder.join(tool.program()));
            let mut why = None;
            for program in places.filter(|program| program.is_file()) {
                match is_recent(&program, tool).await {
                    Ok(()) => return Ok(program),
                    Err(fault) => why = why.or(Some(fault)),
                }
            }
            Err(why.unwrap_or_else(|| "it is not installed".to_owned()))
        })
    }
}

async fn is_recent(program: &Path, tool: Tool) -> Result<(), String> {
    let (arguments, least) = tool.version();
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env("GOTOOLCHAIN", "local").kill_on_drop(true);
    let asked = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
    let output =
        asked.map_err(|_| "it does not answer".to_owned())?.map_err(|error| format!("it does not run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    match release(&said) {
        Some(release) if release >= least => Ok(()),
        Some((major, minor)) => Err(format!("{major}.{minor} is too old, {}.{} is needed", least.0, least.1)),
        None if tool == Tool::Pip => Err("python3 has no pip".to_owned()),
        None => Err("it does not say its version".to_owned()),
    }
}

/// The first two numbers of a version: `go1.26.8`, `pip 23.2.1 from …`, `mmdebstrap 1.3.5`, `11.19.1`.
fn release(said: &str) -> Option<(u32, u32)> {
    let digits = said.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = digits.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tools_say_them() {
        for (said, numbers) in [
            ("go1.26.8", Some((1, 26))),
            ("go1.21rc2", Some((1, 21))),
            ("pip 23.2.1 from /usr/lib/python3 (python 3.11)", Some((23, 2))),
            ("mmdebstrap 1.3.5", Some((1, 3))),
            ("11.19.1", Some((11, 19))),
            ("3.8.7", Some((3, 8))),
            ("javac 17.0.15", Some((17, 0))),
            ("9", Some((9, 0))),
            ("devel +abc", None),
            ("", None),
        ] {
            assert_eq!(release(said), numbers, "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_the_matter_with_a_tool_is_said_with_its_fix() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        // A file of its own each time: one that runs cannot be written to.
        let tool = |name: &str, line: &str| {
            let program = folder.path().join(name);
            std::fs::write(&program, format!("#!/bin/sh\n{line}\n")).expect("written");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
            program
        };
        let old = is_recent(&tool("old", "echo 'pip 19.0 from /x'"), Tool::Pip).await;
        assert_eq!(old, Err("19.0 is too old, 20.3 is needed".to_owned()));
        let without = is_recent(&tool("without", "echo 'No module named pip' >&2; exit 1"), Tool::Pip).await;
        assert_eq!(without, Err("python3 has no pip".to_owned()));
        assert_eq!(is_recent(&tool("good", "echo 9.2.0"), Tool::Npm).await, Ok(()));
        let early = is_recent(&tool("early", "echo javac 11.0.20"), Tool::Javac).await;
        assert_eq!(early, Err("11.0 is too old, 17.0 is needed".to_owned()));
        assert!(Tool::Pip.fix().contains("run again with --provision, or `apt-get install python3-pip`"));
        assert!(Tool::Maven.fix().ends_with("or `apt-get install maven`"));
        assert!(Tool::Javac.fix().ends_with("`apt-get install default-jdk-headless`"));
    }
}
