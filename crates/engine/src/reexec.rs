//! Starts this program again with the address of the engine in its environment.
//!
//! testcontainers reads `DOCKER_HOST` itself, ignores Docker's contexts and accepts no client, and it is unsafe to set
//! a variable of the running process. With `TESTCONTAINERS_COMMAND=keep`, testcontainers removes nothing, so that only
//! sweeps remove objects.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::error::EngineError;
use super::find::{DEFAULT_SOCKET, Endpoint};

/// The variable that is set for the second start. If it is set and the environment is still wrong, another program
/// reverts the variables of this module.
const GUARD: &str = "PARALLAX_ENGINE_RESOLVED";

/// The variables that an endpoint needs.
fn wanted(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    let mut wanted = vec![("DOCKER_HOST", endpoint.host.clone()), ("TESTCONTAINERS_COMMAND", "keep".to_owned())];
    if let Some(tls) = &endpoint.tls {
        wanted.push(("DOCKER_TLS_VERIFY", "1".to_owned()));
        wanted.push(("DOCKER_CERT_PATH", tls.display().to_string()));
    }
    wanted
}

/// Whether the environment already has the wanted variables. Without `DOCKER_HOST`, testcontainers uses the default
/// socket.
fn is_set(wanted: &[(&str, String)], env: &dyn Fn(&str) -> Option<String>) -> bool {
    wanted.iter().all(|(name, value)| match env(name) {
        Some(set) => set == *value,
        None => *name == "DOCKER_HOST" && is_default(value),
    })
}

fn is_default(host: &str) -> bool {
    host.strip_prefix("unix://") == Some(DEFAULT_SOCKET)
}

/// Whether, in this process, testcontainers will use `endpoint` and remove nothing.
pub fn environment_fits(endpoint: &Endpoint) -> bool {
    is_set(&wanted(endpoint), &|name| std::env::var(name).ok())
}

/// Returns if the environment already names `endpoint`. Otherwise starts the same program again with the same
/// arguments, in the same process (`exec`). Call this function before the program creates a thread, a file or a child
/// process that must not be lost.
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
    // If the engine is at the default socket, DOCKER_HOST stays unset, so that the engine does not count as chosen by
    // the user. `--provision` may install and start an engine only there.
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
