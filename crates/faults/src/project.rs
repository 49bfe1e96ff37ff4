//! A project for a single row of the table of faults, and the runs in that project.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::left;
use crate::row::Seen;

/// The time limit for one run. It is longer than any run of a row takes on a busy machine.
const RUN_WITHIN: Duration = Duration::from_mins(5);
/// The interval between two checks whether an effect of another process has occurred.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A folder with scenarios, its own ledgers, and the reports of its runs.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// Creates a project with one scenario. `text` is the YAML of the scenario.
    pub(crate) fn of(name: &str, text: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("parallax-faults-").tempdir().context("no temporary folder")?;
        let project = Self { folder };
        let scenario = project.path("scenarios").join(name);
        fs::create_dir_all(&scenario).and_then(|()| fs::write(scenario.join("scenario.yaml"), text))?;
        Ok(project)
    }

    /// Copies the repository's image recipes into the project, so that a row can change them.
    pub(crate) fn own_images(&self) -> Result<()> {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images"), &self.path("images"))
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Returns the folder of the ledgers of the project's runs.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Returns a command that runs a program in this project with the project's own ledgers. The command does not get
    /// the caller's environment variables for terminals and CI, because such variables change what the harness prints
    /// and writes.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.state()).stdin(Stdio::null());
        for name in ["TESTCONTAINERS_COMMAND", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PARALLAX_COMMAND", "CI"] {
            command.env_remove(name);
        }
        command
    }

    /// Returns a command that runs `parallax` with these arguments.
    pub(crate) fn parallax(&self, bench: &Bench, args: &[&str]) -> Command {
        let mut command = self.command(&bench.program);
        command.args(args);
        command
    }

    /// Starts `parallax e2e` with the source-built node image. This image is the same on every machine.
    pub(crate) fn e2e(&self, bench: &Bench, args: &[&str]) -> Result<Run> {
        Run::start(self.parallax(bench, &[E2E, args].concat()), self)
    }

    /// Returns a command that runs `parallax e2e` in a mount namespace of its own. There, a small file system of the
    /// size `size` is mounted at `at`. `prepare` is shell code that runs before `parallax`.
    pub(crate) fn e2e_on_small(&self, bench: &Bench, at: &Path, size: &str, prepare: &str) -> Result<Command> {
        fs::create_dir_all(at)?;
        let script = format!("mount -t tmpfs -o size={size},mode=700 tmpfs \"$AT\" && {prepare} exec \"$@\"");
        let mut command = self.within(&["--mount"], &script);
        command.env("AT", at).arg(&bench.program).args(E2E);
        Ok(command)
    }

    /// Returns a command that runs a shell script in namespaces of its own. The caller adds the program and its
    /// arguments to the command. Therefore the script must end with `exec "$@"`, which starts this program.
    pub(crate) fn within(&self, namespaces: &[&str], script: &str) -> Command {
        let mut command = self.command("unshare");
        command.args(namespaces).args(["--propagation", "private", "sh", "-c", script, "sh"]);
        command
    }
}

/// The arguments with which every run of a row starts: `e2e` with the source-built node image.
const E2E: &[&str] = &["e2e", "--k3s", "built"];

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A run in progress. Dropping this value kills the run, and the run's reaper then removes the run's objects.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    pub(crate) id: String,
    lines: Receiver<String>,
    heard: Vec<String>,
    stdout: Option<JoinHandle<String>>,
    state: PathBuf,
    folder: PathBuf,
}

impl Run {
    /// Starts a prepared command, and reads the run's id from its first lines.
    pub(crate) fn start(mut command: Command, project: &Project) -> Result<Self> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("failed to start {}", command.get_program().display()))?;
        let (said, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    // The receiver may no longer exist, so an error is ignored. The thread must still read the pipe,
                    // because the harness blocks on a full pipe.
                    drop(said.send(line));
                }
            });
        }
        let stdout = child.stdout.take().map(|stdout| std::thread::spawn(move || read(stdout)));
        let mut run = Self {
            child,
            id: String::new(),
            lines,
            heard: Vec::new(),
            stdout,
            state: project.state(),
            folder: project.path("target/e2e"),
        };
        let first = run.wait_for(", record in ")?;
        first.split_whitespace().nth(2).unwrap_or_default().clone_into(&mut run.id);
        ensure!(run.id.len() == 9, "{first:?} names no run");
        run.folder.push(&run.id);
        Ok(run)
    }

    /// Waits for a line of the run's output that contains `part`, and returns the line. The time limit is
    /// [`RUN_WITHIN`].
    pub(crate) fn wait_for(&mut self, part: &str) -> Result<String> {
        let deadline = Instant::now() + RUN_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.map_err(|_| anyhow!("no line with {part:?} came:\n{}", self.heard.join("\n")))?;
            self.heard.push(line.clone());
            if line.contains(part) {
                return Ok(line);
            }
        }
    }

    /// Whether the record contains an event of a step, for example `step-ended`. The record has no event for the start
    /// of a step, because only the live display shows the start.
    pub(crate) fn has(&self, event: &str, step: &str) -> bool {
        let text = fs::read_to_string(self.folder.join("record.jsonl")).unwrap_or_default();
        // The harness may still be writing the last line, so a line that is not valid JSON is skipped.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut of_step = events.filter(|it| it["event"][event]["step"] == step);
        of_step.next().is_some()
    }

    /// Waits until the record contains an event of a step. Fails if the event does not come in time.
    pub(crate) fn wait_for_step(&mut self, event: &str, step: &str) -> Result<()> {
        let came = eventually(Duration::from_mins(3), || self.has(event, step));
        ensure!(came, "{event} of {step} did not come:\n{}", self.said_so_far());
        Ok(())
    }

    /// Returns the lines that the run has printed so far, for an error message.
    fn said_so_far(&mut self) -> String {
        self.heard.extend(self.lines.try_iter());
        self.heard.join("\n")
    }

    /// Returns the number of entries in the run's ledger.
    pub(crate) fn entries(&self) -> usize {
        let text = fs::read_to_string(left::ledger(&self.state, &self.id).join("ledger.jsonl"));
        text.map_or(0, |text| text.matches('\n').count())
    }

    /// Returns the engine's name for the node of the run's only cluster.
    pub(crate) fn node(&self) -> Result<String> {
        let label = format!("label=io.parallax.run={}", self.id);
        let what = "label=io.parallax.what=c1-node";
        let name = left::docker(&["ps", "--filter", &label, "--filter", what, "--format", "{{.Names}}"])?;
        ensure!(!name.trim().is_empty(), "the run has no node");
        Ok(name.trim().to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("failed to signal the harness")
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until the run has ended, and then until its output is closed. A reaper can keep the output open, so the
    /// second wait also ends when nothing was printed for five seconds. Then finds what the run left behind. If a
    /// signal ended the run, this function does not look for leftovers, because the reaper may still remove objects.
    /// `when` says at which moment the fault was caused.
    pub(crate) fn end(mut self, when: &str) -> Result<Seen> {
        let mut status = None;
        eventually(RUN_WITHIN, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        let Some(status) = status else { bail!("the run did not end:\n{}", self.said_so_far()) };
        let stdout = self.stdout.take().and_then(|it| it.join().ok()).unwrap_or_default();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.heard.push(line);
        }
        let text = format!("{}\n{stdout}", self.heard.join("\n"));
        let mut seen = Seen { when: when.to_owned(), code: status.code(), text: self.plain(&text), ..Seen::default() };
        if status.code().is_some() {
            seen.left = self.left()?;
        }
        Ok(seen)
    }

    /// Returns what exists of the run at this moment: its objects, its processes, and its ledger. The ledger is left
    /// out if it is gone, or if it shows that nothing of the run is left.
    pub(crate) fn left(&self) -> Result<std::collections::BTreeSet<String>> {
        let mut left = left::objects(&self.id)?;
        left.extend(left::processes(&self.id));
        if !left::is_swept(&self.state, &self.id) {
            left.insert(format!("ledger of run {}", self.id));
        }
        Ok(left)
    }

    /// Replaces the parts of a text that differ from run to run: the run's id, its folder and its times.
    pub(crate) fn plain(&self, text: &str) -> String {
        plain(text, &self.id, self.state.parent().unwrap_or(Path::new("/nowhere")))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for an effect of another process. No event reports the effect, so this function checks the condition
/// repeatedly. Returns whether the condition became true in time.
pub(crate) fn eventually(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        // No event reports when the condition becomes true, so the code polls.
        std::thread::sleep(LOOK_AGAIN);
    }
    true
}

/// Runs a command to its end. Returns its exit code and its complete output.
pub(crate) fn ran(mut command: Command) -> Result<(Option<i32>, String)> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("failed to start {}", command.get_program().display()))?;
    let said = [output.stderr, output.stdout].map(|it| String::from_utf8_lossy(&it).into_owned());
    Ok((output.status.code(), said.concat()))
}

fn read(mut from: impl Read) -> String {
    let mut text = Vec::new();
    // An error is ignored. The text that was read before the error is still returned.
    drop(from.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// Replaces the run's id, its folder and its times in a text.
fn plain(text: &str, id: &str, folder: &Path) -> String {
    let mut plain = String::new();
    let text = text.replace(id, "RUN").replace(&folder.display().to_string(), "PROJECT");
    for word in text.split_inclusive([' ', '\n']) {
        let (number, rest) = word.split_at(word.trim_end_matches([' ', '\n', ',', ')']).len());
        let digits = number.trim_start_matches('(');
        let is_time = digits.contains('.') && digits.parse::<f64>().is_ok();
        plain.push_str(if is_time { "…" } else { number });
        plain.push_str(rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_not_in_the_table() {
        let text =
            "run r12345678 failed after 3.2 s (exit 3, 14.6 s)\n  cannot write /tmp/x/state: ENOSPC at 10.43.0.1";
        let expected = "run RUN failed after … s (exit 3, … s)\n  cannot write PROJECT/state: ENOSPC at 10.43.0.1";
        assert_eq!(plain(text, "r12345678", Path::new("/tmp/x")), expected);
    }
}
