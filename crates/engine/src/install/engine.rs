//! Finds an engine that answers. If the user allows it, installs and starts one.

use std::time::Duration;

use super::daemon;
use crate::error::EngineError;
use crate::find::{BY_DEFAULT, Endpoint, Surroundings, find};
use parallax_provision::Release;
use parallax_provision::System;
use parallax_provision::Tool;
use parallax_provision::on_path;
use parallax_provision::{Apt, Wanted, run};
use parallax_record::Sink;

const VERSION_WITHIN: Duration = Duration::from_secs(20);

/// Finds the engine. If no engine answers and `provision` is set, installs and starts one. Each step is reported before
/// it begins. An engine that the user chose (`DOCKER_HOST`, a context) is never replaced.
pub async fn ensure_engine(provision: bool, around: &dyn Surroundings, sink: &Sink) -> Result<Endpoint, EngineError> {
    let absent = match find(around) {
        Ok(endpoint) => return Ok(endpoint),
        Err(error) => error,
    };
    if !provision || !is_ours_to_start(&absent) {
        return Err(absent);
    }
    let system = System::for_installing("a container engine")?;
    if !is_installed().await {
        let has_client = on_path(Tool::Docker.command()).next().is_some();
        Apt::new(system, sink).install(engine_package(has_client)).await?;
    }
    daemon::start(around, sink).await?;
    find(around)
}

/// The package of the engine, with the other packages to install. iptables is needed by the engine, although the
/// engine's package does not depend on it. Newer Debian releases have Docker's client in a separate package; it is
/// added if the client is missing.
fn engine_package(has_client: bool) -> Wanted {
    const ALONG: &[&str] = &[Tool::Iptables.package()];
    const CLIENT: &[&str] = &[Tool::Docker.package()];
    let server = Tool::Dockerd.known();
    Wanted {
        package: server.package,
        least: server.least,
        same_suite: &[],
        along: ALONG,
        along_if_known: if has_client { &[] } else { CLIENT },
    }
}

/// Whether Parallax may start an engine in place of one that does not answer. Parallax may start only an engine at the
/// default socket, and only if the user chose no engine. A user who writes the default socket into `DOCKER_HOST` or
/// into a context has chosen the engine at this socket.
fn is_ours_to_start(absent: &EngineError) -> bool {
    matches!(absent, EngineError::NotFound { tried } if tried.iter().any(|one| one.source == BY_DEFAULT))
}

/// Whether a dockerd of a sufficient version is installed. If so, it only has to be started.
async fn is_installed() -> bool {
    let Some(dockerd) = daemon::dockerd().and_then(|path| path.to_str().map(str::to_owned)) else { return false };
    let version = run(&dockerd, &["--version"], VERSION_WITHIN).await.unwrap_or_default();
    Release::parse(&version).is_some_and(|release| release >= Tool::Dockerd.known().least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Tried;
    use crate::find::DEFAULT_SOCKET;

    #[test]
    fn only_the_default_engine_is_ours_to_start() {
        let absent = |source: &str, place: &str| EngineError::NotFound {
            tried: vec![Tried { source: source.to_owned(), place: place.to_owned(), said: "absent".to_owned() }],
        };
        assert!(is_ours_to_start(&absent(BY_DEFAULT, DEFAULT_SOCKET)));
        assert!(!is_ours_to_start(&absent("rootless engine", "/somewhere/else.sock")));
        // The user wrote the default socket into a setting, and so has chosen an engine. Parallax must not start
        // another engine at this socket.
        assert!(!is_ours_to_start(&absent("DOCKER_HOST", DEFAULT_SOCKET)));
        assert!(!is_ours_to_start(&absent("context here, named by DOCKER_CONTEXT", DEFAULT_SOCKET)));
        let denied = EngineError::Denied { socket: DEFAULT_SOCKET.to_owned(), source_of: String::new() };
        assert!(!is_ours_to_start(&denied));
    }
}
