//! Runs one program of the machine on a copy of files of the project, within bounds.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parallax_language::scenario::document::RENDERED_LIMIT_BYTES;
use parallax_provision::bound_to_us;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The time limit of the program. A large chart takes a few seconds on a busy machine.
const WITHIN: Duration = Duration::from_mins(1);
/// The virtual memory that the program may have. The runtime of Go reserves 0.6 GiB before it uses any.
const MEMORY_KIB: u64 = 4 * 1024 * 1024;
/// The largest part of the program's own words that is shown.
const WORDS_LIMIT_BYTES: u64 = 8 * 1024;
/// The path of the chart's values, relative to the copy of the project.
pub(super) const VALUES: &str = "../values.json";
/// The name of the copy of the project. The program's own words contain it, and it is cut out of them.
const COPY: &str = "copy-of-the-project";
/// The folder for temporary files, beside the copy.
const TEMPORARY: &str = "tmp";
/// The smallest exit code that is not the program's own: a shell's, or that of a program that cannot be enclosed.
const OF_MACHINE: i32 = 125;
/// Starts a program that sees the machine. The arguments are the limit of its memory, the program, and its arguments.
const UNCONFINED: [&str; 4] = ["/bin/sh", "-c", "ulimit -v \"$1\" 2>&- || :; shift; exec \"$@\"", "/bin/sh"];

/// A program with its arguments.
pub(super) struct Command<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    /// Whether the program sees nothing of the machine: no other file, no other process, and no network.
    pub(super) apart: bool,
}

/// What a program wrote; or what happened instead, and the program's own words.
type Output = Result<String, (String, String)>;

/// The process group of a program. It is killed when this value is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Command<'_> {
    /// Runs the program in a folder with these files, whose paths are relative to the project. The outer error says how
    /// the machine failed, the inner one how the program did.
    pub(super) async fn run(&self, files: &BTreeMap<String, Vec<u8>>, values: &[u8]) -> Result<Output, String> {
        let io = |error: std::io::Error| format!("could not be run: {error}");
        let folder = tempfile::Builder::new().prefix("parallax-objects-").tempdir().map_err(io)?;
        let root = folder.path().canonicalize().map_err(io)?;
        let copy = root.join(COPY);
        std::fs::create_dir(&copy).map_err(io)?;
        std::fs::create_dir(root.join(TEMPORARY)).map_err(io)?;
        std::fs::write(copy.join(VALUES), values).map_err(io)?;
        for (path, content) in files {
            let path = copy.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&copy)).map_err(io)?;
            std::fs::write(path, content).map_err(io)?;
        }
        let mut command = self.command(&root).map_err(|why| format!("could not be run: {why}"))?;
        let mut child = command.spawn().map_err(io)?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (out, err) = tokio::try_join!(whole(out), async { Ok(beginning(err).await) })?;
            Ok::<_, TooMuch>((out, err, child.wait().await))
        };
        let ended = tokio::time::timeout(WITHIN, ended).await;
        drop(group);
        let Ok(ended) = ended else { return Err(format!("did not end within {} s", WITHIN.as_secs())) };
        let Ok((out, err, status)) = ended else {
            let how = format!("writes more than {} MiB", RENDERED_LIMIT_BYTES / 1024 / 1024);
            return Ok(Err((how, String::new())));
        };
        // The words name the copy, of which the user knows nothing.
        let mut words = String::from_utf8_lossy(&err).into_owned();
        for path in [&*copy.to_string_lossy(), &*root.to_string_lossy(), &*format!("/{COPY}")] {
            words = words.replace(&format!("{path}/"), "");
        }
        let words = words.trim().to_owned();
        let status = status.map_err(io)?;
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(String::from_utf8(out).map_err(|_| ("writes text that is not UTF-8".to_owned(), words))),
            (Some(code), _) if code < OF_MACHINE => Ok(Err(("failed".to_owned(), words))),
            // A shell adds the number of the signal that ended its program to 128.
            (Some(code), _) if code > 128 => Err(format!("was ended by signal {}", code - 128)),
            (Some(_), _) => Err(format!("could not be run: {words}")),
            (None, signal) => Err(format!("was ended by signal {}", signal.unwrap_or_default())),
        }
    }

    /// The command in the folder `root`, which has the copy. It ends with this process.
    fn command(&self, root: &Path) -> Result<tokio::process::Command, String> {
        // Neither program may find the user's settings, plugins and caches, a cluster, or a program that downloads.
        // Where the network is not taken away, the proxy that nobody serves keeps them from downloading by themselves.
        let (bare, seen) = if self.apart {
            (parallax_probe::enclosed(self.program, root, COPY, MEMORY_KIB)?, Path::new("/"))
        } else {
            let mut command = tokio::process::Command::new(UNCONFINED[0]);
            command.args(&UNCONFINED[1..]).arg(MEMORY_KIB.to_string()).arg(self.program);
            (command, root)
        };
        let home = seen.join("home-of-nobody");
        let mut command = bound_to_us(Path::new(bare.as_std().get_program()));
        command
            .args(bare.as_std().get_args())
            .args(&self.arguments)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", &home)
            .env("TMPDIR", seen.join(TEMPORARY))
            .envs(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(|it| (it, "http://127.0.0.1:1")))
            .current_dir(root.join(COPY))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// The program writes more than is read.
struct TooMuch;

/// Reads what the program writes, at most [`RENDERED_LIMIT_BYTES`].
async fn whole(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, TooMuch> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error counts: the exit status says whether the program has failed.
        let _ = pipe.take(RENDERED_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).await;
    }
    if bytes.len() > RENDERED_LIMIT_BYTES { Err(TooMuch) } else { Ok(bytes) }
}

/// Reads the beginning of the program's own words. The rest is read and forgotten, because a program that nobody reads
/// from is ended by SIGPIPE.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(WORDS_LIMIT_BYTES).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    async fn run(script: &str, apart: bool) -> Result<Output, String> {
        let files = BTreeMap::from([("charts/app/a".to_owned(), b"content".to_vec())]);
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        Command { program: Path::new("/bin/sh"), arguments, apart }.run(&files, b"{}").await
    }

    async fn shell(script: &str) -> Output {
        run(script, false).await.expect("runs")
    }

    #[tokio::test]
    async fn a_program_sees_the_named_files_and_nothing_of_the_environment() {
        let script = "read -r a < charts/app/a; read -r v < ../values.json; echo \"$a\" \"$v\" \"$CARGO\"; ulimit -v";
        for apart in [false, true] {
            let said = run(script, apart).await.expect("runs");
            assert_eq!(said.expect("ends well"), format!("content {{}} \n{MEMORY_KIB}\n"), "apart: {apart}");
            assert!(!matches!(run("git --version", apart).await, Ok(Ok(_))), "no other program is found");
        }
    }

    #[tokio::test]
    async fn a_program_apart_sees_no_file_of_the_machine_and_no_network() {
        let machines = tempfile::NamedTempFile::new().expect("a file");
        let sees = |path: &Path| format!("[ -e {} ] && echo sees it; :", path.display());
        let script = sees(machines.path());
        assert_eq!(run(&script, false).await, Ok(Ok("sees it\n".to_owned())), "the question is right");
        for script in [&script, &sees(Path::new("../../../etc/passwd")), &sees(Path::new("/proc/net/dev"))] {
            assert_eq!(run(script, true).await, Ok(Ok(String::new())), "{script}");
        }
        let (_, words) =
            run("echo \"wrong: $PWD/charts/app/a:3\" >&2; exit 1", true).await.expect("runs").expect_err("1");
        assert_eq!(words, "wrong: charts/app/a:3");
    }

    #[tokio::test]
    async fn a_failure_has_the_programs_words_without_the_folder_of_the_copy() {
        let error = shell("echo \"wrong: $PWD/charts/app/a:3\" >&2; exit 1").await.expect_err("fails");
        assert_eq!(error, ("failed".to_owned(), "wrong: charts/app/a:3".to_owned()));
        let error = shell("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done");
        assert_eq!(error.await.expect_err("too much").0, "writes more than 8 MiB");
    }

    #[tokio::test]
    async fn many_words_do_not_end_a_program() {
        // A pipe holds 64 KiB.
        let line = "w".repeat(1000);
        let script = format!("i=0; while [ $i -lt 200 ]; do echo {line} >&2; i=$((i+1)); done; echo made");
        assert_eq!(shell(&script).await, Ok("made\n".to_owned()));
        let error = shell(&format!("{script}; exit 1")).await.expect_err("fails");
        assert_eq!(error.1.len(), usize::try_from(WORDS_LIMIT_BYTES).expect("small"));
    }

    #[tokio::test]
    async fn a_signal_is_a_failure_of_the_machine() {
        for apart in [false, true] {
            let error = run("kill -9 $$", apart).await.expect_err("no verdict about the chart");
            assert_eq!(error, "was ended by signal 9", "apart: {apart}");
        }
        let command = Command { program: Path::new("/no/such/program"), arguments: Vec::new(), apart: false };
        let error = command.run(&BTreeMap::new(), b"").await.expect_err("not found");
        assert!(error.starts_with("could not be run: ") && error.contains("/no/such/program"), "{error}");
    }

    /// The kernel ends the program when the thread ends that has started it. So a thread stands for the run here. It
    /// drops nothing that would end the program otherwise.
    #[test]
    fn a_program_ends_with_the_run_that_is_killed() {
        for apart in [false, true] {
            // The program has this pipe open until it ends.
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let (end, ending) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                let folder = tempfile::tempdir().expect("a folder");
                let copy = folder.path().join(COPY);
                std::fs::create_dir(&copy).expect("made");
                let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
                rustix::fs::mknodat(rustix::fs::CWD, copy.join("it"), kind, mode, 0).expect("made");
                let arguments = ["-c", "echo began >&2; read -r it < it"].map(str::to_owned).to_vec();
                let command = Command { program: Path::new("/bin/sh"), arguments, apart };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let _entered = runtime.enter();
                let child = command.command(folder.path()).expect("a command").stderr(writer).spawn().expect("runs");
                std::mem::forget(child);
                ending.recv().expect("said");
                folder
            });
            let mut said = [0; 6];
            reader.read_exact(&mut said).expect("the program begins");
            end.send(()).expect("hears");
            let _folder = thread.join().expect("ends");
            let mut rest = String::new();
            reader.read_to_string(&mut rest).expect("the pipe ends with the program");
            assert_eq!((&said, &*rest), (b"began\n", ""));
        }
    }
}
