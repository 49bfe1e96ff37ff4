//! Prepares the machine: finds or installs the engine, and reports problems that would make the run fail later.

use futures::future::BoxFuture;

use super::error::RunError;
use parallax_engine::preflight::{self, Finding, Needs, Severity, preflight};
use parallax_engine::{Endpoint, Engine, RealSurroundings, install};
use parallax_images::Tools;
use parallax_provision::{Tool, Use};
use parallax_record::Sink;

const GIB: u64 = 1024 * 1024 * 1024;
/// The free disk space that a run needs for images and containers. A full run used 0.5 GB for the node, and 1 GB for
/// layers and archives.
const FREE_DISK_BYTES: u64 = 3 * GIB;
/// The memory, in bytes, that a cluster with a store needs in order to start.
const MEMORY_BYTES: u64 = 2 * GIB;

/// The number of clusters that exist at the same time in a run of all scenarios. The machine's kernel limits for
/// inotify must be high enough for this number.
const CLUSTERS: u64 = 4;

/// The machine on which a run happens.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The container engine on this machine.
    pub engine: Engine,
}

impl Machine {
    /// Finds the engine, or installs one if `provision` allows it. Reports problems as errors and warnings.
    pub async fn find(sink: &Sink, provision: bool) -> Result<Self, RunError> {
        let setup = sink.setup("engine", "the container engine");
        match Self::found(sink, provision).await {
            Ok((machine, words)) => {
                setup.done(words);
                Ok(machine)
            }
            Err(error) => {
                setup.failed(error.failure());
                Err(error)
            }
        }
    }

    async fn found(sink: &Sink, provision: bool) -> Result<(Self, String), RunError> {
        let endpoint = ensure_engine(sink, provision).await?;
        if provision && endpoint.is_local() {
            install::ensure_inotify(sink)?;
        }
        let engine = Engine::connect(&endpoint).await?;
        let facts = engine.facts();
        let (errors, warnings): (Vec<Finding>, Vec<Finding>) =
            findings(&engine).into_iter().partition(|it| it.severity == Severity::Error);
        for finding in warnings {
            sink.warn(format!("{}; {}", finding.what, finding.fix));
        }
        if let Some(finding) = errors.into_iter().next() {
            return Err(RunError::Machine { what: finding.what, fix: finding.fix });
        }
        let words = format!("{} on {}, cgroup v{}", facts.version, facts.os, facts.cgroup_version);
        Ok((Self { engine }, words))
    }
}

/// Returns an error if so little space is free on the engine's disk that no verdict can be trusted.
pub(super) fn full_disk(engine: &Engine) -> Option<RunError> {
    let finding = preflight::full(engine.facts(), &engine.disk()?)?;
    Some(RunError::Machine { what: finding.what, fix: finding.fix })
}

/// The problems of this engine's machine that would make a run fail.
pub fn findings(engine: &Engine) -> Vec<Finding> {
    let needs = Needs {
        privileged: true,
        free_disk_bytes: FREE_DISK_BYTES,
        memory_bytes: MEMORY_BYTES,
        strict_kubernetes_minor: None,
        clusters: CLUSTERS,
    };
    preflight(engine.facts(), &needs)
}

/// Returns the engine's endpoint. If no engine answers and `provision` is true, an engine is installed and started
/// first.
pub async fn ensure_engine(sink: &Sink, provision: bool) -> Result<Endpoint, RunError> {
    Ok(install::ensure_engine(provision, &RealSurroundings, sink).await?)
}

/// Finds the toolchains for image recipes. Missing toolchains are installed if `provision` allows it.
#[derive(Debug)]
pub(crate) struct Toolchains {
    pub(crate) provision: bool,
    pub(crate) sink: Sink,
}

impl Tools for Toolchains {
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<std::path::PathBuf, String>> {
        Box::pin(async move {
            let found = parallax_provision::ensure_tool(tool, Use::Recipe, self.provision, &self.sink).await;
            found.map_err(|error| error.to_string())
        })
    }
}
