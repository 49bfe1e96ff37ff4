//! Starts this program again with the address of the engine in its environment.
//!
//! testcontainers reads `DOCKER_HOST` from the environment and ignores Docker's contexts. A caller cannot give
//! testcontainers a Docker client. A running process cannot safely set its own variables. Therefore the program starts
//! itself again. With `TESTCONTAINERS_COMMAND=keep`, testcontainers removes no container, so that only sweeps remove
//! objects.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::error::EngineError;
use super::find::{DEFAULT_SOCKET, Endpoint};

/// The variable that marks the second start of this program. If the variables for testcontainers have wrong values even
/// then, something (such as a wrapper script) resets them. A third start would not help, so this is an error.
const GUARD: &str = "PARALLAX_ENGINE_RESOLVED";

/// The environment variables with which testcontainers uses this endpoint and removes nothing.
fn wanted(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    let mut wanted = vec![("DOCKER_HOST", endpoint.host.clone()), ("TESTCONTAINERS_COMMAND", "keep".to_owned())];
    if let Some(tls) = &endpoint.tls {
        wanted.push(("DOCKER_TLS_VERIFY", "1".to_owned()));
        wanted.push(("DOCKER_CERT_PATH", tls.display().to_string()));
    }
    wanted
}

/// Whether the environment already has the wanted variables. `DOCKER_HOST` may be missing if the engine is at the
/// default socket, because testcontainers uses the default socket then.
fn is_set(wanted: &[(&str, String)], env: &dyn Fn(&str) -> Option<String>) -> bool {
    wanted.iter().all(|(name, value)| match env(name) {
        Some(set) => set == *value,
        None => *name == "DOCKER_HOST" && is_default(value),
    })
}

fn is_default(host: &str) -> bool {
    host.strip_prefix("unix://") == Some(DEFAULT_SOCKET)
}

/// Whether the environment of this process makes testcontainers use `endpoint` and remove nothing.
pub fn environment_fits(endpoint: &Endpoint) -> bool {
    is_set(&wanted(endpoint), &|name| std::env::var(name).ok())
}

/// Makes sure that the environment makes testcontainers use `endpoint`. If this is not so yet, this function replaces
/// this process by the same program with the same arguments and the right variables (`exec`). Call this function before
/// the program creates a thread, a temporary file or a child process, because `exec` would lose them.
pub fn ensure_environment(endpoint: &Endpoint) -> Result<(), EngineError> {
    if environment_fits(endpoint) {
        return Ok(());
    }
    let wanted = wanted(endpoint);
    let failed = |reason: String| EngineError::Process {
        doing: format!("start this program again with DOCKER_HOST={}", endpoint.shown()),
        reason,
    };
    if std::env::var_os(GUARD).is_some() {
        return Err(failed("its environment is not as it was set".to_owned()));
    }
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    // If the engine is at the default socket, DOCKER_HOST stays unset. Otherwise the second start would regard the
    // engine as chosen by the user, and `--provision` could not install or start an engine.
    let must_be_set = |(name, value): &(&str, String)| {
        *name != "DOCKER_HOST" || !is_default(value) || std::env::var_os(name).is_some()
    };
    let wanted = wanted.into_iter().filter(must_be_set);
    let error = Command::new(program).args(std::env::args_os().skip(1)).envs(wanted).env(GUARD, "1").exec();
    Err(failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_must_say_everything() {
        let plain = Endpoint { host: "unix:///s".into(), tls: None, source: String::new() };
        let secured = Endpoint { tls: Some("/t".into()), ..plain.clone() };
        let default = Endpoint { host: format!("unix://{DEFAULT_SOCKET}"), ..plain.clone() };
        let cases = [
            (&default, None, Some("keep"), true),
            (&default, None, None, false),
            (&plain, Some("unix:///s"), Some("keep"), true),
            (&plain, Some("unix:///other"), Some("keep"), false),
            (&plain, Some("unix:///s"), Some("remove"), false),
            (&plain, None, None, false),
            (&secured, Some("unix:///s"), Some("keep"), false),
        ];
        for (endpoint, host, command, expected) in cases {
            let get = |name: &str| match name {
                "DOCKER_HOST" => host.map(str::to_owned),
                "TESTCONTAINERS_COMMAND" => command.map(str::to_owned),
                _ => None,
            };
            assert_eq!(is_set(&wanted(endpoint), &get), expected, "{host:?} {command:?}");
        }
    }
}
