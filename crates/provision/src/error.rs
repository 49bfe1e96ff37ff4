//! Errors of installing and starting software.

use std::path::PathBuf;

/// An error of installing or starting software.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The user is not root, and only root can install packages.
    #[error("{what} cannot be installed: that needs root, and this is user {uid}")]
    NotRoot {
        /// The software that cannot be installed.
        what: String,
        /// The user id of this process.
        uid: u32,
    },
    /// The operating system is neither Debian nor Ubuntu. Parallax can install packages only on these two.
    #[error("{what} cannot be installed here: this is {system}, and only Debian and Ubuntu are known")]
    UnknownSystem {
        /// The software that cannot be installed.
        what: String,
        /// The name of the operating system.
        system: String,
    },
    /// This machine has no apt source of Debian's own archive. Parallax needs one, because it copies this source to add
    /// a newer suite.
    #[error("no apt source of this machine names Debian's own archive for {codename}; read {}", list(.read))]
    NoOwnArchive {
        /// The codename of the machine's Debian release.
        codename: String,
        /// The files of apt sources that were read.
        read: Vec<PathBuf>,
    },
    /// The archive has no version of the package that is new enough.
    #[error("no {package} of version {wanted} or newer is in the archive of {system}; it has {has}")]
    TooOld {
        /// The name of the package whose versions are too old.
        package: String,
        /// The minimum version that Parallax needs.
        wanted: String,
        /// The version that apt would install, or `none` if the archive does not have the package.
        has: String,
        /// The name of the operating system.
        system: String,
    },
    /// A command failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command that failed, with its arguments.
        command: String,
        /// The exit status of the command, or another reason, for example that the command did not start or did not
        /// end in time.
        reason: String,
        /// The last lines of the command's output.
        output: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("failed to {doing} {}: {source}", .path.display())]
    File {
        /// The verb "read" or "write".
        doing: &'static str,
        /// The path of the file that could not be read or written.
        path: PathBuf,
        /// The error of the operating system for this file.
        #[source]
        source: std::io::Error,
    },
    /// The container engine was started but does not answer.
    #[error("dockerd {reason}")]
    Daemon {
        /// The observed state, for example "exited with …" or "did not answer within …".
        reason: String,
        /// The path of the engine's log file.
        log: String,
        /// The last lines of the engine's log.
        output: Vec<String>,
    },
    /// A tool is missing, and installing it is not allowed.
    #[error("{tool} is missing{detail}; {purpose} needs it")]
    ToolMissing {
        /// The name of the missing tool.
        tool: &'static str,
        /// A description of the programs that were found but cannot be used. It is empty if no program was found. In
        /// the message, it follows the word "missing", for example " (/usr/bin/go is 1.19, and 1.24 or newer is
        /// needed)".
        detail: String,
        /// The purpose for which the tool is needed.
        purpose: &'static str,
        /// Instructions for a person to install the tool.
        by_hand: String,
    },
    /// The code of Parallax uses a tool for a purpose that the table of programs (`programs`) does not list for
    /// this tool. This is a defect of Parallax.
    #[error("{tool} is used by a {of}, and the table of programs does not say so")]
    Undeclared {
        /// The name of the requested tool.
        tool: &'static str,
        /// The use for which the tool was requested.
        of: String,
    },
}

impl ProvisionError {
    /// Returns instructions for a person to fix the error. `None` if there is no general instruction.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotRoot { .. } => Some("run the same command as root, or install it yourself".to_owned()),
            Self::UnknownSystem { what, .. } => Some(format!("install and start {what} yourself")),
            Self::NoOwnArchive { .. } => Some(
                "add Debian's archive to /etc/apt/sources.list.d, or install Docker 23 or newer yourself".to_owned(),
            ),
            Self::TooOld { package, wanted, .. } => Some(format!("install {package} {wanted} or newer yourself")),
            Self::Daemon { log, .. } => Some(format!("the whole log is in {log}")),
            // A program without a package is not installed by `--provision`.
            Self::ToolMissing { by_hand, .. } if by_hand.ends_with("on the PATH") => Some(by_hand.clone()),
            Self::ToolMissing { by_hand, .. } => Some(format!("{by_hand}, or as root give `--provision`")),
            Self::Undeclared { .. } => Some("declare it in crates/provision/src/programs.rs".to_owned()),
            Self::Command { .. } | Self::File { .. } => None,
        }
    }

    /// Returns the last lines of the output of the failed command or of the engine. The list is empty for other errors.
    pub fn evidence(&self) -> Vec<String> {
        match self {
            Self::Command { output, .. } | Self::Daemon { output, .. } => output.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns a function that makes an error about a file that could not be read or written. `doing` is the verb, such
    /// as `write`.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no file".to_owned();
    }
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
