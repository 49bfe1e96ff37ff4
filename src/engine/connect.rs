//! The connection to the engine.

use std::sync::Arc;
use std::time::Duration;

use testcontainers::bollard::{API_DEFAULT_VERSION, Docker};

use super::error::{EngineError, said};
use super::facts::Facts;
use super::find::Endpoint;

/// The client library's limit is 120 s, which loading a large image on a slow disk can pass.
const CALL_LIMIT: Duration = Duration::from_mins(15);
/// Whether an engine is there at all is known much earlier.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// An engine that answered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) docker: Docker,
    endpoint: Arc<Endpoint>,
    facts: Arc<Facts>,
}

impl Engine {
    /// Connects, and asks what it is.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, EngineError> {
        let unreachable = |reason: String| EngineError::Unreachable {
            endpoint: endpoint.host.clone(),
            source_of: endpoint.source.clone(),
            reason,
        };
        let docker = client(endpoint).map_err(|error| unreachable(said(&error)))?;
        let ask = async {
            docker.ping().await?;
            docker.info().await
        };
        let info = tokio::time::timeout(FIRST_ANSWER, ask)
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", FIRST_ANSWER.as_secs())))?
            .map_err(|error| unreachable(said(&error)))?;
        let facts = Facts::from_info(info, endpoint.is_local());
        Ok(Self { docker, endpoint: Arc::new(endpoint.clone()), facts: Arc::new(facts) })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One lower-case sentence for people.
    pub fn summary(&self) -> String {
        let facts = &*self.facts;
        format!(
            "engine {} answers at {} ({}, {}, cgroup v{}, {}, {} processors)",
            facts.version,
            self.endpoint.host,
            facts.os,
            facts.architecture,
            facts.cgroup_version,
            facts.storage_driver,
            facts.cpus
        )
    }

    /// What it reported about itself when it was connected.
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
