//! A restart of the engine during a run. This row starts an engine of its own in namespaces of its own, so that the
//! restart affects no other run and no firewall rule of the machine's engine.

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
/// The script of the process that holds the namespaces. It mounts an empty `/run`, which hides the sockets of the
/// machine's engine in these namespaces.
const HOLD: &str = "ip link set lo up && mount -t tmpfs tmpfs /run && echo held && exec sleep infinity";

pub(super) fn rows() -> [Row; 1] {
    [Row {
        name: "engine-restarted",
        fault: "The engine is restarted, which ends every container",
        code: Some(3),
        says: &["nothing is said about the system under test", "(exit 3,", "0 passed, 1 failed, 0 skipped"],
        run: |bench, _| restarted(bench),
    }]
}

fn restarted(bench: &Bench) -> Result<Vec<Seen>> {
    let project = Project::of("asks", ASKS)?;
    let mut engine = Engine::start(&project)?;
    let parallax = |engine: &Engine, args: &[&str]| {
        let mut command = engine.within(&project);
        command.arg(&bench.program).args(args).env("DOCKER_HOST", &engine.host);
        command
    };
    let mut run = Run::start(parallax(&engine, &["e2e", "--k3s", "built"]), &project)?;
    run.wait_for_step("step-ended", "begun")?;
    engine.stop()?;
    engine.begin(&project)?;
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
    fn start(project: &Project) -> Result<Self> {
        let folder = project.path("engine");
        std::fs::create_dir_all(&folder)?;
        let holds = folder.join("holds");
        let mut command = project.within(&["--mount", "--net"], HOLD);
        let namespaces = command.stdout(File::create(&holds)?).spawn().context("failed to start unshare")?;
        let host = format!("unix://{}", folder.join("docker.sock").display());
        let mut engine = Self { namespaces, process: None, host, folder };
        let held = eventually(ANSWERS_WITHIN, || std::fs::read_to_string(&holds).is_ok_and(|it| it == "held\n"));
        ensure!(held, "no namespaces of its own for an engine");
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
        command.arg("--data-root").arg(self.folder.join("data")).args(["--host", &self.host]);
        let spawned = command.stdout(file.try_clone()?).stderr(file).spawn();
        self.process = Some(spawned.context("failed to start nsenter")?);
        if !eventually(ANSWERS_WITHIN, || self.docker(&["version"]).is_ok()) {
            bail!("an engine of its own does not answer:\n{}", last_lines(&log));
        }
        Ok(())
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
