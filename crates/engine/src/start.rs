//! Starts a container with testcontainers, which this project is required to use.
//!
//! Creation and start run in a task that always runs to its end, even if the caller stops waiting. A caller can only
//! cancel the wait for readiness. testcontainers returns a handle. By default, the container is removed when its
//! handle is dropped. This module drops the handle at once, but with `TESTCONTAINERS_COMMAND=keep`
//! ([`super::ensure_environment`]) the container stays. Therefore only this crate itself removes containers.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use parallax_vocab::sources;
use testcontainers::bollard::models::{
    HostConfig, HostConfigCgroupnsModeEnum, Mount, MountType, MountVolumeOptions, PortBinding,
};
use testcontainers::core::{ContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerRequest, CopyTargetOptions, Image, ImageExt as _, TestcontainersError};
use tokio::time::Instant;

use super::connect::Engine;
use super::error::EngineError;
use super::ledger::Kind;
use super::site::{Site, joined};
use super::spec::{Container, ContainerSpec, Port, Protocol, Ready};
use parallax_record::Noted as _;

/// The time limit for creation and start together. Between creation and start, files are copied into the container,
/// which is slow on a busy disk.
const START_WITHIN: Duration = Duration::from_mins(2);
/// If a container does not start, the error contains at most this number of its last log lines.
const EVIDENCE_LINES: usize = 20;

impl Site {
    /// Starts a container and waits until it is ready. If the container ends or is not ready in time, this function
    /// removes the container. The error contains the container's last log lines.
    pub async fn start(&self, spec: ContainerSpec) -> Result<Container, EngineError> {
        let name = self.name_of(&spec.what);
        if let Some(reason) = spec.problem() {
            return Err(EngineError::BadSpec { name, reason });
        }
        self.refuse_when_closing(&format!("container {name}"))?;
        let begun = Instant::now();
        let (site, task_spec, task_name) = (self.clone(), spec.clone(), name.clone());
        let creation = self.0.tasks.spawn(async move { site.create(&task_spec, &task_name).await });
        let container = joined(creation.await, &format!("start container {name}"))?;
        let deadline = begun + spec.ready_within;
        match self.0.engine.ready(&spec, &name, deadline).await {
            Ok(()) => Ok(container),
            Err(reason) => Err(self.give_up(&spec, &name, reason).await),
        }
    }

    /// Creates and starts a container. If this fails, this function itself removes the container, because the caller
    /// may have stopped waiting.
    async fn create(&self, spec: &ContainerSpec, name: &str) -> Result<Container, EngineError> {
        let engine = &self.0.engine;
        // testcontainers would silently pull a missing image and create a missing network. Therefore this function
        // checks first that both exist. If one is missing, the result is an error.
        if engine.image_id(&spec.image).await?.is_none() {
            return Err(EngineError::ImageMissing { image: spec.image.clone(), name: name.to_owned() });
        }
        engine
            .docker
            .inspect_network(&spec.network, None)
            .await
            .map_err(EngineError::call(format!("find network {} for container {name}", spec.network)))?;
        self.record(Kind::Container, name).await?;
        match self.request(spec, name).start().await {
            Ok(handle) => drop(handle),
            Err(error) => return Err(self.failed(spec, name, start_reason(&error)).await),
        }
        match engine.locate(&spec.what, name).await {
            Ok(container) => Ok(container),
            // The look-up of the address failed. A container whose first process has already exited has no address. If
            // the process has exited, the error reports this exit.
            Err(error) => {
                let reason = match (engine.exited(name).await, &spec.ready) {
                    (Some(end), Ready::LogLine(wanted)) => too_early(&end, wanted),
                    (Some(end), Ready::Running) => format!("{end} at once"),
                    (None, _) => error.to_string(),
                };
                Err(self.failed(spec, name, reason).await)
            }
        }
    }

    /// Removes a container that did not become ready. The removal runs in its own task, so that it also happens if the
    /// caller stops waiting.
    async fn give_up(&self, spec: &ContainerSpec, name: &str, reason: String) -> EngineError {
        let (site, task_spec, task_name) = (self.clone(), spec.clone(), name.to_owned());
        let removal = tokio::spawn(async move { site.failed(&task_spec, &task_name, reason).await });
        removal.await.unwrap_or_else(|error| EngineError::Process {
            doing: format!("remove container {name}"),
            reason: error.to_string(),
        })
    }

    async fn failed(&self, spec: &ContainerSpec, name: &str, reason: String) -> EngineError {
        let engine = &self.0.engine;
        let log = engine.logs(name, EVIDENCE_LINES).await.noted("read the log of a container that did not start");
        let log = log.unwrap_or_default();
        let left = engine.remove(Kind::Container, name).await.err();
        EngineError::StartFailed {
            name: name.to_owned(),
            image: spec.image.clone(),
            reason,
            log,
            left: left.map(|why| format!("it could not be removed ({why}): `docker rm -fv {name}`")),
        }
    }

    fn request(&self, spec: &ContainerSpec, name: &str) -> ContainerRequest<OurImage> {
        let image = OurImage::new(spec);
        // In the engine, a container's command line is the entry point followed by the command. testcontainers accepts
        // only one word as the entry point, so the other words of the entry point are put in front of the command.
        let rest = spec.entrypoint.iter().flat_map(|words| words.iter().skip(1));
        let command: Vec<String> = rest.chain(&spec.command).cloned().collect();
        let host = self.host_config(spec);
        let mut request = image
            .with_container_name(name)
            .with_network(&spec.network)
            .with_labels(spec.labels.iter().map(|(key, value)| (key.clone(), value.clone())))
            .with_labels(self.labels(&spec.what))
            .with_privileged(spec.privileged)
            .with_cmd(command)
            .with_startup_timeout(START_WITHIN)
            .with_host_config_modifier(move |config| host.apply(config));
        if let Some(hostname) = &spec.hostname {
            request = request.with_hostname(hostname);
        }
        for (key, value) in &spec.env {
            request = request.with_env_var(key, value);
        }
        for file in &spec.files {
            request = request.with_copy_to(CopyTargetOptions::new(&file.path).with_mode(file.mode), file.bytes.clone());
        }
        request
    }

    fn host_config(&self, spec: &ContainerSpec) -> HostParts {
        let bind = |bind: &super::spec::Bind| Mount {
            target: Some(bind.container.clone()),
            source: Some(bind.host.display().to_string()),
            typ: Some(MountType::BIND),
            read_only: Some(bind.read_only),
            ..Default::default()
        };
        let volume = |target: &String| Mount {
            target: Some(target.clone()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions { labels: Some(self.labels(&spec.what)), ..Default::default() }),
            ..Default::default()
        };
        HostParts {
            mounts: spec.binds.iter().map(bind).chain(spec.volumes.iter().map(volume)).collect(),
            tmpfs: spec.tmpfs.clone().into_iter().collect(),
            ports: spec.ports.clone(),
            dns: spec.dns.iter().map(ToString::to_string).collect(),
            private_cgroup_namespace: spec.private_cgroup_namespace,
            sysctls: spec.sysctls.clone().into_iter().collect(),
        }
    }
}

/// Settings for the container's host configuration. testcontainers accepts only one function that changes this
/// configuration, so one function must apply all of these settings.
struct HostParts {
    mounts: Vec<Mount>,
    tmpfs: HashMap<String, String>,
    ports: Vec<Port>,
    dns: Vec<String>,
    private_cgroup_namespace: bool,
    sysctls: HashMap<String, String>,
}

impl HostParts {
    fn apply(&self, config: &mut HostConfig) {
        // By default, testcontainers publishes every exposed port on every address of the machine. Parallax publishes
        // only the ports that the container's description lists, and only on loopback.
        config.publish_all_ports = Some(false);
        config.port_bindings = Some(self.ports.iter().map(|port| (port.key(), Some(vec![loopback()]))).collect());
        config.mounts = Some(self.mounts.clone());
        config.tmpfs = Some(self.tmpfs.clone());
        if !self.dns.is_empty() {
            config.dns = Some(self.dns.clone());
        }
        if !self.sysctls.is_empty() {
            config.sysctls = Some(self.sysctls.clone());
        }
        if self.private_cgroup_namespace {
            config.cgroupns_mode = Some(HostConfigCgroupnsModeEnum::PRIVATE);
        }
    }
}

/// Publishes a port on loopback only, at a free port that the engine chooses.
fn loopback() -> PortBinding {
    PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) }
}

/// An image reference in the form that testcontainers needs: a name and a tag. testcontainers joins the two with a
/// colon. Therefore even a reference by digest (`name@sha256:…`) may be split at its last colon.
#[derive(Debug)]
struct OurImage {
    name: String,
    tag: String,
    entrypoint: Option<String>,
    exposed: Vec<ContainerPort>,
}

impl OurImage {
    fn new(spec: &ContainerSpec) -> Self {
        let (name, tag) = name_and_tag(&spec.image);
        let exposed = |port: &Port| match port.protocol {
            Protocol::Tcp => ContainerPort::Tcp(port.container),
            Protocol::Udp => ContainerPort::Udp(port.container),
        };
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
            entrypoint: spec.entrypoint.as_ref().and_then(|words| words.first().cloned()),
            exposed: spec.ports.iter().map(exposed).collect(),
        }
    }
}

impl Image for OurImage {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> &str {
        &self.tag
    }

    fn ready_conditions(&self) -> Vec<WaitFor> {
        Vec::new()
    }

    fn entrypoint(&self) -> Option<&str> {
        self.entrypoint.as_deref()
    }

    fn expose_ports(&self) -> &[ContainerPort] {
        &self.exposed
    }
}

/// Splits an image reference at its last colon. If the only colon is in front of a registry's port, the reference has
/// no tag, and the tag is `latest`.
fn name_and_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// Returns the engine's own message, which is the innermost error of a testcontainers error.
fn start_reason(error: &TestcontainersError) -> String {
    match sources(error).last().and_then(|it| it.downcast_ref::<testcontainers::bollard::errors::Error>()) {
        Some(error) => format!("did not start: {}", super::error::message(error)),
        None => format!("did not start: {error}"),
    }
}

fn too_early(end: &str, wanted: &str) -> String {
    format!("{end} before it printed {wanted:?}")
}

impl Engine {
    /// Waits until a container is ready. The error is a text that says what happened instead.
    async fn ready(&self, spec: &ContainerSpec, name: &str, deadline: Instant) -> Result<(), String> {
        let Ready::LogLine(wanted) = &spec.ready else {
            return match self.exited(name).await {
                Some(end) => Err(format!("{end} at once")),
                None => Ok(()),
            };
        };
        let printed = async {
            let mut lines = std::pin::pin!(self.follow_logs(name));
            while let Some(line) = lines.try_next().await.map_err(|error| error.to_string())? {
                if line.text.contains(wanted.as_str()) {
                    return Ok(());
                }
            }
            let end = self.exited(name).await.unwrap_or_else(|| "stopped printing".to_owned());
            Err(too_early(&end, wanted))
        };
        tokio::time::timeout_at(deadline, printed)
            .await
            .unwrap_or_else(|_| Err(format!("did not print {wanted:?} within {} s", spec.ready_within.as_secs())))
    }

    /// How a container ended, as a text for people; `None` if it still runs.
    async fn exited(&self, name: &str) -> Option<String> {
        let state = self.inspect(name).await.noted("look at a container that does not get ready")?.state?;
        if state.running.unwrap_or_default() {
            return None;
        }
        let killed = if state.oom_killed.unwrap_or_default() { ", out of memory" } else { "" };
        Some(format!("exited with code {}{killed}", state.exit_code.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined_again_as_they_were() {
        for reference in ["minio:1", "r.example:5000/a/b:2", "a@sha256:0123", "r.example:5000/a@sha256:01"] {
            let (name, tag) = name_and_tag(reference);
            assert_eq!(format!("{name}:{tag}"), reference);
        }
        assert_eq!(name_and_tag("r.example:5000/a"), ("r.example:5000/a", "latest"));
    }
}
