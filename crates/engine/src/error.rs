//! The errors of this crate. Most of them also say how the user can fix them.

use std::path::PathBuf;

use parallax_vocab::event::Failure;
use parallax_vocab::in_full;
use testcontainers::bollard;

use parallax_provision::ProvisionError;

/// One place where the harness looked for an engine, and what it found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The setting that names the place, for example `DOCKER_HOST`, `context colima` or `default socket`.
    pub source: String,
    /// The address at which the harness looked for an engine: the path of a socket, or a host with a port.
    pub place: String,
    /// The result of the attempt to connect, for example "nothing listens".
    pub said: String,
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.place, self.source, self.said)
    }
}

/// An error of this crate. Messages are sentence fragments in lower case; [`EngineError::fix`] tells the user how to
/// fix the error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No engine answers. If the user chose an engine, the harness looked only at the place of that engine. Otherwise
    /// the harness looked at all usual places.
    #[error("no container engine answers here; tried {}", list(.tried))]
    NotFound {
        /// All places where the harness looked for an engine, in the order in which it looked.
        tried: Vec<Tried>,
    },
    /// An engine exists, but this user is not allowed to use it.
    #[error("no permission on the engine's socket {socket} ({source_of})")]
    Denied {
        /// The path of the engine's socket.
        socket: String,
        /// The setting that names the engine's socket, for example `DOCKER_HOST`.
        source_of: String,
    },
    /// The setting that names the engine is not usable.
    #[error("the engine named by {source_of} cannot be used: {reason}")]
    Unusable {
        /// The setting, for example `DOCKER_HOST` or `context colima`.
        source_of: String,
        /// The reason why the setting that names the engine is not usable.
        reason: String,
        /// What the user must do so that an engine can be used, as a sentence fragment.
        fix: String,
    },
    /// Each of the engine's address ranges belongs to a network.
    #[error("cannot create network {name}: the engine has {}no address range for another network", counted(*networks))]
    NoAddresses {
        /// The name of the network.
        name: String,
        /// The number of networks that the engine has. `None` if the engine did not list them.
        networks: Option<usize>,
    },
    /// The engine's address is known, but the engine does not answer.
    #[error("the engine at {endpoint} ({source_of}) does not answer: {reason}")]
    Unreachable {
        /// The address of the engine.
        endpoint: String,
        /// The setting that names the engine, for example `DOCKER_HOST`.
        source_of: String,
        /// The error with which the connection to the engine failed.
        reason: String,
    },
    /// A call to the engine failed.
    #[error("failed to {doing}: {}", message(.source))]
    Call {
        /// The operation that failed, for example "create network x".
        doing: String,
        /// The error that the engine or the connection reported.
        #[source]
        source: bollard::errors::Error,
    },
    /// The engine does not have the image of a container that the harness starts.
    #[error("image {image} for container {name} is not in the engine")]
    ImageMissing {
        /// The reference of the image.
        image: String,
        /// The name of the container.
        name: String,
    },
    /// An image could not be pulled.
    #[error("failed to pull {image}: {reason}")]
    Pull {
        /// The reference of the image.
        image: String,
        /// The reason why the image could not be pulled.
        reason: String,
    },
    /// A container did not start, or did not become ready.
    #[error("container {name} ({image}) {reason}")]
    StartFailed {
        /// The name of the container.
        name: String,
        /// The image of the container.
        image: String,
        /// What happened to the container, for example "exited with code 1 at once" or "did not print …".
        reason: String,
        /// The last log lines of the container.
        log: Vec<String>,
        /// The object of the failed start that remains in the engine, and how to remove it. `None` if nothing remains,
        /// because the container was removed.
        left: Option<String>,
    },
    /// The container's specification is not valid.
    #[error("container {name} cannot be started as described: {reason}")]
    BadSpec {
        /// The name of the container.
        name: String,
        /// The reason why the container's specification is not valid.
        reason: String,
    },
    /// The run is removing its objects, so the harness creates no new one.
    #[error("{what} was not created: the run is being taken down")]
    Closing {
        /// The object that was not created, for example "network x".
        what: String,
    },
    /// An expected event did not happen in time.
    #[error("{what} did not happen within {seconds} s")]
    Deadline {
        /// The event that was expected.
        what: String,
        /// The time within which the event should have happened, in seconds.
        seconds: u64,
    },
    /// A file of Parallax could not be read or written.
    #[error("failed to {doing} {}: {source}", .path.display())]
    File {
        /// The operation that failed, as a verb: "write", "read" or "create".
        doing: &'static str,
        /// The path of the file of the failed operation.
        path: PathBuf,
        /// The I/O error that caused the failure.
        #[source]
        source: std::io::Error,
    },
    /// An operation failed, and no other variant fits. For example, a process could not be started or did not end in
    /// time.
    #[error("failed to {doing}: {reason}")]
    Process {
        /// The operation that failed.
        doing: String,
        /// The reason why the operation failed.
        reason: String,
    },
    /// Installing the engine or a tool failed.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// Whether a container whose start failed has exited on its own, and was not killed. `reason` is the reason of the
/// failed start. It begins with the text of `Engine::exited` if the container has exited.
fn is_exit(reason: &str) -> bool {
    let was_killed = reason.starts_with("exited with code 137") || reason.ends_with("out of memory");
    reason.starts_with("exited ") && !was_killed
}

impl EngineError {
    /// Returns a function that turns an error of the client library into [`EngineError::Call`]. `doing` is the
    /// operation that failed.
    pub(super) fn call(doing: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Call { doing, source }
    }

    /// Returns a function that turns an I/O error into [`EngineError::File`]. `doing` is the verb of the operation, and
    /// `path` is the file.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// What the user can do about the error; `None` if no fix is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotFound { tried } => Some(fix_absent(tried)),
            Self::Denied { .. } => Some(
                "run as root, or add yourself to the socket's group (`sudo usermod -aG docker $USER`, then log in again)"
                    .to_owned(),
            ),
            Self::Unusable { fix, .. } => Some(fix.clone()),
            Self::Unreachable { source_of, .. } => {
                Some(format!("start that engine, or change what names it ({source_of})"))
            }
            Self::NoAddresses { .. } => Some(
                "remove the networks of kept runs (`parallax down`), of dead runs (`parallax gc`) and those that nothing uses \
                 (`docker network prune`), or add ranges to `default-address-pools` of the engine's configuration"
                    .to_owned(),
            ),
            Self::ImageMissing { image, .. } => Some(format!("get it first: `parallax images build`, or load {image}")),
            Self::Pull { .. } => Some(
                "check the network and the registry, or use images that are built here (`parallax images build`)".to_owned(),
            ),
            Self::StartFailed { left, .. } => left.clone(),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("make room on that disk".to_owned())
            }
            Self::Provision(error) => error.fix(),
            _ => None,
        }
    }

    /// Returns how the container `container` ended, and its last log lines. Returns `None` if the error does not say
    /// that this container exited on its own. A container that the kernel or a person killed did not exit on its own.
    pub fn ended(&self, container: &str) -> Option<(&str, &[String])> {
        match self {
            Self::StartFailed { name, reason, log, .. } if name == container && is_exit(reason) => Some((reason, log)),
            _ => None,
        }
    }

    /// What the user needs in addition to the message: the last log lines of the container, the places where the
    /// harness looked for an engine, or the output of a command. The list is empty for most errors.
    pub fn evidence(&self) -> Vec<String> {
        match self {
            Self::StartFailed { log, .. } => log.clone(),
            Self::NotFound { tried } => tried.iter().map(ToString::to_string).collect(),
            Self::Provision(error) => error.evidence(),
            _ => Vec::new(),
        }
    }
}

fn counted(networks: Option<usize>) -> String {
    networks.map_or_else(String::new, |number| format!("{number} networks and "))
}

impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Self {
        Self { what: error.to_string(), fix: error.fix(), evidence: error.evidence() }
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn fix_absent(tried: &[Tried]) -> String {
    let default = |one: &Tried| one.place == super::find::DEFAULT_SOCKET;
    if let Some(chosen) = tried.first().filter(|_| !tried.iter().any(default)) {
        return format!("start the engine that is named by {}, or unset that to use this machine's own", chosen.source);
    }
    let silent = tried.iter().any(|one| one.said == super::find::SILENT);
    let start = if silent { "start the engine (a socket is there, but nothing listens), or " } else { "" };
    format!(
        "{start}install Docker and start it; on Debian or Ubuntu as root `cargo xtask e2e --provision` does both; \
         an engine elsewhere is named by DOCKER_HOST"
    )
}

/// The engine's own message, without the text that the client library adds.
pub(super) fn message(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        bollard::errors::Error::DockerStreamError { error } => error.trim().to_owned(),
        bollard::errors::Error::RequestTimeoutError => "the engine gave no answer in time".to_owned(),
        other => in_full(other),
    }
}

/// The HTTP status of the engine's error response; `None` if the error is not a response of the engine.
pub(super) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_was_killed_did_not_exit_by_itself() {
        for (reason, exits) in [
            ("exited with code 1", true),
            ("exited with code 1 at once", true),
            ("exited with code 137", false),
            ("exited with code 137, out of memory", false),
            ("exited with code 1, out of memory", false),
            ("did not print \"x\" within 5 s", false),
        ] {
            assert_eq!(is_exit(reason), exits, "{reason}");
        }
    }
}
