//! Operations on a container, by its name: stop, kill, inspect, read files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::ContainerInspectResponse;
use testcontainers::bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, KillContainerOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};

use super::connect::Engine;
use super::error::{EngineError, status};
use super::spec::{Container, Protocol};

/// The largest size of a file that the harness reads out of a container.
const FILE_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

impl Engine {
    /// Stops a container. The engine sends SIGTERM, or the stop signal of the image if it has one. If the container
    /// still runs after `grace`, the engine sends SIGKILL.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        self.after(grace)
            .stop_container(name, Some(options))
            .await
            .map_err(EngineError::call(format!("stop container {name}")))
    }

    /// Sends a signal to the main process of a container, for example `SIGKILL` or `SIGHUP`.
    pub async fn kill(&self, name: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        self.docker
            .kill_container(name, Some(options))
            .await
            .map_err(EngineError::call(format!("send {signal} to container {name}")))
    }

    /// Starts a stopped container again. The container may get another address and other published ports;
    /// [`Engine::locate`] returns the new ones.
    pub async fn start_again(&self, name: &str) -> Result<(), EngineError> {
        self.docker.start_container(name, None).await.map_err(EngineError::call(format!("start container {name}")))
    }

    /// Freezes every process of a container until [`Engine::unpause`] is called.
    pub async fn pause(&self, name: &str) -> Result<(), EngineError> {
        self.docker.pause_container(name).await.map_err(EngineError::call(format!("pause container {name}")))
    }

    /// Resumes the processes of a container.
    pub async fn unpause(&self, name: &str) -> Result<(), EngineError> {
        self.docker.unpause_container(name).await.map_err(EngineError::call(format!("unpause container {name}")))
    }

    /// Waits until a container no longer runs, and returns its exit code. To stop waiting, drop the future.
    pub async fn wait_exit(&self, name: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut answers = Box::pin(self.patient().wait_container(name, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            // The client library reports every exit code except 0 as an error.
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(source)) => Err(EngineError::Call { doing: format!("wait for container {name}"), source }),
            None => Err(EngineError::Call {
                doing: format!("wait for container {name}"),
                source: Error::RequestTimeoutError,
            }),
        }
    }

    /// Whether a container exists and runs.
    pub async fn is_running(&self, name: &str) -> Result<bool, EngineError> {
        match self.docker.inspect_container(name, None).await {
            Ok(inspected) => Ok(inspected.state.and_then(|state| state.running).unwrap_or_default()),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(source) => Err(EngineError::Call { doing: format!("inspect container {name}"), source }),
        }
    }

    /// The address and the published ports of a running container at this moment.
    pub async fn locate(&self, what: &str, name: &str) -> Result<Container, EngineError> {
        let inspected = self.inspect(name).await?;
        Ok(Container {
            what: what.to_owned(),
            name: name.to_owned(),
            id: inspected.id.clone().unwrap_or_default(),
            address: address(&inspected).ok_or_else(|| EngineError::Process {
                doing: format!("find the address of container {name}"),
                reason: "it has none: it does not run".to_owned(),
            })?,
            ports: ports(&inspected),
        })
    }

    /// Reads one regular file out of a container. The container need not run.
    pub async fn read_file(&self, name: &str, path: &str) -> Result<Vec<u8>, EngineError> {
        let doing = format!("read {path} in container {name}");
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut chunks = Box::pin(self.docker.download_from_container(name, Some(options)));
        let mut archive = Vec::new();
        while let Some(chunk) = chunks.try_next().await.map_err(EngineError::call(doing.clone()))? {
            archive.extend_from_slice(&chunk);
            if archive.len() as u64 > FILE_LIMIT_BYTES {
                return Err(EngineError::Process { doing, reason: "it is larger than 16 MiB".to_owned() });
            }
        }
        let unreadable = |reason: String| EngineError::Process { doing: doing.clone(), reason };
        let mut archive = tar::Archive::new(archive.as_slice());
        for entry in archive.entries().map_err(|error| unreadable(error.to_string()))? {
            let mut entry = entry.map_err(|error| unreadable(error.to_string()))?;
            if entry.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
                return Ok(bytes);
            }
        }
        Err(unreadable("it is no regular file".to_owned()))
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, EngineError> {
        self.docker.inspect_container(name, None).await.map_err(EngineError::call(format!("inspect container {name}")))
    }
}

/// The container's address on its network. Each container of a run has exactly one network.
fn address(inspected: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = inspected.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|endpoint| endpoint.ip_address.as_ref()?.parse().ok())
}

/// The addresses on this machine at which the container's ports are published. The key is the port inside the
/// container.
fn ports(inspected: &ContainerInspectResponse) -> BTreeMap<(u16, Protocol), SocketAddr> {
    let published = inspected.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    published
        .into_iter()
        .flatten()
        .filter_map(|(key, bindings)| {
            let binding = bindings.as_ref()?.first()?;
            let address = IpAddr::from([127, 0, 0, 1]);
            let port = binding.host_port.as_ref()?.parse().ok()?;
            Some((Protocol::parse_port(key)?, SocketAddr::new(address, port)))
        })
        .collect()
}
