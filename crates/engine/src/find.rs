//! Finds the engine in the same way as Docker's own clients.
//!
//! The order is the same as in the `docker` command: `DOCKER_HOST`, `DOCKER_CONTEXT`, the context in the configuration
//! file, the default socket. If none of the first three is set, rootless and desktop sockets are tried as well. If the
//! user chose an engine, that engine is used or reported as an error. It is never replaced by another engine.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{EngineError, Tried};

/// The result for a socket file that no process serves.
pub(super) const SILENT: &str = "nothing listens";
/// The socket that Docker's packages use.
pub(super) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The source of an endpoint that is the default socket, because the user chose no engine. A tried place can have this
/// source too.
pub(super) const BY_DEFAULT: &str = "default socket";

/// An engine's address, and the setting that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address in the form of `DOCKER_HOST`: `unix:///var/run/docker.sock`. If the engine is reached over the
    /// network (`tcp://host:2376`), existing runs can be removed, but no run can be started
    /// ([`preflight`](super::preflight)).
    pub host: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, if the engine is reached over TLS.
    pub tls: Option<PathBuf>,
    /// The setting that names the engine: `DOCKER_HOST`, `context colima`, `default socket`.
    pub source: String,
}

impl Endpoint {
    /// An endpoint that another process of Parallax has already found.
    pub fn given(host: impl Into<String>) -> Self {
        let tls = (std::env::var("DOCKER_TLS_VERIFY").is_ok_and(|value| !value.is_empty()))
            .then(|| std::env::var_os("DOCKER_CERT_PATH").map(PathBuf::from))
            .flatten();
        Self { host: host.into(), tls, source: "given".to_owned() }
    }

    /// The path of the socket, if the address is a Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        self.host.strip_prefix("unix://").map(Path::new)
    }

    /// The address without user and password, so that it may be shown.
    pub fn shown(&self) -> String {
        parallax_record::address(&self.host)
    }

    /// Whether the engine may run on this machine, because it is reached over a Unix socket.
    pub fn is_local(&self) -> bool {
        self.socket().is_some()
    }
}

/// The result of a connection to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The engine accepted the connection.
    Answers,
    /// The file does not exist.
    Absent,
    /// The file exists, and this user is not allowed to use it.
    Denied,
    /// The file exists, and no process serves it.
    Silent,
    /// The connection failed for another reason.
    Other(String),
}

/// The environment and the files that the search reads. This is a trait, so that tests need no real machine.
pub trait Surroundings {
    /// The value of an environment variable. An empty value counts as unset.
    fn env(&self, name: &str) -> Option<String>;
    /// Returns the text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Connects to a socket, and closes the connection at once.
    fn reach(&self, socket: &Path) -> Reach;
}

/// The real surroundings: the environment of this process and the files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealSurroundings;

impl Surroundings for RealSurroundings {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn reach(&self, socket: &Path) -> Reach {
        match UnixStream::connect(socket) {
            Ok(_) => Reach::Answers,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reach::Absent,
                io::ErrorKind::PermissionDenied => Reach::Denied,
                io::ErrorKind::ConnectionRefused => Reach::Silent,
                _ => Reach::Other(error.to_string()),
            },
        }
    }
}

/// Finds the engine.
pub fn find(around: &dyn Surroundings) -> Result<Endpoint, EngineError> {
    if let Some(host) = around.env("DOCKER_HOST") {
        return chosen(around, host, tls_from_env(around), "DOCKER_HOST");
    }
    let directory = config_directory(around);
    let named = match around.env("DOCKER_CONTEXT") {
        Some(name) => Some((name, "DOCKER_CONTEXT".to_owned())),
        None => current_context(around, directory.as_deref())?,
    };
    if let Some((name, source)) = named.filter(|(name, _)| name != "default") {
        let directory = directory.unwrap_or_default();
        let (host, tls) = context(around, &directory, &name, &source)?;
        return chosen(around, host, tls, &format!("context {name}, named by {source}"));
    }
    unchosen(around)
}

/// Uses the engine that the user chose.
fn chosen(
    around: &dyn Surroundings,
    host: String,
    tls: Option<PathBuf>,
    source: &str,
) -> Result<Endpoint, EngineError> {
    let unusable =
        |reason: String, fix: &str| EngineError::Unusable { source_of: source.to_owned(), reason, fix: fix.to_owned() };
    let endpoint = Endpoint { host, tls, source: source.to_owned() };
    match endpoint.host.split_once("://") {
        Some(("unix", path)) => match around.reach(Path::new(path)) {
            Reach::Answers => Ok(endpoint),
            Reach::Denied => Err(EngineError::Denied { socket: path.to_owned(), source_of: source.to_owned() }),
            other => Err(EngineError::NotFound {
                tried: vec![Tried { source: source.to_owned(), place: path.to_owned(), said: describe(&other) }],
            }),
        },
        // There is no check here, because the first call to the engine shows whether it answers.
        Some(("tcp" | "http" | "https", rest)) if !rest.is_empty() => Ok(endpoint),
        Some(("ssh", _)) => Err(unusable(
            format!("{} is reached by ssh, which the container library cannot do", endpoint.shown()),
            "forward its socket (`ssh -L /tmp/engine.sock:/var/run/docker.sock HOST`) and set \
             DOCKER_HOST=unix:///tmp/engine.sock",
        )),
        _ => Err(unusable(format!("{:?} is no engine address", endpoint.shown()), "give it as unix:///path/to/socket")),
    }
}

/// Tries the default socket, then the sockets of rootless and desktop engines. This is used if the user chose no
/// engine.
fn unchosen(around: &dyn Surroundings) -> Result<Endpoint, EngineError> {
    let mut places = vec![(BY_DEFAULT, PathBuf::from(DEFAULT_SOCKET))];
    if let Some(runtime) = around.env("XDG_RUNTIME_DIR") {
        places.push(("rootless engine", Path::new(&runtime).join("docker.sock")));
    }
    if let Some(home) = around.env("HOME") {
        places.push(("rootless engine", Path::new(&home).join(".docker/run/docker.sock")));
        places.push(("desktop engine", Path::new(&home).join(".docker/desktop/docker.sock")));
    }
    let mut tried = Vec::new();
    let mut denied = None;
    for (source, path) in places {
        let place = path.display().to_string();
        match around.reach(&path) {
            Reach::Answers => {
                return Ok(Endpoint { host: format!("unix://{place}"), tls: None, source: source.to_owned() });
            }
            reach => {
                if reach == Reach::Denied && denied.is_none() {
                    denied = Some(EngineError::Denied { socket: place.clone(), source_of: source.to_owned() });
                }
                tried.push(Tried { source: source.to_owned(), place, said: describe(&reach) });
            }
        }
    }
    Err(denied.unwrap_or(EngineError::NotFound { tried }))
}

fn describe(reach: &Reach) -> String {
    match reach {
        Reach::Answers => "answers".to_owned(),
        Reach::Absent => "absent".to_owned(),
        Reach::Denied => "no permission".to_owned(),
        Reach::Silent => SILENT.to_owned(),
        Reach::Other(said) => said.clone(),
    }
}

fn tls_from_env(around: &dyn Surroundings) -> Option<PathBuf> {
    around.env("DOCKER_TLS_VERIFY")?;
    around.env("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| config_directory(around))
}

fn config_directory(around: &dyn Surroundings) -> Option<PathBuf> {
    match around.env("DOCKER_CONFIG") {
        Some(directory) => Some(PathBuf::from(directory)),
        None => around.env("HOME").map(|home| Path::new(&home).join(".docker")),
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

#[derive(Deserialize)]
struct MetaFile {
    #[serde(rename = "Endpoints", default)]
    endpoints: BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
struct MetaEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

/// The context that `config.json` names.
fn current_context(
    around: &dyn Surroundings,
    directory: Option<&Path>,
) -> Result<Option<(String, String)>, EngineError> {
    let Some(path) = directory.map(|directory| directory.join("config.json")) else { return Ok(None) };
    let text = match around.read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::File { doing: "read", path, source: error }),
    };
    let source = path.display().to_string();
    let file: ConfigFile = serde_json::from_str(&text).map_err(|error| EngineError::Unusable {
        source_of: source.clone(),
        reason: error.to_string(),
        fix: "mend that file, or set DOCKER_HOST".to_owned(),
    })?;
    Ok((!file.current_context.is_empty()).then_some((file.current_context, source)))
}

/// The address and the TLS folder of a context. The name of the context's folder is the SHA-256 of the context's name.
fn context(
    around: &dyn Surroundings,
    directory: &Path,
    name: &str,
    source: &str,
) -> Result<(String, Option<PathBuf>), EngineError> {
    let unusable = |reason: String| EngineError::Unusable {
        source_of: source.to_owned(),
        reason,
        fix: "`docker context ls` lists the contexts there are; `docker context use default` goes back".to_owned(),
    };
    let id = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()));
    let meta = directory.join("contexts/meta").join(&id).join("meta.json");
    let text = around
        .read(&meta)
        .map_err(|error| unusable(format!("context {name:?} has no readable {}: {error}", meta.display())))?;
    let file: MetaFile =
        serde_json::from_str(&text).map_err(|error| unusable(format!("{}: {error}", meta.display())))?;
    let host = file.endpoints.get("docker").map(|endpoint| endpoint.host.clone()).unwrap_or_default();
    if host.is_empty() {
        return Err(unusable(format!("context {name:?} names no engine in {}", meta.display())));
    }
    let tls = directory.join("contexts/tls").join(&id).join("docker");
    let has_tls = around.read(&tls.join("ca.pem")).is_ok();
    Ok((host, has_tls.then_some(tls)))
}

#[cfg(test)]
mod tests;
