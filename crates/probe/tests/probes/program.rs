//! Tests of the programs that a question runs: their environment and their output. The tests also check that all
//! processes of a program end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parallax_vocab::program::{ClientQuestion, ClientTask, OUTPUT_LIMIT_BYTES, RunQuestion, RunReply};
use parallax_vocab::{Answer, Probe, Question, Reply, Secret, View};
use serde_json::json;

use crate::{DEADLINE_MS, ask, get, kind};

fn sh(script: &str) -> RunQuestion {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    RunQuestion { argv, env: BTreeMap::new(), stdin: None }
}

async fn run(question: RunQuestion) -> RunReply {
    match ask(View::default(), Probe::Run(question)).await {
        Answer { outcome: Ok(Reply::Run(reply)), .. } => reply,
        other => panic!("the program did not end: {other:?}"),
    }
}

#[tokio::test]
async fn a_program_is_given_its_environment_and_nothing_of_ours() {
    let mut question = sh("env | cut -d= -f1 | sort | tr '\\n' ' '; cat; pwd >&2");
    question.env = BTreeMap::from([("GIVEN".to_owned(), Secret::new("x"))]);
    question.stdin = Some(Secret::new("from standard input"));
    let reply = run(question).await;
    // The shell sets PWD, OLDPWD, SHLVL and _ itself, so they are not part of the given environment.
    let names: Vec<&str> = reply.stdout.split(' ').filter(|it| !["PWD", "OLDPWD", "SHLVL", "_"].contains(it)).collect();
    assert_eq!(names, ["GIVEN", "HOME", "PARALLAX_CA_BUNDLE", "PATH", "TMPDIR", "from", "standard", "input"]);
    assert!(!std::path::Path::new(reply.stderr.trim()).exists(), "its folder is gone: {}", reply.stderr);
}

#[tokio::test]
async fn trust_is_a_file_that_arguments_and_variables_can_name() {
    let view = View { trust: vec!["one\n".to_owned(), "two\n".to_owned()], ..View::default() };
    let mut question =
        sh("cat $PARALLAX_CA_BUNDLE; test \"$OTHER\" = \"$PARALLAX_CA_BUNDLE\" && test \"$0\" = \"$OTHER\"");
    question.argv.push("${PARALLAX_CA_BUNDLE}".to_owned());
    question.env = BTreeMap::from([("OTHER".to_owned(), Secret::new("${PARALLAX_CA_BUNDLE}"))]);
    match ask(view, Probe::Run(question)).await.outcome {
        Ok(Reply::Run(reply)) => assert_eq!((reply.stdout.as_str(), reply.exit), ("one\n\ntwo\n", 0)),
        other => panic!("the program did not end: {other:?}"),
    }
}

#[tokio::test]
async fn output_is_truncated_and_its_length_reported() {
    let reply = run(sh("head -c 300000 /dev/zero | tr '\\0' x; echo oops >&2; exit 3")).await;
    assert_eq!((reply.exit, reply.signal), (3, None));
    assert_eq!((reply.stdout.len(), reply.stdout_bytes), (OUTPUT_LIMIT_BYTES, 300_000));
    assert_eq!((reply.stderr.as_str(), reply.json), ("oops\n", None));
}

#[tokio::test]
async fn json_is_read_where_all_of_the_output_is_json() {
    assert_eq!(run(sh("echo '{\"a\": [1]}'")).await.json, Some(json!({"a": [1]})));
    assert_eq!(run(sh("echo '{\"a\": [1]} more'")).await.json, None);
}

#[tokio::test]
async fn a_signal_is_reported_as_shells_report_it() {
    let reply = run(sh("kill -9 $$")).await;
    assert_eq!((reply.exit, reply.signal), (137, Some(9)));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_the_clients_fault() {
    let question = RunQuestion { argv: vec!["/no/such/program".to_owned()], ..sh("") };
    let answer = ask(View::default(), Probe::Run(question)).await;
    assert_eq!(kind(&answer), "client");
    assert!(answer.outcome.unwrap_err().to_string().contains("there is no program `/no/such/program` here"));
}

#[tokio::test]
async fn the_deadline_ends_every_process_of_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sh -c 'echo $$ >> {0}; exec sleep 600' & echo $$ >> {0}; wait", file.display());
    let question = Question { view: View::default(), deadline_ms: 1_500, probe: Probe::Run(sh(&script)) };
    let answer = parallax_probe::ask(&question).await;
    assert_eq!(kind(&answer), "deadline");
    assert!(answer.outcome.unwrap_err().to_string().contains("still running `/bin/sh`"));
    let pids = std::fs::read_to_string(file).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
    pids.lines().for_each(gone);
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_ends_with_it() {
    let began = Instant::now();
    let reply = run(sh("sleep 600 & echo $!")).await;
    assert!(began.elapsed() < Duration::from_millis(DEADLINE_MS));
    gone(reply.stdout.trim());
}

#[tokio::test]
async fn what_leaves_the_group_ends_with_it_too() {
    for script in [
        "setsid sleep 600 >&2 & echo $!",
        // The first of the next two processes works in another folder, but its environment names the program's folder.
        // The second process has an empty environment, but it works in the program's folder.
        "cd / && setsid sleep 600 >&2 & echo $!",
        "env -i setsid sleep 600 >&2 & echo $!",
    ] {
        let reply = run(sh(&format!("{script}; sleep 0.2"))).await;
        gone(reply.stdout.trim());
    }
}

/// Runs the program of a question isolated from the other processes of this machine.
async fn run_apart(question: RunQuestion) -> Answer {
    let question = Question { view: View::default(), deadline_ms: DEADLINE_MS, probe: Probe::Run(question) };
    parallax_probe::ask_apart(&question).await
}

async fn ended_apart(question: RunQuestion) -> RunReply {
    match run_apart(question).await {
        Answer { outcome: Ok(Reply::Run(reply)), .. } => reply,
        other => panic!("the program did not end: {other:?}"),
    }
}

#[tokio::test]
async fn a_program_apart_reads_no_other_environment_and_leaves_nothing() {
    parallax_probe::can_run_apart().expect("this machine has user namespaces");
    // Cargo sets `CARGO_MANIFEST_DIR` for the tests. The program itself does not inherit this variable. So if the
    // search finds the variable, it has read the environment of another process.
    let of_ours =
        "cat /proc/$PPID/environ /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c ^CARGO_MANIFEST_DIR=";
    let seen = run(sh(of_ours)).await;
    assert_ne!(seen.stdout.trim(), "0", "the search finds what is there");
    // A program that is root in its own user namespace can remove the mount of `/proc` that hides the machine's other
    // processes. Even then it must not be able to read their environments.
    for first in ["", "umount /proc 2>/dev/null; "] {
        let seen = ended_apart(sh(&format!("{first}{of_ours}"))).await;
        assert_eq!(seen.stdout.trim(), "0", "after {first:?}: {seen:?}");
    }
    // The script starts a process that hides from the harness. The environment and the working directory of this
    // process do not name the program's folder, and it has another parent, process group and session.
    let mark = format!("600.{}", std::process::id());
    let script = format!("cd / && env -i setsid sleep {mark} >/dev/null 2>&1 & sleep 0.2; echo left");
    assert_eq!(ended_apart(sh(&script)).await.stdout, "left\n");
    let is_it = |it: &std::fs::DirEntry| {
        std::fs::read_to_string(it.path().join("cmdline")).is_ok_and(|it| it == format!("sleep\0{mark}\0"))
    };
    let left: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().filter(is_it).map(|it| it.file_name()).collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}

#[tokio::test]
async fn a_program_apart_is_otherwise_as_elsewhere() {
    let mut question = sh("env | cut -d= -f1 | sort | tr '\\n' ' '; cat; pwd >&2; exit 5");
    question.env = BTreeMap::from([("GIVEN".to_owned(), Secret::new("x"))]);
    question.stdin = Some(Secret::new("from standard input"));
    let (here, apart) = (run(question.clone()).await, ended_apart(question).await);
    assert_eq!((here.exit, here.stdout), (apart.exit, apart.stdout));
    assert_eq!(ended_apart(sh("kill -9 $$")).await.exit, 137);
    // The shell that starts the program has a built-in command `echo`, which accepts other options than the program
    // `echo`. The program must run, and not the built-in command.
    let echo = RunQuestion { argv: ["echo", "-e", "a"].map(str::to_owned).to_vec(), ..sh("") };
    assert_eq!(ended_apart(echo.clone()).await.stdout, run(echo).await.stdout);
    for (program, says) in [
        ("/no/such/program", "there is no program `/no/such/program` here"),
        ("no-such-program", "there is no program `no-such-program` here"),
        ("/etc/passwd", "`/etc/passwd` cannot be started: it is no program"),
    ] {
        let answer = run_apart(RunQuestion { argv: vec![program.to_owned()], ..sh("") }).await;
        assert!(answer.outcome.unwrap_err().to_string().contains(says), "{program}");
    }
}

/// Waits until the process with this id has ended. A zombie counts as ended, because the test cannot make its parent
/// reap it.
fn gone(pid: &str) {
    let began = Instant::now();
    loop {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "process {pid} still runs: {state}");
        std::thread::yield_now();
    }
}

fn client(program: &std::path::Path) -> Probe {
    Probe::Client(ClientQuestion {
        client: "curl".to_owned(),
        program: program.display().to_string(),
        trust_in: "CURL_CA_BUNDLE".to_owned(),
        env: BTreeMap::new(),
        chain: false,
        origin: None,
        task: ClientTask::Http(get("https://minio.example.com/a")),
    })
}

#[tokio::test]
async fn a_client_is_asked_and_answers_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        // A separate shell writes the file. If this process wrote it, and another test forked at the same time, the
        // child would still have the file open for writing. The kernel then refuses to execute the file (ETXTBSY).
        let script = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("/bin/sh").args(["-c", script]).arg(&path).arg(text).status();
        assert!(written.unwrap().success());
        path
    };
    let good = program(
        "good",
        "read task; test -f \"$CURL_CA_BUNDLE\" || exit 1\ncase \"$task\" in *minio.example.com/a*) echo '{\"status\": 200, \"body\": \"hello\"}';; esac",
    );
    let answer = ask(View::default(), client(&good)).await;
    assert_eq!(crate::http_reply(&answer).body, "hello");
    for (name, text, expected) in [
        ("dies", "echo a traceback >&2; exit 1", "exit: 1 (a traceback)"),
        ("babbles", "echo hello", "client: curl printed no valid outcome: hello"),
        ("fails", "echo '{\"failed\": \"(60) no authority\"}'", "client: curl: (60) no authority"),
    ] {
        let answer = ask(View::default(), client(&program(name, text))).await;
        assert_eq!(answer.outcome.unwrap_err().to_string(), expected);
    }
}
