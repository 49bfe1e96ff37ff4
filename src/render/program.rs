//! Runs one program of the machine on a copy of files of the project, within bounds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parallax_language::scenario::document::RENDERED_LIMIT_BYTES;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The time limit of the program. A large chart takes a few seconds on a busy machine.
const WITHIN: Duration = Duration::from_mins(1);
/// The largest part of the program's own words that is shown.
const WORDS_LIMIT_BYTES: u64 = 8 * 1024;
/// The path of the chart's values, relative to the copy of the project.
pub(super) const VALUES: &str = "../values.json";
/// The name of the copy of the project.
const COPY: &str = "project";

/// A program with its arguments.
pub(super) struct Command<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    /// Whether the program runs in namespaces of its own, without a network.
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
    /// Runs the program in a folder with these files, whose paths are relative to the project. The outer error says why
    /// the program could not be run at all.
    pub(super) async fn run(&self, files: &BTreeMap<String, Vec<u8>>, values: &[u8]) -> Result<Output, String> {
        let io = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("parallax-objects-").tempdir().map_err(io)?;
        let copy = folder.path().join(COPY);
        std::fs::create_dir(&copy).map_err(io)?;
        std::fs::write(copy.join(VALUES), values).map_err(io)?;
        for (path, content) in files {
            let path = copy.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&copy)).map_err(io)?;
            std::fs::write(path, content).map_err(io)?;
        }
        let mut command = if self.apart {
            parallax_probe::without_network(self.program)?
        } else {
            tokio::process::Command::new(self.program)
        };
        // Neither program may find the user's settings, plugins and caches, a cluster, or a program that downloads.
        // Where the network is not taken away, the proxy that nobody serves keeps them from downloading by themselves.
        let home = folder.path().join("home");
        command
            .args(&self.arguments)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", &home)
            .env("TMPDIR", folder.path())
            .envs(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(|it| (it, "http://127.0.0.1:1")))
            .current_dir(&copy)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(io)?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let limit = RENDERED_LIMIT_BYTES as u64;
            let (out, err) = tokio::join!(read(out, limit), read(err, WORDS_LIMIT_BYTES));
            // A program that still writes gets a broken pipe, because nothing reads its output any more.
            (out, err, child.wait().await)
        };
        let ended = tokio::time::timeout(WITHIN, ended).await;
        drop(group);
        let Ok((out, err, status)) = ended else {
            return Ok(Err((format!("did not end within {} s", WITHIN.as_secs()), String::new())));
        };
        // The words name the copy, of which the user knows nothing.
        let words = String::from_utf8_lossy(&err).replace(&format!("{}/", copy.display()), "");
        let words = words.replace(&format!("{}/", folder.path().display()), "").trim().to_owned();
        if out.len() > RENDERED_LIMIT_BYTES {
            return Ok(Err((format!("writes more than {} MiB", RENDERED_LIMIT_BYTES / 1024 / 1024), words)));
        }
        if !status.map_err(io)?.success() {
            return Ok(Err(("failed".to_owned(), words)));
        }
        Ok(String::from_utf8(out).map_err(|_| ("writes text that is not UTF-8".to_owned(), words)))
    }
}

/// Reads at most one byte more than `limit`.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error counts: the exit status says whether the program has failed.
        let _ = pipe.take(limit + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Output {
        let files = BTreeMap::from([("charts/app/a".to_owned(), b"content".to_vec())]);
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        Command { program: Path::new("/bin/sh"), arguments, apart: false }.run(&files, b"{}").await.expect("runs")
    }

    #[tokio::test]
    async fn a_program_sees_the_named_files_and_nothing_of_the_environment() {
        let said = shell("read -r a < charts/app/a; read -r v < ../values.json; echo \"$a\" \"$v\" \"$CARGO\"").await;
        assert_eq!(said.expect("ends well"), "content {} \n");
        assert!(shell("git --version").await.is_err(), "no other program is found");
    }

    #[tokio::test]
    async fn a_failure_has_the_programs_words_without_the_folder_of_the_copy() {
        let error = shell("echo \"wrong: $PWD/charts/app/a:3\" >&2; exit 1").await.expect_err("fails");
        assert_eq!(error, ("failed".to_owned(), "wrong: charts/app/a:3".to_owned()));
        let error = shell("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done");
        assert_eq!(error.await.expect_err("too much").0, "writes more than 8 MiB");
    }
}
