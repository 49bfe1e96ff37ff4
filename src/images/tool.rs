//! Tools that recipes are built with, and who sees to it that the machine has them.

use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;

/// A tool that a recipe needs on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// The Go toolchain, 1.21 or later: older ones cannot fetch the toolchain that a module asks for.
    Go,
    /// Makes Debian root file systems.
    Mmdebstrap,
}

impl Tool {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Mmdebstrap => "mmdebstrap",
        }
    }

    /// What a person does when it is missing.
    pub fn fix(self) -> String {
        let other = match self {
            Self::Go => "install Go 1.21 or later and put its `bin` on PATH",
            Self::Mmdebstrap => "`apt-get install mmdebstrap`",
        };
        format!("run again with --provision, or {other}")
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
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
            let found = std::env::split_paths(&path).map(|folder| folder.join(tool.program())).find(|p| p.is_file());
            let program = found.ok_or_else(|| "it is not installed".to_owned())?;
            match tool {
                Tool::Go => go_is_recent(&program).await.map(|()| program),
                Tool::Mmdebstrap => Ok(program),
            }
        })
    }
}

async fn go_is_recent(program: &std::path::Path) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").kill_on_drop(true);
    let asked = tokio::time::timeout(std::time::Duration::from_secs(20), command.output()).await;
    let output =
        asked.map_err(|_| "it does not answer".to_owned())?.map_err(|error| format!("it does not run: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match go_minor(&version) {
        Some(minor) if minor >= 21 => Ok(()),
        Some(_) => Err(format!("{version} is too old")),
        None => Err("it does not say its version".to_owned()),
    }
}

fn go_minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        for (version, minor) in
            [("go1.26.8", Some(26)), ("go1.21rc2", Some(21)), ("go1.19", Some(19)), ("devel +abc", None), ("", None)]
        {
            assert_eq!(go_minor(version), minor, "{version}");
        }
    }
}
