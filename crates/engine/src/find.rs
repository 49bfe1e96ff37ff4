//! Finds the engine in the same way as Docker's own clients.
//!
//! The order is the same as in the `docker` command: `DOCKER_HOST`, `DOCKER_CONTEXT`, the context in the configuration
//! file, the default socket. If the user set none of the first three, the search also tries the sockets of rootless and
//! desktop engines. If the user chose an engine that cannot be used, the result is an error. The search never takes
//! another engine in its place.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{EngineError, Tried};

/// The text with which an error describes a socket file on which no process listens.
pub(super) const SILENT: &str = "nothing listens";
/// The path of the socket that Docker's packages use.
pub(super) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// If the user chose no engine, the default socket is tried, and this text is used in place of a setting's name. It is
/// [`Endpoint::source`] if an engine answers there, and the source in [`Tried`](super::Tried) if none answers.
pub(super) const BY_DEFAULT: &str = "default socket";

/// The address of an engine, and the setting that contains this address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address in the form of `DOCKER_HOST`, for example `unix:///var/run/docker.sock`. If the engine is reached
    /// over the network (`tcp://host:2376`), Parallax can remove existing runs, but cannot start a run
    /// ([`preflight`](super::preflight)).
    pub host: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`; `None` if the engine is not reached over TLS.
    pub tls: Option<PathBuf>,
    /// The setting that names the engine, for example `DOCKER_HOST`, `context colima` or `default socket`.
    pub source: String,
}

impl Endpoint {
    /// An endpoint whose address another process of Parallax has found and passed on. The TLS settings come from the
    /// environment variables of this process.
    pub fn given(host: impl Into<String>) -> Self {
        let tls = (std::env::var("DOCKER_TLS_VERIFY").is_ok_and(|value| !value.is_empty()))
            .then(|| std::env::var_os("DOCKER_CERT_PATH").map(PathBuf::from))
            .flatten();
        Self { host: host.into(), tls, source: "given".to_owned() }
    }

    /// The path of the socket; `None` if the address is not a Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        self.host.strip_prefix("unix://").map(Path::new)
    }

    /// The address without user and password, so that reports can contain it.
    pub fn shown(&self) -> String {
        parallax_record::address(&self.host)
    }

    /// Whether the engine is reached over a Unix socket. Such an engine may run on this machine.
    pub fn is_local(&self) -> bool {
        self.socket().is_some()
    }
}

/// The result of the attempt to connect to the socket file of a container engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A process accepted the connection.
    Answers,
    /// The socket file does not exist.
    Absent,
    /// The socket file exists, but this user is not allowed to connect to it.
    Denied,
    /// The socket file exists, but no process listens on it.
    Silent,
    /// The connection failed for another reason. The value is that reason.
    Other(String),
}

/// What the search for an engine reads from the machine: variables, files and sockets. It is a trait, so that tests
/// need no real machine.
pub trait Surroundings {
    /// The value of an environment variable. An empty value counts as unset.
    fn env(&self, name: &str) -> Option<String>;
    /// Returns the text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Connects to a socket, and closes the connection at once.
    fn reach(&self, socket: &Path) -> Reach;
}

/// The real machine: the environment of this process, and its files and sockets.
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

/// Finds the engine in the order that the module documentation gives. The error lists all places where the harness
/// looked.
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

/// Makes an endpoint from the address that the user chose in `DOCKER_HOST` or in a context. If the address cannot be
/// used, the result is an error, and no other engine is tried.
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
        // A network address is not tried here. The first call to the engine shows whether the engine answers.
        Some(("tcp" | "http" | "https", rest)) if !rest.is_empty() => Ok(endpoint),
        Some(("ssh", _)) => Err(unusable(
            format!("{} is reached by ssh, which the container library cannot do", endpoint.shown()),
            "forward its socket (`ssh -L /tmp/engine.sock:/var/run/docker.sock HOST`) and set \
             DOCKER_HOST=unix:///tmp/engine.sock",
        )),
        _ => Err(unusable(format!("{:?} is no engine address", endpoint.shown()), "give it as unix:///path/to/socket")),
    }
}

/// Tries the default socket, then the sockets of rootless and desktop engines. Called only if the user chose no engine.
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

/// The name of the context that Docker's `config.json` selects, and the path of `config.json` for error messages.
/// `None` if this file does not exist or selects no context.
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

/// The address and the TLS folder of a Docker context. Docker stores a context in a folder whose name is the SHA-256 of
/// the context's name.
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
