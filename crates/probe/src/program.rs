//! Runs a program with a given environment, and limits its output. No process of the program survives the end of the
//! question.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parallax_vocab::program::{CA_BUNDLE, CA_BUNDLE_ENV, OUTPUT_LIMIT_BYTES, RunQuestion, RunReply, missing};
use parallax_vocab::{Cause, Secret};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, JoinSet};

use crate::apart::Programs;
use crate::dial::Dialler;
use crate::invalid;

/// If a signal ended a program, its exit code is this number plus the signal's number, as in shells.
const SIGNAL_BASE: i32 = 128;
/// The time limit for reading the rest of the output after the program has ended and its process group was killed.
/// The output may stay open for longer if a process of the program has left the process group.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The largest number of searches for processes that left the program's process group. One search is not enough,
/// because such a process may start another process before it is killed.
const STRAYS_ROUNDS: usize = 20;

/// Runs the program of a question and returns its exit code and its output.
pub(crate) async fn answer(question: &RunQuestion, dialler: &Dialler, programs: Programs) -> Result<RunReply, Cause> {
    let ended = run(question, dialler, OUTPUT_LIMIT_BYTES, programs).await?;
    Ok(RunReply {
        exit: ended.exit,
        signal: ended.signal,
        json: ended.stdout.whole().and_then(|bytes| serde_json::from_slice(bytes).ok()),
        stdout: ended.stdout.text(),
        stdout_bytes: ended.stdout.bytes,
        stderr: ended.stderr.text(),
        stderr_bytes: ended.stderr.bytes,
    })
}

/// The result of a program that has ended. `signal` is set if a signal ended it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// The kept beginning of an output stream, and the full length of the stream in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    kept: Vec<u8>,
    bytes: u64,
}

impl Output {
    /// Returns the whole output; `None` if only its beginning was kept.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.bytes == self.kept.len() as u64).then_some(self.kept.as_slice())
    }

    /// The part of the stream that is kept, as text. Invalid UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Runs a program in a folder of its own until it ends. Keeps at most the first `keep_bytes` of standard output and of
/// standard error.
pub(crate) async fn run(
    question: &RunQuestion,
    dialler: &Dialler,
    keep_bytes: usize,
    programs: Programs,
) -> Result<Ended, Cause> {
    let Some((program, arguments)) = question.argv.split_first() else {
        return Err(invalid("the command is empty"));
    };
    // Values are dropped in the reverse order of their declaration. The folder is declared first, so that it is removed
    // after all processes of the program have been killed.
    let folder = Folder::make(&dialler.view.trust)?;
    let environment = folder.environment(&question.env);
    let path = environment.get("PATH").map(OsString::as_os_str);
    let mut command = programs.command(&folder.fill(program), path, folder.path()).map_err(invalid)?;
    command
        .args(arguments.iter().map(|it| folder.fill(it)))
        .env_clear()
        .envs(&environment)
        .current_dir(folder.path())
        .stdin(if question.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    dialler.trail.enter(format!("starting `{program}`"));
    let mut child = command.spawn().map_err(|why| invalid(not_started(program, &why)))?;
    let group = Group::of(child.id(), folder.root());
    dialler.trail.enter(format!("running `{program}`"));
    let stdout = StreamReader::follow(child.stdout.take(), keep_bytes);
    let stderr = StreamReader::follow(child.stderr.take(), keep_bytes);
    let mut feeder = JoinSet::new();
    if let Some((mut stdin, text)) = child.stdin.take().zip(question.stdin.clone()) {
        // A separate task writes the input, because the write blocks while the program does not read its standard
        // input.
        feeder.spawn(async move { stdin.write_all(text.expose().as_bytes()).await });
    }
    let status = child.wait().await.map_err(|why| invalid(format!("waiting for `{program}` failed: {why}")))?;
    drop(group);
    let (exit, signal) = ending(status);
    Ok(Ended { exit, signal, stdout: stdout.end().await, stderr: stderr.end().await })
}

fn ending(status: ExitStatus) -> (i32, Option<i32>) {
    let signal = status.signal();
    let exit = status.code().or(signal.map(|number| SIGNAL_BASE + number));
    (exit.unwrap_or(SIGNAL_BASE), signal)
}

fn not_started(program: &str, why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::NotFound => missing(program),
        _ => format!("`{program}` cannot be started: {why}"),
    }
}

/// The temporary folder of a program: the program's working directory, and its certificate bundle.
struct Folder {
    /// The temporary folder, which is removed when this value is dropped.
    held: tempfile::TempDir,
    bundle: PathBuf,
    work: PathBuf,
}

impl Folder {
    fn make(trust: &[String]) -> Result<Self, Cause> {
        let make = || {
            let folder = tempfile::Builder::new().prefix("parallax-").tempdir()?;
            let (bundle, work) = (folder.path().join("ca.pem"), folder.path().join("work"));
            std::fs::write(&bundle, trust.join("\n"))?;
            std::fs::create_dir(&work)?;
            Ok(Self { held: folder, bundle, work })
        };
        make().map_err(|why: std::io::Error| invalid(format!("cannot create a folder for the program: {why}")))
    }

    fn path(&self) -> &Path {
        &self.work
    }

    /// The path of the temporary folder. Each program has a folder of its own, so the path identifies the processes of
    /// this program.
    fn root(&self) -> &Path {
        self.held.path()
    }

    /// Replaces the placeholder [`CA_BUNDLE`] in a text by the path of the certificate bundle.
    fn fill(&self, text: &str) -> String {
        text.replace(CA_BUNDLE, &self.bundle.display().to_string())
    }

    /// Returns the complete environment of the program. The program inherits only `PATH` from this process. `given`
    /// contains the variables of the question.
    fn environment(&self, given: &BTreeMap<String, Secret>) -> BTreeMap<String, OsString> {
        let mut all = BTreeMap::from([
            ("HOME".to_owned(), self.work.clone().into_os_string()),
            ("TMPDIR".to_owned(), self.work.clone().into_os_string()),
            (CA_BUNDLE_ENV.to_owned(), self.bundle.clone().into_os_string()),
        ]);
        all.extend(std::env::var_os("PATH").map(|path| ("PATH".to_owned(), path)));
        all.extend(given.iter().map(|(name, value)| (name.clone(), self.fill(value.expose()).into())));
        all
    }
}

/// The processes of a program. They are killed when this value is dropped. A process that left the process group
/// (`setsid`) is recognised if its environment or its working directory names the program's temporary folder. A process
/// with neither of these marks is not found. If the program runs isolated ([`Programs::Apart`]), the kernel ends such a
/// process.
struct Group {
    leader: Option<Pid>,
    folder: PathBuf,
}

impl Group {
    fn of(leader: Option<u32>, folder: &Path) -> Self {
        Self { leader: leader.and_then(pid), folder: folder.to_owned() }
    }

    /// Returns the processes that belong to the program, including those outside its process group.
    fn strays(&self) -> Vec<Pid> {
        let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = all.flatten().filter_map(|entry| pid(entry.file_name().to_str()?.parse().ok()?));
        ids.filter(|id| *id != rustix::process::getpid() && self.is_of(*id)).collect()
    }

    fn is_of(&self, id: Pid) -> bool {
        let at = PathBuf::from(format!("/proc/{}", id.as_raw_nonzero()));
        let folder = self.folder.as_os_str().as_encoded_bytes();
        let names = |text: &[u8]| text.windows(folder.len()).any(|part| part == folder);
        std::fs::read_link(at.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.folder))
            || std::fs::read(at.join("environ")).is_ok_and(|environ| names(&environ))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.leader {
            // The signal cannot be sent if the group contains no process any more, so the error is ignored.
            let _ = kill_process_group(group, Signal::KILL);
        }
        for _ in 0..STRAYS_ROUNDS {
            let strays = self.strays();
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                let _ = kill_process(stray, Signal::KILL);
            }
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Reads an output stream to its end, and keeps only its beginning. The rest is read too, so that the program never
/// blocks on a full pipe.
struct StreamReader {
    output: Arc<Mutex<Output>>,
    reader: JoinHandle<()>,
}

impl StreamReader {
    fn follow(stream: Option<impl AsyncRead + Unpin + Send + 'static>, keep_bytes: usize) -> Self {
        let output = Arc::new(Mutex::new(Output::default()));
        let shared = Arc::clone(&output);
        let reader = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let mut output = shared.lock().unwrap_or_else(PoisonError::into_inner);
                output.bytes += count as u64;
                let room = keep_bytes.saturating_sub(output.kept.len());
                output.kept.extend_from_slice(&buffer[..count.min(room)]);
            }
        });
        Self { output, reader }
    }

    async fn end(mut self) -> Output {
        let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.reader).await;
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
