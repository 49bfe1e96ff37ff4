//! Support for the end-to-end tests: a copy of the project, a run as a child process, and the complete lists of the
//! container engine's objects.

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

/// The time limit of a run. It is longer than any run of these tests takes on a busy machine.
const RUN_TIMEOUT: Duration = Duration::from_mins(8);
/// The interval at which the state of another process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A scenario whose flow waits until the ConfigMap `gate` exists, for at most three minutes. During this time, a test
/// can examine or interrupt the run.
pub(super) const HELD: &str = r"name: held
summary: A flow that waits until it is let go
vantages:
  app: { pod: {} }
flow:
  - { id: gate, resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } } }
";

/// Whether the caller's environment says that there is no container engine. In that case, this function also prints
/// that nothing was tested.
pub(super) fn no_engine() -> bool {
    let none = std::env::var_os("PARALLAX_TEST_NO_ENGINE").is_some();
    if none {
        eprintln!("NOT TESTED: PARALLAX_TEST_NO_ENGINE is set, so no test uses a real container engine");
    }
    none
}

/// A reservation for a number of runs. Dropping the value releases the reservation.
pub(super) struct Reservation(usize);

static RESERVED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// The largest number of runs at the same time in this process. Each run has a cluster. The tests wait more than they
/// compute, so the limit is above the two processors that CI has.
const RUN_LIMIT: usize = 3;

/// Waits until `runs` more runs may be in progress, and reserves them.
pub(super) fn reserve(runs: usize) -> Reservation {
    let (reserved, freed) = &RESERVED;
    let guard = reserved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut guard = freed.wait_while(guard, |reserved| *reserved + runs > RUN_LIMIT).unwrap();
    *guard += runs;
    Reservation(runs)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *RESERVED.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= self.0;
        RESERVED.1.notify_all();
    }
}

/// A project in a temporary folder, with copies of the repository's fixtures and images, and with a state folder of its
/// own.
pub(super) struct Project {
    folder: TempDir,
}

impl Project {
    /// Returns a project with the repository's fixtures and images, and without scenarios.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["fixtures", "images"] {
            copy(&ours.join(part), &folder.path().join(part));
        }
        fs::create_dir(folder.path().join("scenarios")).unwrap();
        Self { folder }
    }

    /// Returns a project with the scenario [`HELD`].
    pub(super) fn held() -> Self {
        let project = Self::new();
        project.scenario("held", HELD);
        project
    }

    /// Returns a project with the scenario `presign/presigned-url`.
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

    /// Replaces a text in a file. The test fails unless the text occurs exactly once.
    pub(super) fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{file}: {from}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
    }

    /// Returns a command that runs `parallax` in this project. Variables that a CI service or a test sets are
    /// removed, so that the output is the same as for a person.
    pub(super) fn parallax(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("parallax"));
        command.args(args).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        for name in ["TESTCONTAINERS_COMMAND", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PARALLAX_COMMAND", "CI"] {
            command.env_remove(name);
        }
        command
    }

    /// Creates a cache for this project. At first, the cache contains links to the entries of the user's cache. New
    /// entries are deleted with the project.
    pub(super) fn own_cache(&self) -> PathBuf {
        let cache = self.path("cache");
        link_cache(&cache);
        cache
    }

    /// Starts `parallax e2e` with these arguments.
    pub(super) fn e2e(&self, args: &[&str]) -> Run {
        let mut command = self.parallax(&["e2e"]);
        command.args(args);
        Run::start(command, self)
    }

    /// Whether the objects of the run were removed, either by the run's reaper or by the run itself.
    pub(super) fn is_swept(&self, run: &str) -> bool {
        let folder = self.path("state/parallax/runs").join(run);
        !folder.exists() || folder.join("swept").exists()
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
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

/// Gives a cache the same content as the user's cache. A cache refuses symbolic links, so the files are hard links, or
/// copies on another file system.
fn link_cache(cache: &Path) {
    let users = parallax_images::Cache::open().unwrap();
    for folder in ["layers", "images"] {
        fs::create_dir_all(cache.join(folder)).unwrap();
        for entry in fs::read_dir(users.root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let to = cache.join(folder).join(entry.file_name());
            fs::hard_link(entry.path(), &to).or_else(|_| fs::copy(entry.path(), &to).map(drop)).unwrap();
        }
    }
}

/// A run in progress. Dropping this value kills the run, and the run's reaper then removes the run's objects.
pub(super) struct Run {
    child: Child,
    pub(super) id: String,
    lines: Receiver<String>,
    stderr_lines: Vec<String>,
    stdout: Option<std::thread::JoinHandle<String>>,
    directory: PathBuf,
}

impl Run {
    /// Starts a prepared command, and reads the run's id from the output line with the path of the record.
    pub(super) fn start(mut command: Command, project: &Project) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The receiver may no longer exist, so an error is ignored. The thread must still read the pipe,
                // because the harness stops at a full pipe.
                let _ = sender.send(line);
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
            stderr_lines: Vec::new(),
            stdout: Some(stdout),
            directory: project.path("target/e2e"),
        };
        let first = run.wait_for(", record in ");
        first.split_whitespace().nth(2).unwrap().clone_into(&mut run.id);
        run.directory.push(&run.id);
        run
    }

    /// Waits for a line of standard error that contains `part`.
    pub(super) fn wait_for(&mut self, part: &str) -> String {
        let deadline = Instant::now() + RUN_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part:?} came:\n{}", self.stderr_lines.join("\n"));
            };
            self.stderr_lines.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until the record contains the end of a step.
    pub(super) fn wait_for_step(&self, step: &str) {
        eventually(&format!("the end of step {step}"), || {
            self.events()
                .iter()
                .any(|event| matches!(&event.event, EventKind::StepEnded(it) if it.step.as_str() == step))
        });
    }

    /// Waits until the record contains `count` ends of the step `step`. A step in a `repeat` ends once in each round.
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

    /// Waits for the end of the run, and reads its output and its record.
    pub(super) fn end(mut self) -> Ended {
        let deadline = Instant::now() + RUN_TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the run did not end:\n{}", self.stderr_lines.join("\n"));
            std::thread::sleep(POLL_INTERVAL);
        };
        let stdout = self.stdout.take().unwrap().join().unwrap();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.stderr_lines.push(line);
        }
        Ended {
            code: status.code(),
            stdout,
            stderr: self.stderr_lines.join("\n"),
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

/// A run that has ended, with its exit code, its output and its record.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code. It is `None` if a signal ended the process.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) events: Vec<Event>,
    /// The folder of the run, with its record and its reports.
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

    /// Returns the detail, the duration and the failure of the set-up step with the id `wanted`.
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

/// Waits for an effect of another process. No event reports the effect, so this function polls.
#[track_caller]
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Returns the complete lists of the engine's containers, networks and volumes, as `KIND NAME`. Objects of other tests
/// and of runs that are not in `ours` are left out, because others may use the engine at the same time.
pub(super) fn lists(ours: &[&str]) -> BTreeSet<String> {
    let label = "{{.Label \"io.parallax.run\"}}{{.Label \"io.parallax.test\"}}";
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
