//! The connection to the container engine (Docker): its time limits, and what the engine said about itself when the
//! connection was made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use testcontainers::bollard::{API_DEFAULT_VERSION, Docker};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::disk::Disk;
use super::error::{EngineError, message};
use super::facts::Facts;
use super::find::Endpoint;
use super::identity::{host_name, kernel_release, unix_seconds};

/// The time limit until the engine begins to answer a call. A healthy engine answers within seconds.
const CALL_LIMIT: Duration = Duration::from_mins(1);
/// The time limit for a call that the engine answers only after some work. Examples are to load an image and to remove
/// a volume. On a slow disk the work takes long, and the client library's own limit of 120 s is too short for it.
const WORK_LIMIT: Duration = Duration::from_mins(15);
/// The time limit of the first two calls together (ping and info), which show whether an engine answers.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// A connection to an engine that has answered at least once. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) docker: Docker,
    endpoint: Arc<Endpoint>,
    facts: Arc<Facts>,
}

impl Engine {
    /// Connects to the engine and reads the facts about it.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, EngineError> {
        let unreachable = |reason: String| EngineError::Unreachable {
            endpoint: endpoint.shown(),
            source_of: endpoint.source.clone(),
            reason,
        };
        let docker = client(endpoint).map_err(|error| unreachable(message(&error)))?;
        let ask = async {
            docker.ping().await?;
            let began = unix_seconds();
            docker.info().await.map(|info| (info, (began, unix_seconds())))
        };
        let (info, asked_s) = tokio::time::timeout(FIRST_ANSWER, ask)
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", FIRST_ANSWER.as_secs())))?
            .map_err(|error| unreachable(message(&error)))?;
        let facts = Facts::from_info(info, endpoint.is_local(), asked_s);
        Ok(Self { docker, endpoint: Arc::new(endpoint.clone()), facts: Arc::new(facts) })
    }

    /// A client with a long time limit, for calls that the engine answers only when the work is done.
    pub(super) fn patient(&self) -> Docker {
        self.docker.clone().with_timeout(WORK_LIMIT)
    }

    /// Returns a client for a call to which the engine may answer only after `time`, for example to stop a container with
    /// a grace period. The client's usual time limit is extended by `time`.
    pub(super) fn after(&self, time: Duration) -> Docker {
        self.docker.clone().with_timeout(CALL_LIMIT + time)
    }

    /// The address of the engine.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the engine probably runs on this machine. This is so if the socket is local, and the engine reports the
    /// host name and the kernel release of this machine. A local socket alone proves nothing, because it may be
    /// forwarded from another machine or mounted into a container.
    pub fn is_here(&self) -> bool {
        self.endpoint.is_local() && is_same(&self.facts, &host_name(), &kernel_release())
    }

    /// A summary for people: one sentence that begins in lower case.
    pub fn summary(&self) -> String {
        let facts = &*self.facts;
        format!(
            "engine {} answers at {} ({}, {}, cgroup v{}, {}, {} processors)",
            facts.version,
            self.endpoint.shown(),
            facts.os,
            facts.architecture,
            facts.cgroup_version,
            facts.storage_driver,
            facts.cpus
        )
    }

    /// The current time by the clock of the engine's machine, in seconds since 1970. If the engine reports no time,
    /// this machine's clock is used.
    pub(super) async fn time(&self) -> Result<u64, EngineError> {
        let info = self.docker.info().await.map_err(EngineError::call("ask the engine for its time".to_owned()))?;
        Ok(info.system_time.as_deref().and_then(seconds_of).unwrap_or_else(unix_seconds))
    }

    /// The space that the disk of the engine has now. `None` if the disk is not on this machine.
    pub fn disk(&self) -> Option<Disk> {
        self.facts.disk.and_then(|_| Disk::of(Path::new(&self.facts.root)))
    }

    /// The facts that the engine reported when the connection was made.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn client(endpoint: &Endpoint) -> Result<Docker, testcontainers::bollard::errors::Error> {
    let limit = CALL_LIMIT.as_secs();
    match (&endpoint.tls, endpoint.socket()) {
        (_, Some(_)) => Docker::connect_with_unix(&endpoint.host, limit, API_DEFAULT_VERSION),
        (Some(tls), None) => Docker::connect_with_ssl(
            &endpoint.host,
            &tls.join("key.pem"),
            &tls.join("cert.pem"),
            &tls.join("ca.pem"),
            limit,
            API_DEFAULT_VERSION,
        ),
        (None, None) => Docker::connect_with_http(&endpoint.host, limit, API_DEFAULT_VERSION),
    }
}

/// Parses a time in the form that engines write, `2026-11-27T03:40:00.123456789Z`. Returns seconds since 1970; `None`
/// for another form.
fn seconds_of(time: &str) -> Option<u64> {
    OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp().try_into().ok()
}

/// Whether the engine's machine has this host name and this kernel release.
fn is_same(facts: &Facts, host: &str, kernel: &str) -> bool {
    !host.is_empty() && facts.host == host && facts.kernel == kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_an_engine_never_answers_ends() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let endpoint = Endpoint::given(format!("tcp://{}", silent.local_addr().expect("known")));
        let docker = client(&endpoint).expect("made");
        let engine = Engine { docker, endpoint: Arc::new(endpoint), facts: Arc::default() };
        let limits =
            [engine.docker.timeout(), engine.after(Duration::from_secs(30)).timeout(), engine.patient().timeout()];
        assert_eq!(limits.map(|it| it.as_secs()), [60, 90, 900]);
        let docker = engine.docker.clone().with_timeout(Duration::from_secs(1));
        let call = docker.inspect_container("any", None);
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await.expect("the limit ends the call");
        answer.expect_err("there is no answer");
    }

    #[test]
    fn an_engines_time_is_read_in_any_zone() {
        assert_eq!(seconds_of("1970-01-02T00:00:01.123456789Z"), Some(86_401));
        assert_eq!(seconds_of("1970-01-02T02:00:01.5+02:00"), Some(86_401));
        assert_eq!(seconds_of("yesterday"), None);
    }

    #[test]
    fn an_engine_of_another_machine_is_not_here() {
        let facts =
            |host: &str, kernel: &str| Facts { host: host.to_owned(), kernel: kernel.to_owned(), ..Facts::default() };
        assert!(is_same(&facts("desk", "6.1"), "desk", "6.1"));
        for (host, kernel) in [("other", "6.1"), ("desk", "6.2"), ("", "6.1")] {
            assert!(!is_same(&facts(host, kernel), "desk", "6.1"), "{host} {kernel}");
        }
        assert!(!is_same(&facts("", ""), "", ""));
    }
}
