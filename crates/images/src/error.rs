//! The errors of obtaining images. Each message names the image. Most errors tell the user how to fix them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_vocab::event::Failure;

use super::bundle::BundleFault;
use super::java;
use parallax_provision::Tool;

/// The reason why an image could not be obtained. If [`ImageError::is_usage`] is true, the user's input is wrong;
/// otherwise the machine or a registry has a problem. An image error says nothing about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file `images.lock` or a recipe has a mistake.
    #[error("{}: {message}", Place { file, line: *line, column: *column })]
    Invalid {
        /// The file that contains the mistake: `images.lock` or a recipe.
        file: PathBuf,
        /// The line of the mistake, counted from 1; `None` if it is not known.
        line: Option<u64>,
        /// The column of the mistake, counted from 1; `None` if it is not known.
        column: Option<u64>,
        /// What is wrong, and how to fix it.
        message: String,
    },
    /// The file `images.lock`, a recipe, or an input file of a recipe cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The path of the file that cannot be read.
        file: PathBuf,
        /// The I/O error that caused the failure.
        source: io::Error,
    },
    /// An image bundle is refused: it is damaged, or does not fit this machine.
    #[error("image bundle {}: {fault}", file.display())]
    Bundle {
        /// The path of the image bundle.
        file: PathBuf,
        /// The reason why the image bundle is refused.
        fault: BundleFault,
    },
    /// An image bundle cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Unwritten {
        /// The path of the image bundle.
        file: PathBuf,
        /// The I/O error that caused the failure.
        source: io::Error,
    },
    /// The image is not in `images.lock`.
    #[error("no image is called {name:?} in images.lock; it lists {known}")]
    Unknown {
        /// The name that the user or a scenario gave for an image.
        name: String,
        /// The names of all images in `images.lock`, separated by commas.
        known: String,
    },
    /// The version that the user named is not one version of the image in `images.lock`.
    #[error("{}", version_words(image, wanted, several, known))]
    NoVersion {
        /// The name of the image in `images.lock`.
        image: String,
        /// The version that the user named.
        wanted: String,
        /// The versions that the user can have meant; empty if there is none.
        several: Vec<String>,
        /// All versions of the image.
        known: Vec<String>,
    },
    /// A recipe needs a tool that the machine lacks.
    #[error("image {image} cannot be built without {tool}: {why}")]
    Tool {
        /// The image that needs the tool.
        image: String,
        /// The tool that is missing.
        tool: Tool,
        /// Why the tool cannot be used, for example that it is not installed.
        why: String,
    },
    /// A command of a build failed.
    #[error("image {image}: {command} {how}")]
    Step {
        /// The image that was being built.
        image: String,
        /// A short form of the command, for example `go install example.com/x@v1`.
        command: String,
        /// How the command failed, for example `failed with exit status 1` or `took longer than …`.
        how: String,
        /// The whole command, without paths of the machine, and the last lines that it printed.
        lines: Vec<String>,
    },
    /// The hash of a downloaded Go module or crate differs from the hash in the recipe.
    #[error("image {image}: {module} has the sum {seen}, and the recipe pins {pinned}")]
    Sum {
        /// The image that was being built.
        image: String,
        /// The module in the form `path@version`, or the crate in the form `name@version`.
        module: String,
        /// The hash in the recipe.
        pinned: String,
        /// The hash of what the module proxy or the registry returned.
        seen: String,
    },
    /// The extracted files of a Go module, in Go's cache, differ from the module that the recipe pins.
    #[error("image {image}: the files of {module} in {} have the sum {seen}, and the recipe pins {pinned}", folder.display())]
    Extracted {
        /// The image that was being built.
        image: String,
        /// The module in the form `path@version`.
        module: String,
        /// The folder of the module in Go's cache.
        folder: PathBuf,
        /// The hash in the recipe.
        pinned: String,
        /// The hash of the extracted files.
        seen: String,
    },
    /// The jars that Maven fetched differ from those that `jars.sha256` lists.
    #[error("image {image}: the jars of {folder} are not those of its jars.sha256: {}", faults.join("; "))]
    Jars {
        /// The image that was being built.
        image: String,
        /// The folder with `pom.xml`, relative to the recipe's folder.
        folder: String,
        /// One line for each jar that is missing, unexpected, or has another hash.
        faults: Vec<String>,
    },
    /// A program of this workspace is missing, or cannot run in an empty image.
    #[error("image {image} needs the program {binary}, which {why}")]
    Binary {
        /// The image that was being built.
        image: String,
        /// The name of the program.
        binary: String,
        /// What is wrong with the program.
        why: String,
    },
    /// The user allowed only the published image, and a registry answered that it does not have the image.
    #[error("the published image {reference} ({image}) is not in the engine and cannot be pulled: {why}")]
    NotPublished {
        /// The name of the image.
        image: String,
        /// The published reference of the image.
        reference: String,
        /// The message of the registry or the engine about the failed pull.
        why: String,
    },
    /// It is not known whether the registry has the image. Either the registry does not answer, requires a password, or
    /// limits the rate of requests; or the machine could not store the image. This is a problem of the machine, and not
    /// a reason to skip a variant.
    #[error("the published image {reference} ({image}) could not be pulled: {why}")]
    Unreachable {
        /// The name of the image.
        image: String,
        /// The published reference of the image.
        reference: String,
        /// The message of the registry or the engine about the failed pull.
        why: String,
    },
    /// The user asked to build an image that has no recipe.
    #[error("image {image} has no recipe in images.lock; it can only be pulled")]
    NoRecipe {
        /// The name of the image.
        image: String,
    },
    /// A call to the engine failed.
    #[error("image {image}: the engine could not {doing}: {message}")]
    Engine {
        /// The name of the image.
        image: String,
        /// The operation that failed, for example `load it` or `save it`.
        doing: &'static str,
        /// The message of the engine.
        message: String,
    },
    /// The cache of layers and images cannot be used.
    #[error("image cache: cannot {doing} {}: {source}", path.display())]
    Cache {
        /// The operation that failed, for example `write` or `lock`.
        doing: &'static str,
        /// The path of the file or folder in the cache.
        path: PathBuf,
        /// The I/O error that caused the failure.
        source: io::Error,
    },
    /// Another process has held a lock of the cache for longer than any build takes.
    #[error("image cache: another run has been building {what} for {} s", waited.as_secs())]
    Locked {
        /// The name of the layer or image that the other process builds.
        what: String,
        /// The time for which this process has waited.
        waited: Duration,
    },
    /// The user interrupted the run.
    #[error("interrupted")]
    Cancelled,
}

/// The message about a version that is not one version of an image.
fn version_words(image: &str, wanted: &str, several: &[String], known: &[String]) -> String {
    if !several.is_empty() {
        return format!("{wanted:?} can be several versions of image {image}: {}", several.join(", "));
    }
    if known.is_empty() {
        return format!("images.lock names no versions of image {image}, so {wanted:?} cannot be chosen");
    }
    format!("images.lock has no version {wanted:?} of image {image}; it has {}", known.join(", "))
}

impl ImageError {
    /// The error in the form that the record stores: the message, with evidence and fix.
    pub fn failure(&self) -> Failure {
        let evidence = match self {
            Self::Step { lines, .. } => lines.clone(),
            _ => Vec::new(),
        };
        Failure { what: self.to_string(), fix: self.fix(), evidence }
    }

    /// Whether the user's input is wrong (`images.lock`, a recipe, an image bundle, or the name of an image). Otherwise
    /// the machine has the problem.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Invalid { .. }
                | Self::Unreadable { .. }
                | Self::Bundle { .. }
                | Self::Unknown { .. }
                | Self::NoVersion { .. }
                | Self::NoRecipe { .. }
        )
    }

    /// Returns a function that wraps an I/O error of the cache. `doing` is the verb of the failed operation.
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
            Self::Extracted { folder, .. } => format!(
                "somebody changed a file in Go's module cache; remove {} (or run `go clean -modcache`), and run again",
                folder.display()
            ),
            Self::Jars { folder, .. } => {
                format!(
                    "find out why before you pin them: a jar was changed, or the pom was; then {}",
                    java::anew(folder)
                )
            }
            Self::Binary { .. } => {
                "build all programs of Parallax at once: `cargo build --workspace` in the folder of its sources; a program \
                 of an image must be static, and beside `parallax`. The file of `cargo xtask dist` contains them"
                    .to_owned()
            }
            Self::Unreachable { why, .. } => pull_fix(why),
            Self::Bundle { fault, .. } => fault.fix().to_owned(),
            Self::NotPublished { .. } => {
                "connect to a registry, or `docker load` the image, or use `--k3s auto` or `--k3s built`".to_owned()
            }
            Self::Cache { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some disk space, or set PARALLAX_CACHE to a folder on a larger disk".to_owned()
            }
            Self::Cache { .. } => "set PARALLAX_CACHE to a folder that can be written".to_owned(),
            Self::Locked { .. } => "look at the other run; if it hangs, end it and start again".to_owned(),
            Self::Invalid { .. }
            | Self::Unreadable { .. }
            | Self::Unwritten { .. }
            | Self::Unknown { .. }
            | Self::NoVersion { .. }
            | Self::NoRecipe { .. }
            | Self::Engine { .. }
            | Self::Cancelled => return None,
        };
        Some(fix)
    }
}

/// The likely fix for a failed pull, chosen by the message of the registry or the engine. Each fix also mentions other
/// ways to get the image: `docker load`, or a build.
fn pull_fix(why: &str) -> String {
    const SIGNS: &[(&[&str], &str)] = &[
        (
            &["toomanyrequests", "too many requests", "429"],
            "wait, or sign in by `docker login`: the registry limits how much one may pull without an account",
        ),
        (
            &["unauthorized", "authentication required", "no basic auth credentials", "denied"],
            "sign in by `docker login`, or look at the image's name: registries hide what one may not see",
        ),
        (
            &["no space left on device"],
            "free some space where the engine keeps its images: `docker system df` shows it",
        ),
        (&["unexpected eof", "connection reset", "no answer within", "timeout"], "try again: the registry broke off"),
    ];
    let first = fix_of(SIGNS, why).unwrap_or("connect to a registry");
    format!("{first}; or `docker load` the image, or use `--k3s auto` or `--k3s built`, which build what has a recipe")
}

/// The likely fix for a failed build step, chosen by the output of the step's command. `None` if no known text occurs.
fn step_fix(lines: &[String]) -> Option<String> {
    const SIGNS: &[(&[&str], &str)] = &[
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
    fix_of(SIGNS, &lines.join("\n")).map(str::to_owned)
}

/// Searches the text for patterns, ignoring case. Returns the fix of the first group that has a pattern in the text.
fn fix_of<'a>(signs: &[(&[&str], &'a str)], text: &str) -> Option<&'a str> {
    let text = text.to_lowercase();
    signs.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, fix)| *fix)
}

/// A place in a file, displayed as `file:line:column`. Line and column are left out if they are not known.
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

    #[test]
    fn a_missing_program_of_parallax_leads_to_the_command_that_builds_it() {
        let why = "is not beside the running program".to_owned();
        let error = ImageError::Binary { image: "agent".to_owned(), binary: "parallax-agent".to_owned(), why };
        assert!(
            error
                .fix()
                .is_some_and(|fix| fix.contains("`cargo build --workspace`") && fix.contains("`cargo xtask dist`"))
        );
    }

    #[test]
    fn what_a_registry_said_leads_to_the_fix() {
        for (why, says) in [
            ("toomanyrequests: You have reached your pull rate limit", "docker login"),
            ("unauthorized: authentication required", "look at the image's name"),
            ("Head \"http://x/v2/a/manifests/1\": no basic auth credentials", "sign in by `docker login`"),
            ("write /var/lib/docker/tmp/x: no space left on device", "docker system df"),
            ("unexpected EOF", "try again"),
            ("no answer within 10 s", "try again"),
            ("Get \"https://quay.io/v2/\": dial tcp: lookup quay.io: no such host", "connect to a registry"),
        ] {
            let fix = pull_fix(why);
            assert!(fix.contains(says) && fix.contains("--k3s built"), "{why}: {fix}");
        }
    }
}
