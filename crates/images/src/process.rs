//! Runs one step of a build: a command in its own process group, with a deadline. The last lines of its output are kept
//! for an error message. If the step is cancelled, none of its processes is left running.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncRead;
use tokio::process::Child;
use tokio::time::Instant;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::error::ImageError;
use parallax_engine::LineCutter;
use parallax_provision::bound_to_us;
use parallax_record::by_form;

/// The error of a failed step contains at most this many lines: the last lines that the command printed.
const LAST_LINES: usize = 15;
/// The length at which a line of output is cut. Compilers may print very long lines of generated code.
const LINE_LIMIT_BYTES: usize = 16 * 1024;
/// The largest number of lines of a step's output that are kept for its caller.
const OUTPUT_LIMIT_LINES: usize = 2_000;
/// The time for a command to end after SIGTERM, before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// The time for which the output of a command is still read after the command has ended. A child of the command may
/// keep the output open for longer.
const DRAIN: Duration = Duration::from_secs(2);

/// One command that builds a part of an image.
pub(super) struct Step<'a> {
    /// The name of the image that is being built.
    pub(super) image: &'a str,
    /// What the step does, as a part of a sentence, for example `go install example.com/x@v1`.
    pub(super) title: String,
    /// The command as error messages print it, without paths of the machine.
    pub(super) shown: String,
    /// The program that the command runs.
    pub(super) program: PathBuf,
    /// The arguments of the program.
    pub(super) arguments: Vec<OsString>,
    /// Environment variables of the command, in addition to those of the machine. The machine's variables are passed
    /// on, because they contain the addresses of proxies and registries.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// The folder in which the program runs; `None` for the present folder of this process.
    pub(super) folder: Option<PathBuf>,
    /// The file that receives the standard output. If it is `None`, each line of output is reported as progress.
    pub(super) output: Option<File>,
    /// The time limit of the command. After it, the command is stopped.
    pub(super) limit: Duration,
}

impl Step<'_> {
    /// Runs the command and waits for its end. Returns the lines that it printed. `say` receives each line at once, as
    /// progress.
    pub(super) async fn run(
        self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, ImageError> {
        let fault = |how: String, seen: &Seen| ImageError::Step {
            image: self.image.to_owned(),
            command: self.title.clone(),
            how,
            lines: std::iter::once(format!("$ {}", self.shown)).chain(seen.last.iter().cloned()).collect(),
        };
        let mut seen = Seen::default();
        let mut running = Running::start(&self, &mut seen).map_err(|error| fault(error, &Seen::default()))?;
        let deadline = Instant::now() + self.limit;
        let (out, err) = running.pipes();
        let mut lines = futures::stream::select(out, err);
        let ended = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    running.stop().await;
                    return Err(ImageError::Cancelled);
                }
                // This is the time limit of the program, not a pause.
                () = tokio::time::sleep_until(deadline) => {
                    running.stop().await;
                    return Err(fault(format!("took longer than {} s", self.limit.as_secs()), &seen));
                }
                Some(line) = lines.next() => seen.take(&line, say),
                ended = running.child.wait() => break ended,
            }
        };
        let drained = tokio::time::timeout(DRAIN, async {
            while let Some(line) = lines.next().await {
                seen.take(&line, say);
            }
        });
        let held_open = drained.await.is_err();
        match ended {
            Ok(status) if status.success() => {
                // A process that the command started may still run and keep the output open, for example a key agent
                // that apt started. Nobody needs this process. So in this case `group` stays set, and the process group
                // is killed when `running` is dropped.
                if !held_open {
                    running.group = None;
                }
                Ok(seen.all)
            }
            Ok(status) => Err(fault(in_words(status), &seen)),
            Err(error) => Err(fault(format!("was lost: {error}"), &seen)),
        }
    }
}

type Lines = futures::stream::BoxStream<'static, String>;

/// A running command. When this value is dropped, the whole process group of the command is killed at once.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn start(step: &Step<'_>, seen: &mut Seen) -> Result<Self, String> {
        // Otherwise, a build could run on for minutes although nobody needs its result.
        let mut command = bound_to_us(&step.program);
        command.args(&step.arguments).envs(step.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &step.folder {
            command.current_dir(folder);
        }
        let output = match &step.output {
            Some(file) => Stdio::from(file.try_clone().map_err(|error| format!("has no output: {error}"))?),
            None => Stdio::piped(),
        };
        seen.keep_all = step.output.is_none();
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| format!("could not start: {error}"))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    fn pipes(&mut self) -> (Lines, Lines) {
        let out = self.child.stdout.take().map(lines_of);
        let err = self.child.stderr.take().map(lines_of);
        (
            out.unwrap_or_else(|| futures::stream::empty().boxed()),
            err.unwrap_or_else(|| futures::stream::empty().boxed()),
        )
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The process group may have ended by itself, so an error is ignored.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Sends SIGTERM to the process group, so that the command can clean up. Sends SIGKILL after [`GRACE`].
    async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        self.signal(Signal::KILL);
        if ended.is_err() {
            let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        }
        self.group = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The lines that a pipe delivers until its end. A carriage return ends a line too.
fn lines_of(pipe: impl AsyncRead + Send + Unpin + 'static) -> Lines {
    let lines = FramedRead::new(pipe, LineCutter::new(LINE_LIMIT_BYTES).at_returns());
    lines.filter_map(async |line| Some(line.ok()?.text)).boxed()
}

/// The lines that a step has printed so far.
#[derive(Default)]
struct Seen {
    all: Vec<String>,
    last: VecDeque<String>,
    keep_all: bool,
}

impl Seen {
    fn take(&mut self, line: &str, say: &(dyn Fn(&str) + Send + Sync)) {
        // A tool may print a proxy or mirror of the machine with its password, so passwords in the line are redacted.
        let line = by_form(line.trim_end());
        if line.is_empty() {
            return;
        }
        say(&line);
        if self.keep_all && self.all.len() < OUTPUT_LIMIT_LINES {
            self.all.push(line.clone());
        }
        // `go build -v` prints the names of packages, one in each line. A line without a space and without a colon is
        // such a name. In the error of a failed step, the names would hide the message of the compiler, so they are not
        // kept.
        if line.contains(char::is_whitespace) || line.contains(':') {
            self.last.push_back(line);
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn shell(script: &str) -> Step<'static> {
        Step {
            image: "test",
            title: "sh".to_owned(),
            shown: "sh -c …".to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PARALLAX_TEST", "set".into())],
            folder: None,
            output: None,
            limit: Duration::from_secs(20),
        }
    }

    #[tokio::test]
    async fn a_failed_step_shows_its_status_and_its_last_lines() {
        let script = "echo some/package; for i in $(seq 30); do echo line $i >&2; done; exit 3";
        let error = shell(script).run(&|_| (), &CancellationToken::new()).await.expect_err("it fails");
        assert_eq!(error.to_string(), "image test: sh failed with exit status 3");
        let evidence = error.failure().evidence;
        assert_eq!((evidence.len(), evidence[0].as_str()), (1 + LAST_LINES, "$ sh -c …"));
        assert_eq!(evidence.last().map(String::as_str), Some("line 30"));
    }

    #[tokio::test]
    async fn lines_are_said_and_returned_and_the_environment_passes() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hear = said.clone();
        let say = move |line: &str| hear.lock().expect("not poisoned").push(line.to_owned());
        let lines = shell("echo $PARALLAX_TEST; echo; echo two").run(&say, &CancellationToken::new()).await;
        assert_eq!(lines.expect("it runs"), ["set", "two"]);
        assert_eq!(*said.lock().expect("not poisoned"), ["set", "two"]);
    }

    #[tokio::test]
    async fn a_step_that_hangs_ends_at_its_deadline() {
        let step = Step { limit: Duration::from_millis(300), ..shell("echo begun it; exec tail -f /dev/null") };
        let error = step.run(&|_| (), &CancellationToken::new()).await.expect_err("too long");
        assert!(error.to_string().contains("took longer than"), "{error}");
        assert_eq!(error.failure().evidence, ["$ sh -c …", "begun it"]);
    }

    #[tokio::test]
    async fn interrupting_ends_the_children_too() {
        let cancel = CancellationToken::new();
        let child = Arc::new(Mutex::new(None));
        let (heard, stop) = (child.clone(), cancel.clone());
        let say = move |line: &str| {
            *heard.lock().expect("not poisoned") = line.parse::<i32>().ok();
            stop.cancel();
        };
        let script = "tail -f /dev/null & echo $!; wait";
        let ended = shell(script).run(&say, &cancel).await;
        assert!(matches!(ended, Err(ImageError::Cancelled)));
        let id = child.lock().expect("not poisoned").expect("the child's id");
        let gone = || {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            status.is_empty() || status.contains("State:\tZ")
        };
        let limit = Instant::now() + Duration::from_secs(5);
        while !gone() && Instant::now() < limit {
            tokio::task::yield_now().await;
        }
        assert!(gone(), "process {id} still runs");
    }

    #[test]
    fn no_line_of_a_tool_shows_a_password() {
        let mut seen = Seen { keep_all: true, ..Seen::default() };
        for line in ["get https://user:pa@ss@host/x: 403", "no proxy user:pa@ss@host:3128"] {
            seen.take(line, &|said| assert!(!said.contains("pa@ss") && said.contains("@host"), "{said}"));
        }
        assert_eq!(seen.all, ["get https://[redacted]@host/x: 403", "no proxy [redacted]@host:3128"]);
        assert_eq!(seen.last, seen.all);
    }
}
