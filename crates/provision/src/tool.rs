//! Finds a program that is new enough, and installs it if it is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::apt::{Apt, Wanted, run};
use super::choice::Release;
use super::error::ProvisionError;
use super::programs::{Known, TABLE, Tool, Use};
use super::system::System;
use parallax_record::Sink;

const VERSION_WITHIN: Duration = Duration::from_secs(20);
/// The folders that are searched after the folders of PATH. The PATH of an ordinary user may not contain the folders of
/// administration programs, such as `/usr/sbin`.
const ALSO: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Returns the path of an installed program that is new enough. If there is no such program and `provision` is set,
/// the function installs the program first.
pub async fn ensure_tool(tool: Tool, of: Use, provision: bool, sink: &Sink) -> Result<PathBuf, ProvisionError> {
    ensure(tool.known(), of, provision, sink).await
}

/// Checks every program that the table of programs declares for the use `of`. Installs a missing program if `provision`
/// is set. The error names the first program that is still missing.
pub async fn ensure_tools(of: Use, provision: bool, sink: &Sink) -> Result<(), ProvisionError> {
    for known in TABLE.iter().filter(|known| known.purpose(of).is_some()) {
        ensure_tool(known.tool, of, provision, sink).await?;
    }
    Ok(())
}

async fn ensure(known: &Known, of: Use, provision: bool, sink: &Sink) -> Result<PathBuf, ProvisionError> {
    let missing = match look(known, of).await {
        Ok(path) => return Ok(path),
        Err(missing @ ProvisionError::ToolMissing { .. }) if provision => missing,
        Err(error) => return Err(error),
    };
    sink.note(missing.to_string());
    let system = System::for_installing(known.name)?;
    let Known { package, same_suite, .. } = *known;
    let least = known.least_package.unwrap_or(known.least);
    let wanted = Wanted { package, least, same_suite, along: &[], along_if_known: &[] };
    Apt::new(system, sink).install(wanted).await?;
    look(known, of).await
}

/// The result of the search for one program of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The name of the program in messages.
    pub name: &'static str,
    /// The path of the program, or the reason why no installed program can be used.
    pub found: Result<PathBuf, String>,
    /// The uses of the program, each with its purpose in words.
    pub uses: &'static [(Use, &'static str)],
    /// Instructions for a person to install the program.
    pub by_hand: String,
}

/// Searches for every program in the table. Nothing is installed.
pub async fn standings() -> Vec<Standing> {
    let one = |known: &'static Known| async move {
        let found = search(known).await.map_err(|instead| match instead.as_str() {
            "" => "missing".to_owned(),
            instead => instead.to_owned(),
        });
        Standing { name: known.name, found, uses: known.uses, by_hand: known.by_hand() }
    };
    futures::future::join_all(TABLE.iter().map(one)).await
}

/// Returns the path of the program of the row `known` ([`search`]). Fails if the row does not declare the use `of`, or
/// if no installed program is new enough.
async fn look(known: &Known, of: Use) -> Result<PathBuf, ProvisionError> {
    let Some(purpose) = known.purpose(of) else {
        return Err(ProvisionError::Undeclared { tool: known.name, of: of.to_string() });
    };
    search(known).await.map_err(|instead| {
        let detail = if instead.is_empty() { String::new() } else { format!(" ({instead})") };
        ProvisionError::ToolMissing { tool: known.name, detail, purpose, by_hand: known.by_hand() }
    })
}

/// Returns the path of the first installed program that is new enough. The error describes the programs that were
/// found but are too old or print no version. The error is empty if no program was found.
async fn search(known: &Known) -> Result<PathBuf, String> {
    let mut instead = Vec::new();
    for path in on_path(known.command) {
        let program = path.display().to_string();
        let said = run(&program, known.version, VERSION_WITHIN).await.unwrap_or_default();
        match said.lines().next().and_then(Release::parse) {
            Some(release) if release >= known.least => return Ok(path),
            Some(release) => {
                instead.push(format!("{program} is {release}, and {} or newer is needed", known.least));
            }
            None => instead.push(format!("{program} does not say its version")),
        }
    }
    Err(instead.join("; "))
}

/// Returns a command that the kernel kills when this process dies, or the thread that has started the command. The
/// program `setpriv`, a part of every Debian installation, arranges this. Without `setpriv`, the command runs to its end.
pub fn bound_to_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin").join(Tool::Setpriv.command());
    if setpriv.is_file() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Returns the path of every installed program with the name `command`: first the programs in the folders of PATH, and
/// then the programs in the folders of `ALSO`.
pub fn on_path(command: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).filter(|place| place.is_absolute()).collect();
    places.extend(ALSO.iter().map(PathBuf::from));
    let mut found: Vec<PathBuf> = Vec::new();
    for candidate in places.into_iter().map(|place| place.join(command)) {
        if candidate.is_file() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(command: &'static str, least: Release) -> Known {
        Known {
            name: command,
            command,
            package: "a-package",
            version: &["-c", "echo 5.2"],
            least,
            uses: &[(Use::Test, "a test")],
            ..*Tool::Git.known()
        }
    }

    #[tokio::test]
    async fn a_tool_that_is_old_or_missing_is_named() {
        assert!(look(&known("sh", Release(5, 0)), Use::Test).await.is_ok());
        let old = look(&known("sh", Release(6, 0)), Use::Test).await.unwrap_err();
        assert!(old.to_string().contains("/sh is 5.2, and 6.0 or newer is needed"), "{old}");
        assert!(old.fix().unwrap().contains("--provision"));
        let missing = look(&known("parallax-no-such-tool", Release(1, 0)), Use::Test).await.unwrap_err();
        assert_eq!(missing.to_string(), "parallax-no-such-tool is missing; a test needs it");
    }

    #[tokio::test]
    async fn a_use_that_the_table_does_not_declare_is_an_error_though_the_program_is_here() {
        let error = ensure(&known("sh", Release(5, 0)), Use::Run, true, &Sink::silent()).await.unwrap_err();
        assert_eq!(error.to_string(), "sh is used by a run, and the table of programs does not say so");
    }
}
