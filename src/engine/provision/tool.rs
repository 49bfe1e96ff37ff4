//! Toolchains that image recipes need.

use std::path::PathBuf;
use std::time::Duration;

use super::apt::{Apt, Wanted, run};
use super::choice::Release;
use super::error::ProvisionError;
use super::system::System;
use crate::engine::error::EngineError;
use crate::record::Sink;

const VERSION_WITHIN: Duration = Duration::from_secs(20);
/// Folders of administration tools, which the PATH of an ordinary user may lack.
const ALSO: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// A toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The Go compiler.
    Go,
    /// Creates Debian root file systems from outside.
    Mmdebstrap,
    /// Fetches Python packages.
    Pip,
    /// Fetches packages for Node.
    Npm,
    /// Fetches jars.
    Maven,
    /// The Java compiler.
    Javac,
    /// A static shell and its tools in one program.
    Busybox,
}

/// What is known of a tool.
struct Known {
    /// The command's name.
    name: &'static str,
    command: &'static str,
    package: &'static str,
    same_suite: &'static [&'static str],
    version: &'static [&'static str],
    least: Release,
    /// The package's own least version, where it counts in another way.
    least_package: Option<Release>,
    purpose: &'static str,
}

impl Tool {
    fn known(self) -> Known {
        match self {
            Self::Go => Known {
                name: "go",
                command: "go",
                package: "golang-go",
                same_suite: &["golang-src"],
                version: &["env", "GOVERSION"],
                // Kubernetes 1.34's go.mod.
                least: Release(1, 24),
                least_package: None,
                purpose: "building images from Go modules",
            },
            Self::Mmdebstrap => Known {
                name: "mmdebstrap",
                command: "mmdebstrap",
                package: "mmdebstrap",
                same_suite: &[],
                version: &["--version"],
                least: Release(1, 0),
                least_package: None,
                purpose: "building the node image's root file system",
            },
            // Asked through Python: a `pip` of the PATH may belong to another one.
            Self::Pip => Known {
                name: "pip",
                command: "python3",
                package: "python3-pip",
                same_suite: &[],
                version: &["-m", "pip", "--version"],
                // The first that judges platforms by their glibc.
                least: Release(20, 3),
                least_package: None,
                purpose: "building images from Python packages",
            },
            Self::Npm => Known {
                name: "npm",
                command: "npm",
                package: "npm",
                same_suite: &[],
                version: &["--version"],
                // The first that reads lock files of version 3.
                least: Release(7, 0),
                least_package: None,
                purpose: "building images from npm packages",
            },
            Self::Maven => Known {
                name: "maven",
                command: "mvn",
                package: "maven",
                same_suite: &[],
                // Otherwise it says its version in bold, also where nobody looks.
                version: &["-q", "--version"],
                // The first that the plugin runs in which copies jars.
                least: Release(3, 6),
                least_package: None,
                purpose: "building images from Maven packages",
            },
            Self::Javac => Known {
                name: "javac",
                command: "javac",
                package: "default-jdk-headless",
                same_suite: &[],
                version: &["--version"],
                // The classes of our images are for Java 17.
                least: Release(17, 0),
                // Its versions are 1.17 and the like.
                least_package: Some(Release(1, 17)),
                purpose: "building images from Java sources",
            },
            Self::Busybox => Known {
                name: "busybox",
                command: "busybox",
                package: "busybox-static",
                same_suite: &[],
                version: &["--help"],
                least: Release(1, 20),
                least_package: None,
                purpose: "the image of the engine's tests",
            },
        }
    }
}

/// Finds a tool that is new enough. If there is none and `provision` is set, installs it. Returns its path.
pub async fn ensure_tool(tool: Tool, provision: bool, sink: &Sink) -> Result<PathBuf, EngineError> {
    let known = tool.known();
    let missing = match look(&known).await {
        Ok(path) => return Ok(path),
        Err(missing) => missing,
    };
    if !provision {
        return Err(missing.into());
    }
    let system = System::for_installing(known.name)?;
    let Known { package, same_suite, .. } = known;
    let least = known.least_package.unwrap_or(known.least);
    let wanted = Wanted { package, least, same_suite, along: &[], along_if_known: &[] };
    Apt::new(system, sink).install(wanted).await?;
    Ok(look(&known).await?)
}

/// The first on the path that is new enough. The error names the versions that are too old.
async fn look(known: &Known) -> Result<PathBuf, ProvisionError> {
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
    let detail = if instead.is_empty() { String::new() } else { format!(" ({})", instead.join("; ")) };
    Err(ProvisionError::ToolMissing { tool: known.name, detail, purpose: known.purpose, package: known.package })
}

/// Every place that has a command, in the order of PATH.
pub(super) fn on_path(command: &str) -> impl Iterator<Item = PathBuf> {
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
            same_suite: &[],
            version: &["-c", "echo 5.2"],
            least,
            least_package: None,
            purpose: "a test",
        }
    }

    #[tokio::test]
    async fn a_tool_that_is_old_or_missing_is_named() {
        assert!(look(&known("sh", Release(5, 0))).await.is_ok());
        let old = look(&known("sh", Release(6, 0))).await.unwrap_err();
        assert!(old.to_string().contains("/sh is 5.2, and 6.0 or newer is needed"), "{old}");
        assert!(old.fix().unwrap().contains("--provision"));
        let missing = look(&known("parallax-no-such-tool", Release(1, 0))).await.unwrap_err();
        assert_eq!(missing.to_string(), "parallax-no-such-tool is missing; a test needs it");
    }
}
