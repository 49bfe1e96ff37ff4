//! Why an image could not be had, in words that name the image and the fix.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_vocab::event::Failure;

use super::java;
use parallax_provision::Tool;

/// Why an image could not be had. All but [`ImageError::Invalid`], [`ImageError::Unreadable`] and
/// [`ImageError::Unknown`] are faults of the machine; nothing is said about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// `images.lock` or a recipe is wrong.
    #[error("{}: {message}", Place { file, line: *line, column: *column })]
    Invalid {
        /// Which file.
        file: PathBuf,
        /// Line, from 1, where it is known.
        line: Option<u64>,
        /// Column, from 1, where it is known.
        column: Option<u64>,
        /// What is wrong, with the fix.
        message: String,
    },
    /// `images.lock`, a recipe or one of a recipe's input files cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody listed that image.
    #[error("no image is called {name:?} in images.lock; it lists {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A recipe needs a tool that the machine lacks.
    #[error("image {image} cannot be built without {tool}: {why}")]
    Tool {
        /// Which image needs it.
        image: String,
        /// Which tool.
        tool: Tool,
        /// What is the matter with it.
        why: String,
    },
    /// A step of a build failed.
    #[error("image {image}: {command} {how}")]
    Step {
        /// Which image.
        image: String,
        /// The step's command in short.
        command: String,
        /// `failed with exit status 1`, `took longer than …`.
        how: String,
        /// The whole command, without paths of the machine, and its last lines.
        lines: Vec<String>,
    },
    /// A module is not what the recipe pinned.
    #[error("image {image}: module {module} has the sum {seen}, and the recipe pins {pinned}")]
    Sum {
        /// Which image.
        image: String,
        /// `path@version`.
        module: String,
        /// What the recipe says.
        pinned: String,
        /// What the module proxy gave.
        seen: String,
    },
    /// The jars that Maven brought are not those that are listed beside the pom.
    #[error("image {image}: the jars of {folder} are not those of its jars.sha256: {}", faults.join("; "))]
    Jars {
        /// Which image.
        image: String,
        /// The folder beside the recipe.
        folder: String,
        /// What is the matter with each jar.
        faults: Vec<String>,
    },
    /// A binary of ours is missing, or cannot run in an empty image.
    #[error("image {image} needs the program {binary}, which {why}")]
    Binary {
        /// Which image.
        image: String,
        /// Which program.
        binary: String,
        /// What is the matter with it.
        why: String,
    },
    /// The published image was asked for and cannot be had.
    #[error("the published image {reference} ({image}) is not in the engine and cannot be pulled: {why}")]
    NotPublished {
        /// Which image.
        image: String,
        /// Its published reference.
        reference: String,
        /// What the registry or the engine said.
        why: String,
    },
    /// The registry could not say whether it has the image: nobody is there, it asks for a password or for patience, or
    /// the machine could not keep what it sent. That is the machine's matter, and no reason to leave anything out.
    #[error("the published image {reference} ({image}) could not be pulled: {why}")]
    Unreachable {
        /// Which image.
        image: String,
        /// Its published reference.
        reference: String,
        /// What the registry or the engine said.
        why: String,
    },
    /// An image without a recipe was to be built.
    #[error("image {image} has no recipe in images.lock; it can only be pulled")]
    NoRecipe {
        /// Which image.
        image: String,
    },
    /// The engine refused something.
    #[error("image {image}: the engine could not {doing}: {message}")]
    Engine {
        /// Which image.
        image: String,
        /// `load it`, `save it`, …
        doing: &'static str,
        /// Its words.
        message: String,
    },
    /// The cache of layers and images cannot be used.
    #[error("image cache: cannot {doing} {}: {source}", path.display())]
    Cache {
        /// `write`, `lock`, …
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds a lock for longer than any build takes.
    #[error("image cache: another run has been building {what} for {} s", waited.as_secs())]
    Locked {
        /// Layer or image.
        what: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Cancelled,
}

impl ImageError {
    /// The same as a failure that a person can act on.
    pub fn failure(&self) -> Failure {
        let evidence = match self {
            Self::Step { lines, .. } => lines.clone(),
            _ => Vec::new(),
        };
        Failure { what: self.to_string(), fix: self.fix(), evidence }
    }

    /// Whether the fault is in what somebody wrote (`images.lock`, a recipe, a name), not in the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Unreadable { .. } | Self::Unknown { .. } | Self::NoRecipe { .. })
    }

    /// Wraps an I/O error of the cache.
    pub(super) fn cache(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Cache { doing, path, source }
    }

    fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::Tool { tool, .. } => format!("run again with --provision, or {}", tool.by_hand()),
            Self::Step { lines, .. } => return step_fix(lines),
            Self::Sum { .. } => "find out why it differs before you pin the new sum: the module was changed, or the \
                                 version was mistyped"
                .to_owned(),
            Self::Jars { folder, .. } => {
                format!(
                    "find out why before you pin them: a jar was changed, or the pom was; then {}",
                    java::anew(folder)
                )
            }
            Self::Binary { .. } => {
                "build it as `cargo xtask e2e` does: statically, beside the `parallax` program".to_owned()
            }
            Self::NotPublished { .. } | Self::Unreachable { .. } => {
                "connect to a registry, or `docker load` the image, or use `--k3s auto` or `--k3s built`".to_owned()
            }
            Self::Cache { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some disk space, or set PARALLAX_CACHE to a folder on a larger disk".to_owned()
            }
            Self::Cache { .. } => "set PARALLAX_CACHE to a folder that can be written".to_owned(),
            Self::Locked { .. } => "look at the other run; if it hangs, end it and start again".to_owned(),
            Self::Invalid { .. }
            | Self::Unreadable { .. }
            | Self::Unknown { .. }
            | Self::NoRecipe { .. }
            | Self::Engine { .. }
            | Self::Cancelled => return None,
        };
        Some(fix)
    }
}

/// The likely fix of a failed build step, from what its tool printed.
fn step_fix(lines: &[String]) -> Option<String> {
    const SIGNS: [(&[&str], &str); 6] = [
        (&["no space left on device"], "free some disk space, or set PARALLAX_CACHE to a folder on a larger disk"),
        (
            &["do not match the hashes", "eintegrity"],
            "find out why it differs before you pin the new hash: the package was changed, or the version was mistyped",
        ),
        (
            &[
                "no such host",
                "connection refused",
                "i/o timeout",
                "could not resolve",
                "temporary failure resolving",
                "failed to establish a new connection",
                "enotfound",
                "eai_again",
                "econnrefused",
                "etimedout",
                "could not transfer artifact",
            ],
            "check that the package registry can be reached (GOPROXY, pip's and npm's configuration, Maven's settings, \
             HTTPS_PROXY, the apt sources)",
        ),
        (
            &["no matching distribution found", "etarget", "could not find artifact"],
            "the package index that this machine names has no such version for this architecture: name another version, \
             or another index in pip's, npm's or Maven's configuration",
        ),
        (
            &["can only install packages when your package.json and package-lock.json"],
            "run `npm install --package-lock-only --omit-lockfile-registry-resolved` in the recipe's folder",
        ),
        (&["missing go.sum entry", "updates to go.mod needed"], "run `go mod tidy` in the recipe's module folder"),
    ];
    let text = lines.join("\n").to_lowercase();
    SIGNS.iter().find(|(signs, _)| signs.iter().any(|sign| text.contains(sign))).map(|(_, fix)| (*fix).to_owned())
}

/// `file:line:column`, as far as it is known.
struct Place<'a> {
    file: &'a Path,
    line: Option<u64>,
    column: Option<u64>,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_printed_leads_to_the_fix() {
        let fix = |line: &str| step_fix(&["# command".to_owned(), line.to_owned()]);
        assert!(fix("write /x: no space left on device").is_some_and(|fix| fix.contains("PARALLAX_CACHE")));
        assert!(fix("dial tcp: lookup proxy: no such host").is_some_and(|fix| fix.contains("GOPROXY")));
        assert!(fix("main.go:3:1: missing go.sum entry for module").is_some_and(|fix| fix.contains("go mod tidy")));
        let changed = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.";
        assert!(fix(changed).is_some_and(|fix| fix.contains("find out why it differs")));
        assert!(fix("npm error code EINTEGRITY").is_some_and(|fix| fix.contains("find out why it differs")));
        assert!(fix("npm error code EAI_AGAIN").is_some_and(|fix| fix.contains("npm's configuration")));
        let absent = "ERROR: No matching distribution found for boto3==99";
        assert!(fix(absent).is_some_and(|fix| fix.contains("has no such version")));
        let away = "Could not transfer artifact x:s3:pom:1 from/to central: Name or service not known";
        assert!(fix(away).is_some_and(|fix| fix.contains("Maven's settings")));
        assert!(fix("Could not find artifact x:s3:jar:99").is_some_and(|fix| fix.contains("has no such version")));
        assert_eq!(fix("./main.go:9:2: undefined: x"), None);
    }
}
