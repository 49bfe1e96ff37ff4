//! Runs the harness on generated projects.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::processes::{Seen, Watch};
use crate::record::Record;

/// The `parallax` program whose runs are measured.
#[derive(Debug)]
pub(crate) struct Harness {
    program: PathBuf,
}

/// A run of `parallax e2e` that has ended: its duration, its record, and its use of processors and memory.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) record: Record,
    pub(crate) seen: Seen,
}

impl Harness {
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("failed to find {}", program.display()))?;
        Ok(Self { program })
    }

    /// Returns a command that runs the harness in a project.
    pub(crate) fn command(&self, project: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(project).stdin(Stdio::null());
        command
    }

    /// Runs `parallax e2e` in a project to its end. This function succeeds even if the run did not pass; the record of
    /// the returned run shows whether it passed.
    pub(crate) fn e2e(&self, project: &Path, args: &[String]) -> Result<Run> {
        let began = Instant::now();
        let mut command = self.command(project);
        let mut child = command.arg("e2e").args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", self.program.display()))?;
        let watch = Watch::begin(child.id());
        let status = child.wait();
        let seen = watch.end();
        status.context("the harness cannot be waited for")?;
        let took = began.elapsed();
        Ok(Run { took, record: Record::read(&project.join("target/e2e/latest/record.jsonl"))?, seen })
    }

    /// Does the same as [`Self::e2e`], but fails unless all variants passed, because the times of failed runs cannot be
    /// compared.
    pub(crate) fn passing_e2e(&self, project: &Path, args: &[String]) -> Result<Run> {
        let run = self.e2e(project, args)?;
        let failed = run.record.failed();
        ensure!(failed.is_empty() && run.record.variants() > 0, "these variants did not pass: {}", failed.join(", "));
        Ok(run)
    }

    /// Runs `parallax down`, which removes what the run with the id `run` has kept (`--keep`).
    pub(crate) fn down(&self, project: &Path, run: &str) -> Result<()> {
        let output = self.command(project).args(["down", run]).output().context("`parallax down`")?;
        ensure!(output.status.success(), "`parallax down {run}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// A project of scenarios in a temporary folder. The folder is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("parallax-bench-").tempdir().context("no temporary folder")?;
        Ok(Self { folder })
    }

    /// Returns a project with `count` scenarios that differ only in their names. `text` returns the YAML of the
    /// scenario with a given name.
    pub(crate) fn scenarios(count: u32, text: impl Fn(&str) -> String) -> Result<Self> {
        let project = Self::new()?;
        for number in 0..count {
            let name = format!("s{number}");
            project.scenario(&format!("area-{}/{name}", number % 10), &text(&name))?;
        }
        Ok(project)
    }

    pub(crate) fn scenario(&self, path: &str, text: &str) -> Result<()> {
        let folder = self.path().join("scenarios").join(path);
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join("scenario.yaml"), text))?;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Returns a scenario that creates one pod and waits until the pod runs.
pub(crate) fn one_pod(name: &str) -> String {
    format!(
        r"name: {name}
summary: A pod runs
flow:
  - id: pod
    apply:
      objects:
        - apiVersion: v1
          kind: Pod
          metadata: {{ name: pause }}
          spec:
            terminationGracePeriodSeconds: 0
            containers: [{{ name: pause, image: pause, imagePullPolicy: IfNotPresent }}]
  - id: running
    resource: {{ api-version: v1, kind: Pod, name: pause }}
    expect: {{ object: {{ status: {{ phase: Running }} }} }}
    eventually: 90s
"
    )
}

/// Formats a duration in seconds.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
