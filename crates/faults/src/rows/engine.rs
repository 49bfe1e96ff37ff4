//! A restart of the engine during a run, and a full disk of the engine. Each row starts an engine of its own in
//! namespaces of its own. Therefore the fault affects no other run, and no firewall rule of the machine's engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::node::ASKS;
use crate::bench::Bench;
use crate::left;
use crate::project::{Project, Run, eventually, ran};
use crate::row::{Row, Seen};

/// The time limit for the engine to end. An engine stops its containers before it ends, and each container may take up
/// to ten seconds.
const STOPS_WITHIN: Duration = Duration::from_mins(1);
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// The script of the process that keeps the namespaces alive. It mounts an empty `/run`, which hides the sockets of the
/// machine's engine in these namespaces.
const HOLD: &str = "ip link set lo up && mount -t tmpfs tmpfs /run && echo held && exec sleep infinity";

/// The same script with a file system in memory as the engine's disk. A run needs 3 GiB of free space before it starts.
const HOLD_DISK: &str = "ip link set lo up && mount -t tmpfs tmpfs /run && mkdir \"$DATA\" && \
                         mount -t tmpfs -o size=7g,mode=700 tmpfs \"$DATA\" && echo held && exec sleep infinity";
/// The script that fills the engine's disk, except for a number of bytes.
const FILL: &str = "fallocate --length $(($(stat --file-system --format='%a * %S' \"$0\") - $1)) \"$0/fills\"";
/// The number of bytes that stay free on the full disk. They are enough to end the run, and too few for a store.
const LEFT_FREE: &str = "268435456";

pub(super) fn rows() -> [Row; 2] {
    [
        Row {
            name: "engine-restarted",
            fault: "The engine is restarted, which ends every container",
            code: Some(3),
            says: &["nothing is said about the system under test", "(exit 3,", "0 passed, 1 failed, 0 skipped"],
            run: |bench, _| {
                during(bench, HOLD, |engine, project| {
                    engine.stop()?;
                    engine.begin(project)
                })
            },
        },
        Row {
            name: "engine-disk",
            fault: "The engine's disk is full",
            code: Some(3),
            says: &[
                "no verdict, because the disk is full",
                "docker system df",
                "(exit 3,",
                "0 passed, 1 failed, 0 skipped",
            ],
            run: |bench, _| {
                during(bench, HOLD_DISK, |engine, project| {
                    let mut fill = engine.within(project);
                    fill.args(["sh", "-c", FILL]).arg(engine.data()).arg(LEFT_FREE);
                    let (code, said) = ran(fill)?;
                    ensure!(code == Some(0), "the disk was not filled: {said}");
                    Ok(())
                })
            },
        },
    ]
}

/// Runs a scenario on an engine of its own, and causes the fault between two steps of the flow. The script `hold`
/// prepares the engine's namespaces.
fn during(bench: &Bench, hold: &str, fault: impl FnOnce(&mut Engine, &Project) -> Result<()>) -> Result<Vec<Seen>> {
    let project = Project::of("asks", ASKS)?;
    let mut engine = Engine::start(&project, hold)?;
    let parallax = |engine: &Engine, args: &[&str]| {
        let mut command = engine.within(&project);
        command.arg(&bench.program).args(args).env("DOCKER_HOST", &engine.host);
        command
    };
    let mut run = Run::start(parallax(&engine, &["e2e", "--k3s", "built"]), &project)?;
    run.wait_for_step("step-ended", "begun")?;
    fault(&mut engine, &project)?;
    let id = run.id.clone();
    let mut seen = run.end("between two steps of a flow")?;
    // If the run found no engine when it removed its objects, the run reports the remaining objects. `gc` must then
    // remove these objects.
    let (code, said) = ran(parallax(&engine, &["gc"]))?;
    if code != Some(0) {
        seen.wrong.push(format!("`gc` ended with {code:?}: {said}"));
    }
    seen.left = left::objects_by(&id, |args| engine.docker(args))?;
    seen.left.extend(left::processes(&id));
    if !left::is_swept(&project.state(), &id) {
        seen.left.insert(format!("ledger of run {id}"));
    }
    engine.stop()?;
    Ok(vec![seen])
}

/// An engine in namespaces of its own. Dropping this value ends the namespaces.
struct Engine {
    namespaces: Child,
    process: Option<Child>,
    host: String,
    folder: PathBuf,
}

impl Engine {
    fn start(project: &Project, hold: &str) -> Result<Self> {
        let folder = project.path("engine");
        std::fs::create_dir_all(&folder)?;
        let holds = folder.join("holds");
        let mut command = project.within(&["--mount", "--net"], hold);
        command.env("DATA", folder.join("data"));
        let namespaces = command.stdout(File::create(&holds)?).spawn().context("failed to start unshare")?;
        let host = format!("unix://{}", folder.join("docker.sock").display());
        let mut engine = Self { namespaces, process: None, host, folder };
        let is_ready = eventually(ANSWERS_WITHIN, || std::fs::read_to_string(&holds).is_ok_and(|it| it == "held\n"));
        ensure!(is_ready, "no namespaces of its own for an engine");
        engine.begin(project)?;
        Ok(engine)
    }

    /// Returns a command of the project in the namespaces. The caller adds the program and its arguments.
    fn within(&self, project: &Project) -> Command {
        let mut command = project.command("nsenter");
        let holder = self.namespaces.id().to_string();
        command.args(["--target", &holder, "--mount", "--net", "sh", "-c", "cd \"$FOLDER\" && exec \"$@\"", "sh"]);
        command.env("FOLDER", project.path(""));
        command
    }

    /// Starts the engine, and waits until the engine answers.
    fn begin(&mut self, project: &Project) -> Result<()> {
        let log = self.folder.join("log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = self.within(project);
        command.args(["dockerd", "--exec-root", "/run/parallax-faults", "--pidfile", "/run/parallax-faults.pid"]);
        command.arg("--data-root").arg(self.data()).args(["--host", &self.host]);
        let spawned = command.stdout(file.try_clone()?).stderr(file).spawn();
        self.process = Some(spawned.context("failed to start nsenter")?);
        if !eventually(ANSWERS_WITHIN, || self.docker(&["version"]).is_ok()) {
            bail!("an engine of its own does not answer:\n{}", last_lines(&log));
        }
        Ok(())
    }

    /// The folder in which the engine keeps images and containers.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Ends the engine with SIGTERM, as its service manager does.
    fn stop(&mut self) -> Result<()> {
        let Some(mut engine) = self.process.take() else { return Ok(()) };
        kill_process(Pid::from_child(&engine), Signal::TERM).context("failed to end the engine")?;
        let ended = eventually(STOPS_WITHIN, || engine.try_wait().is_ok_and(|it| it.is_some()));
        if !ended {
            drop(engine.kill());
            drop(engine.wait());
        }
        Ok(())
    }

    /// Runs the engine's client against the engine of this row.
    fn docker(&self, args: &[&str]) -> Result<String> {
        left::docker(&[&["--host", &self.host], args].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop());
        drop(self.namespaces.kill());
        drop(self.namespaces.wait());
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
