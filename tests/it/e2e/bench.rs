//! What the tests stand on: a copy of the project, a run as a child process, the engine's complete lists.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use parallax_vocab::event::{Failure, Outcome, StepEnded};
use parallax_vocab::{Event, EventKind};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::engine::bench::docker;

/// Longer than any run here takes on a busy machine.
const RUN_WITHIN: Duration = Duration::from_mins(4);
/// Between two looks at what another process does and nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A flow that stands still until somebody makes the ConfigMap `gate`, or the run is ended.
pub(super) const HELD: &str = r"name: held
summary: A flow that waits until it is let go
vantages:
  app: { pod: {} }
flow:
  - { id: gate, resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } } }
";

/// Says once that nothing was tested, where the caller's environment says that there is no engine.
pub(super) fn no_engine() -> bool {
    let none = std::env::var_os("PARALLAX_TEST_NO_ENGINE").is_some();
    if none {
        eprintln!("NOT TESTED: PARALLAX_TEST_NO_ENGINE is set, so nothing here meets a real engine");
    }
    none
}

/// Room for runs, given back on drop.
pub(super) struct Room(usize);

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// Clusters at once, in this process.
const ROOMS: usize = 2;

/// Waits until so many runs may begin.
pub(super) fn room(runs: usize) -> Room {
    let (taken, freed) = &TAKEN;
    let guard = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut guard = freed.wait_while(guard, |taken| *taken + runs > ROOMS).unwrap();
    *guard += runs;
    Room(runs)
}

impl Drop for Room {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= self.0;
        TAKEN.1.notify_all();
    }
}

/// A copy of the project, with state of its own.
pub(super) struct Project {
    folder: TempDir,
}

impl Project {
    /// Fixtures and images as they are, and no scenario.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["fixtures", "images"] {
            copy(&ours.join(part), &folder.path().join(part));
        }
        fs::create_dir(folder.path().join("scenarios")).unwrap();
        Self { folder }
    }

    /// With the flow that stands still.
    pub(super) fn held() -> Self {
        let project = Self::new();
        project.scenario("held", HELD);
        project
    }

    /// With the scenario that the project is about.
    pub(super) fn presigned_url() -> Self {
        let project = Self::new();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/presign/presigned-url");
        copy(&ours, &project.path("scenarios/presign/presigned-url"));
        project
    }

    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub(super) fn scenario(&self, name: &str, text: &str) {
        let folder = self.path("scenarios").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("scenario.yaml"), text).unwrap();
    }

    /// Changes one place of one file; a text that is not there exactly once fails the test.
    pub(super) fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{file}: {from}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
    }

    /// `parallax` in this project, as a person would call it.
    pub(super) fn parallax(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("parallax"));
        command.args(args).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        for name in ["TESTCONTAINERS_COMMAND", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PARALLAX_COMMAND", "CI"] {
            command.env_remove(name);
        }
        command
    }

    /// A cache of this project's own that begins with everything that the user's has: what is made here goes with it.
    pub(super) fn own_cache(&self) -> PathBuf {
        let cache = self.path("cache");
        link_cache(&cache);
        cache
    }

    /// Starts `parallax e2e`.
    pub(super) fn e2e(&self, args: &[&str]) -> Run {
        let mut command = self.parallax(&["e2e"]);
        command.args(args);
        Run::start(command, self)
    }

    /// Whether the run's reaper has swept, or the run itself has closed.
    pub(super) fn is_swept(&self, run: &str) -> bool {
        let folder = self.path("state/parallax/runs").join(run);
        !folder.exists() || folder.join("swept").exists()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Links of everything in the user's cache.
pub(super) fn link_cache(cache: &Path) {
    let users = parallax_images::Cache::open().unwrap();
    for folder in ["layers", "images"] {
        fs::create_dir_all(cache.join(folder)).unwrap();
        for entry in fs::read_dir(users.root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            std::os::unix::fs::symlink(entry.path(), cache.join(folder).join(entry.file_name())).unwrap();
        }
    }
}

/// A run under way. Dropping it kills it, and its reaper cleans.
pub(super) struct Run {
    child: Child,
    /// Its id.
    pub(super) id: String,
    lines: Receiver<String>,
    heard: Vec<String>,
    stdout: Option<std::thread::JoinHandle<String>>,
    directory: PathBuf,
}

impl Run {
    /// Starts a prepared command and reads the run's id from its first line.
    pub(super) fn start(mut command: Command, project: &Project) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody may listen any more; the pipe must be read all the same.
                let _ = said.send(line);
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let mut run = Self {
            child,
            id: String::new(),
            lines,
            heard: Vec::new(),
            stdout: Some(stdout),
            directory: project.path("target/e2e"),
        };
        let first = run.wait_for(", record in ");
        first.split_whitespace().nth(2).unwrap().clone_into(&mut run.id);
        run.directory.push(&run.id);
        run
    }

    /// Waits for a line that holds `part`.
    pub(super) fn wait_for(&mut self, part: &str) -> String {
        let deadline = Instant::now() + RUN_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part:?} came:\n{}", self.heard.join("\n"));
            };
            self.heard.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until the record holds a step's end.
    pub(super) fn wait_for_step(&self, step: &str) {
        eventually(&format!("the end of step {step}"), || {
            self.events()
                .iter()
                .any(|event| matches!(&event.event, EventKind::StepEnded(it) if it.step.as_str() == step))
        });
    }

    /// Waits until the record holds so many ends of steps of that name.
    pub(super) fn wait_for_steps(&self, step: &str, count: usize) {
        eventually(&format!("{count} ends of step {step}"), || {
            let ended = |event: &&Event| matches!(&event.event, EventKind::StepEnded(it) if it.step.as_str() == step);
            self.events().iter().filter(ended).count() >= count
        });
    }

    pub(super) fn events(&self) -> Vec<Event> {
        parallax_record::read(&self.directory).unwrap_or_default()
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> Ended {
        let deadline = Instant::now() + RUN_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the run did not end:\n{}", self.heard.join("\n"));
            std::thread::sleep(LOOK_AGAIN);
        };
        let stdout = self.stdout.take().unwrap().join().unwrap();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.heard.push(line);
        }
        Ended {
            code: status.code(),
            stdout,
            stderr: self.heard.join("\n"),
            events: self.events(),
            directory: self.directory.clone(),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// None after a signal.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) events: Vec<Event>,
    /// The run's folder.
    pub(super) directory: PathBuf,
}

impl Ended {
    #[track_caller]
    pub(super) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
    }

    #[track_caller]
    pub(super) fn assert_says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stdout.contains(part), "{part:?} is not in:\n{}", self.stdout);
        }
    }

    /// How a part of the environment ended: detail, duration, and why it failed.
    #[track_caller]
    pub(super) fn setup(&self, wanted: &str) -> (&str, Duration, Option<&Failure>) {
        let found = self.events.iter().find_map(|event| match &event.event {
            EventKind::SetupEnded { id, took_ms, detail, error } if id == wanted => {
                Some((detail.as_str(), Duration::from_millis(*took_ms), error.as_ref()))
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no set-up {wanted}:\n{}", self.stderr))
    }

    pub(super) fn outcome(&self, variant: &str) -> &Outcome {
        let found = self.events.iter().find_map(|event| match &event.event {
            EventKind::VariantEnded(ended) if ended.variant.as_str() == variant => Some(&ended.outcome),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no end of {variant}:\n{}", self.stderr))
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &StepEnded> {
        self.events.iter().filter_map(|event| match &event.event {
            EventKind::StepEnded(step) => Some(step.as_ref()),
            _ => None,
        })
    }
}

/// Waits for what another process does: there is nothing to await but its effect.
#[track_caller]
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The engine's complete lists of containers, networks and volumes, as `KIND NAME`, without what carries the label of
/// a run that is not among `ours`: others may use the engine at the same time.
pub(super) fn lists(ours: &[&str]) -> BTreeSet<String> {
    let label = "{{.Label \"io.parallax.run\"}}";
    let lists = [
        ("container", vec!["ps", "--all", "--no-trunc", "--format"], "{{.Names}}"),
        ("network", vec!["network", "ls", "--format"], "{{.Name}}"),
        ("volume", vec!["volume", "ls", "--format"], "{{.Name}}"),
    ];
    let mut found = BTreeSet::new();
    for (kind, mut args, name) in lists {
        let format = format!("{name} {label}");
        args.push(&format);
        for line in docker(&args).lines() {
            let (name, run) = line.split_once(' ').unwrap_or((line, ""));
            if run.is_empty() || ours.contains(&run) {
                found.insert(format!("{kind} {name}"));
            }
        }
    }
    found
}
