//! Tests of a variant that `parallax up` keeps. The tests run further commands on the variant. Each command is a
//! process of its own, as if a person typed it.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::bench::{Project, lists, no_engine, reserve};

const SCENARIO: &str = r"name: stands
summary: A store that is used
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
vantages:
  app: { pod: { trust: [ca] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: put, from: host, s3: { put: photos/a.txt, body: hello } }
  - { id: got, from: host, s3: { get: photos/a.txt }, expect: { body: hello } }
  - { id: missing, from: host, s3: { get: photos/b.txt }, expect: { status: 404 } }
";

/// Two vantages that can run programs: a pod and a container outside the cluster.
const WITH_PROGRAMS: &str = r"  tools: { pod: { trust: [ca], image: clients, env: { MINE: yes-it-is } } }
  beside: { outside: { trust: [ca], image: clients } }
";

/// Removes the kept variant when this value is dropped. This also happens if the test fails.
pub(super) struct Down<'a>(pub(super) &'a Project);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = self.0.parallax(&["down"]).output();
    }
}

/// The lines that a process writes.
pub(super) struct Lines(Receiver<String>);

impl Lines {
    pub(super) fn of(from: impl Read + Send + 'static) -> Self {
        let (send, receive) = channel();
        std::thread::spawn(move || {
            BufReader::new(from)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| send.send(line.clone()).is_ok())
                .count()
        });
        Self(receive)
    }

    /// Waits for a line that contains `part`. Returns all lines up to that line.
    #[track_caller]
    pub(super) fn until(&self, part: &str) -> String {
        let mut text = String::new();
        while let Ok(line) = self.0.recv_timeout(Duration::from_mins(1)) {
            text.push_str(&line);
            text.push('\n');
            if line.contains(part) {
                return text;
            }
        }
        panic!("no line with {part:?} came:\n{text}");
    }
}

/// Runs a command and asserts its exit code. Returns its standard output, followed by its standard error.
#[track_caller]
fn run(project: &Project, args: &[&str], code: i32) -> String {
    let ended = project.parallax(args).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(code), "{args:?}\n{stderr}\n{stdout}");
    format!("{stdout}{stderr}")
}

#[track_caller]
fn assert_in(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn an_engine_that_does_not_answer_is_an_error_of_the_machine() {
    let project = Project::new();
    project.scenario("stands", SCENARIO);
    let mut up = project.parallax(&["up", "stands"]);
    let ended = up.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert_in(&said, &["/nonexistent/docker.sock", "0 passed, 1 failed, 0 skipped"]);
    assert_in(&run(&project, &["status"], 0), &["no variant is kept"]);
}

#[test]
fn what_stands_is_found_asked_changed_and_taken_down_by_other_processes() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("stands", &SCENARIO.replace("  host: {", &format!("{WITH_PROGRAMS}  host: {{")));
    let before = lists(&[]);
    assert_in(&run(&project, &["status"], 0), &["no variant is kept"]);
    assert_in(&run(&project, &["rerun"], 2), &["no variant is kept; `parallax up SCENARIO` starts one and keeps it"]);
    assert_in(&run(&project, &["up", "stands", "--until", "nosuch"], 2), &["it has put, got, missing"]);
    assert_in(&run(&project, &["up", "stands", "--before", "nosuch"], 2), &["it has put, got, missing"]);
    // The kernel limits the length of a socket's path. The harness must report this before it starts anything.
    let long = project.path(&"x".repeat(120));
    let refused = project.parallax(&["up", "stands"]).env("XDG_STATE_HOME", &long).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_in(&String::from_utf8_lossy(&refused.stderr), &["too long for a socket", "XDG_STATE_HOME"]);
    assert!(!project.path("target").exists() && !long.exists(), "something was started");

    let down = Down(&project);
    let said = run(&project, &["up", "stands"], 0);
    assert_in(&said, &["stands  run r", "kubectl --kubeconfig ", "parallax down\n"]);
    assert_in(&said, &["parallax shell --from tools, ", "parallax exec --from tools -- COMMAND, parallax logs\n"]);
    assert!(!said.contains("--from app") && !said.contains("parallax explain"), "{said}");
    let status = run(&project, &["status"], 0);
    assert_in(&status, &["ready; step missing ran last", "aws s3 ls"]);

    // The printed curl command must work when it is pasted into a shell.
    let curl = status.lines().find_map(|line| line.split_once("store, curl")).unwrap().1.trim();
    let pasted = Command::new("sh").args(["-c", curl]).output().unwrap();
    let pasted = format!("{}{}", String::from_utf8_lossy(&pasted.stdout), String::from_utf8_lossy(&pasted.stderr));
    assert_in(&pasted, &["<Name>photos</Name>", "<Key>a.txt</Key>"]);

    let again = run(&project, &["rerun", "got"], 0);
    assert_in(&again, &["ok       got", "as declared"]);
    assert!(!again.contains("put"), "{again}");
    assert_in(&run(&project, &["rerun"], 0), &["ok       put", "ok       got", "ok       missing", "as declared"]);
    assert_in(&run(&project, &["rerun", "nosuch"], 2), &["stands has no step `nosuch`", "`put`, `got`, `missing`"]);
    assert_in(&run(&project, &["rerun", "gott"], 2), &["did you mean `got`?"]);
    // `rerun` reads the scenario's file again before it runs a step. If the file has a mistake, the mistake is printed
    // and no step runs.
    project.change("scenarios/stands/scenario.yaml", "expect: { body: hello }", "expect: { body: bye }");
    assert_in(&run(&project, &["rerun", "got"], 1), &["failed   got", "body is \"hello\", and \"bye\" was expected"]);
    assert_in(&run(&project, &["rerun"], 1), &["failed   got", "ok       missing"]);
    project.change("scenarios/stands/scenario.yaml", "expect: { body: bye }", "expects: { body: bye }");
    let mistaken = run(&project, &["rerun", "got"], 2);
    assert_in(&mistaken, &["expects"]);
    assert!(!mistaken.contains("   got"), "{mistaken}");
    project.change("scenarios/stands/scenario.yaml", "expects: { body: bye }", "expect: { body: hello }");
    assert_in(&run(&project, &["rerun", "got"], 0), &["ok       got"]);

    // A program that `exec` runs must have access to the store. The harness must redact the secrets in the program's
    // output.
    let host = ["exec", "--from", "host", "--", "sh", "-c"];
    let said = run(&project, &[&host[..], &["echo $AWS_ENDPOINT_URL $AWS_SECRET_ACCESS_KEY; exit 7"]].concat(), 7);
    assert_in(&said, &["https://minio.example.com [redacted]"]);
    // A CI service interprets commands such as `##[…]` in the output of a job. Therefore, if `CI` is set, the harness
    // must make these commands harmless, even if the output does not go to a terminal.
    let acting = [&host[..], &["echo '##[stop-commands]x'"]].concat();
    for (ci, shown) in [("", true), ("true", false)] {
        let mut said = project.parallax(&acting);
        let said = said.env_remove("GITHUB_ACTIONS").env("CI", ci).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("stop-commands") && said.contains("##[") == shown, "CI={ci}: {said}");
    }
    pages(&project);
    for from in ["host", "tools"] {
        let unknown = run(&project, &["exec", "--from", from, "--", "nosuch"], 127);
        assert_in(&unknown, &["there is no program `nosuch` here"]);
    }
    assert_in(&run(&project, &["exec", "--", "ls"], 2), &["--from: app, tools, beside, host"]);
    assert_in(&run(&project, &["exec", "--from", "app", "--", "ls"], 2), &["its image contains only the agent"]);

    shells(&project);
    logs(&project);

    // After the user saves the file, `watch` runs the changed steps again, from the first changed step on. A mistake in
    // the file does not end `watch`.
    let mut watch = project.parallax(&["watch"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = Lines::of(watch.stderr.take().unwrap());
    let stdout = Lines::of(watch.stdout.take().unwrap());
    stderr.until("runs again what changes");
    let file = "scenarios/stands/scenario.yaml";
    project.change(file, "status: 404", "status: 200");
    let changed = stdout.until("NOT as declared");
    assert_in(&changed, &["failed   missing", "status: expected 200, saw 404"]);
    assert!(!changed.contains("got"), "{changed}");
    project.change(file, "expect: { status: 200", "expects: { status: 200");
    stderr.until("expects");
    project.change(file, "expects: { status: 200", "expect: { status: 404");
    assert_in(&stdout.until("as declared"), &["ok       missing"]);
    project.change(file, "buckets: [photos]", "buckets: [photos, more]");
    stderr.until("the kept variant cannot follow");
    project.change(file, "buckets: [photos, more]", "buckets: [photos]");
    stdout.until("no step changed");
    // A step that is added later and runs a program on this machine needs the user's consent too.
    let asked = "flow:\n  - { id: put";
    project.change(file, asked, "flow:\n  - { id: here, from: host, script: { run: [id] } }\n  - { id: put");
    stderr.until("--allow-host-programs");
    watch.kill().unwrap();
    watch.wait().unwrap();

    assert_in(&run(&project, &["down"], 0), &["objects removed"]);
    assert_in(&run(&project, &["status"], 0), &["no variant is kept"]);
    std::mem::forget(down);
    let folder = project.path("target/e2e/latest");
    let left: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().flatten().map(|it| it.path()).collect();
    let with = |extension: &str| left.iter().any(|it| it.extension().is_some_and(|it| it == extension));
    assert!(with("html") && !with("env") && !with("kubeconfig") && !with("pem"), "{left:?}");
    assert_eq!(lists(&[]), before);
}

/// Asserts that each client reads all pages of a listing.
#[track_caller]
fn pages(project: &Project) {
    let said = run(project, &["exec", "--from", "beside", "--", "python3", "-c", include_str!("pages.py")], 0);
    for client in ["aws-cli", "aws-sdk-go-v2", "aws-sdk-java-v2", "aws-sdk-js-v3", "aws-sdk-rust", "boto3"] {
        assert_in(&said, &[&format!("{client} 200 page-2 k0 k1 k2 k3 k4 k5")]);
    }
}

/// Opens a shell at each kind of vantage, with a terminal and without one.
#[track_caller]
fn shells(project: &Project) {
    assert_in(&run(project, &["shell", "--from", "app"], 2), &["its image contains only the agent", "image: clients"]);
    assert_in(&run(project, &["shell"], 2), &["--from: app, tools, beside, host"]);
    let piped = run(project, &["shell", "--from", "tools", "--", "sh", "-c", "echo $MINE; exit 7"], 7);
    assert_in(&piped, &["yes-it-is"]);
    let mut fed = project.parallax(&["shell", "--from", "beside"]);
    let mut fed = fed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let script = b"echo $AWS_ENDPOINT_URL $AWS_SECRET_ACCESS_KEY\nexit 5\n";
    std::io::Write::write_all(&mut fed.stdin.take().unwrap(), script).unwrap();
    let fed = fed.wait_with_output().unwrap();
    assert_eq!(fed.status.code(), Some(5));
    assert_in(&String::from_utf8_lossy(&fed.stdout), &["https://minio.example.com [redacted]"]);

    // The program `script`, which every Debian has, runs a command in a terminal. Pods have no DNS rule for the store's
    // name in this scenario.
    let parallax = assert_cmd::cargo::cargo_bin("parallax").display().to_string();
    let listing = "curl -sS --aws-sigv4 aws:amz:$AWS_REGION:s3 -u $AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY $AWS_ENDPOINT_URL/photos";
    let listed = "<Name>photos</Name>";
    for (from, answer) in [("tools", "Could not resolve host: minio.example.com"), ("beside", listed), ("host", listed)]
    {
        let typed =
            format!("test -t 0 && echo a-$((40+2)); {listing}; ls -d ..; echo at $PARALLAX_CA_BUNDLE; exit 6\n");
        let mut shell = Command::new("script");
        shell.args(["-qec", &format!("{parallax} shell --from {from}"), "/dev/null"]);
        shell.current_dir(project.path("")).env("XDG_STATE_HOME", project.path("state")).env("SHELL", "/bin/sh");
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut keyboard = shell.stdin.take().unwrap();
        let screen = Lines::of(shell.stdout.take().unwrap());
        std::io::Write::write_all(&mut keyboard, typed.as_bytes()).unwrap();
        let seen = screen.until("at /");
        assert_in(&seen, &["a-42", answer]);
        assert_eq!(shell.wait().unwrap().code(), Some(6), "{from}: {seen}");
    }
    let left = run(project, &["exec", "--from", "tools", "--", "sh", "-c", "ls /tmp"], 0);
    assert!(!left.contains("parallax-shell"), "a shell left its secrets: {left}");
}

/// Reads the log of each kind of object that has a log, by `parallax logs`.
#[track_caller]
fn logs(project: &Project) {
    assert_in(&run(project, &["logs"], 0), &["pod/minio-", "MinIO Object Storage Server"]);
    assert_in(&run(project, &["logs", "--of", "store", "--tail", "5"], 0), &["pod/minio-", "https://docs.min.io"]);
    assert_in(&run(project, &["logs", "--of", "node", "--tail", "5"], 0), &["node/node\n  "]);
    assert_in(&run(project, &["logs", "--of", "world"], 0), &["world\n  "]);
    assert_in(&run(project, &["logs", "--of", "app"], 0), &["agent"]);
    let nothing = run(project, &["logs", "--of", "nosuch"], 2);
    assert_in(&nothing, &["nothing here is called `nosuch`", "app, ", "node, ", "store, ", "world"]);
    assert_in(&run(project, &["logs", "r00000000"], 2), &["run r00000000 is not kept; these are: "]);
}

#[test]
fn a_failed_run_writes_a_bundle_that_stands_up_before_the_failed_step() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("stands", &SCENARIO.replace("status: 404", "status: 200"));
    let before = lists(&[]);
    let ended = project.e2e(&[]).end();
    ended.assert_code(1);
    ended.assert_says(&["look in    parallax up stands --before missing"]);
    assert!(ended.stderr.contains("repro.tar` brings what failed up on another machine"), "{}", ended.stderr);

    // The bundle must be enough to bring the variant up on another machine, which has neither the scenario nor its
    // fixtures.
    let other = Project::new();
    std::fs::remove_dir_all(other.path("fixtures")).unwrap();
    let bundle = ended.directory.join("repro.tar").display().to_string();
    assert_in(&run(&other, &["repro", &bundle, "nosuch"], 2), &["the bundle has no such variant; it has stands"]);
    let down = Down(&other);
    let said = run(&other, &["repro", &bundle, "--into", "there"], 0);
    assert_in(
        &said,
        &["stands of run ", "it failed at step missing", "kubectl --kubeconfig ", "parallax rerun missing,"],
    );
    assert!(!said.contains("warning"), "nothing differs here:\n{said}");
    assert_in(&run(&other, &["status"], 0), &["step got ran last"]);
    // The bundle is unpacked outside the project's folder. The next commands run in that folder.
    let run_of = |said: &str| said.lines().find_map(|it| it.split_once("  run ")).unwrap().1.trim().to_owned();
    let again = run(&other, &["rerun", "missing"], 1);
    assert_in(&again, &["failed   missing", "status: expected 200, saw 404", "NOT as declared"]);
    assert_in(&run(&other, &["down"], 0), &["objects removed"]);
    std::mem::forget(down);
    let elsewhere = tempfile::tempdir().unwrap();
    let into = elsewhere.path().join("there").display().to_string();
    let said = run(&other, &["repro", &bundle, "--into", &into], 0);
    let id = run_of(&said);
    assert_in(&said, &[&format!("parallax rerun --run {id} missing,"), &format!("parallax down --run {id}")]);
    assert_in(&run(&other, &["logs", "--run", &id, "--of", "store"], 0), &["pod/minio-"]);
    assert_in(&run(&other, &["repro", &bundle, "--into", &into], 2), &["it is there already"]);
    assert_in(&run(&other, &["down", "--run", &id], 0), &["objects removed"]);
    assert_eq!(lists(&[]), before);
}

#[test]
fn a_first_flow_names_the_step_that_failed_and_a_later_step_runs_with_those_between() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("stands", &SCENARIO.replace("status: 404", "status: 200"));
    let before = lists(&[]);
    let down = Down(&project);
    let said = run(&project, &["up", "stands"], 0);
    assert_in(
        &said,
        &["failed   missing", "status: expected 200, saw 404", "NOT as declared", "why       parallax explain "],
    );
    assert_in(&said, &["again     parallax rerun missing, parallax watch\n", "look in   parallax shell --from host, "]);
    let why = said.lines().find_map(|it| it.strip_prefix("why       parallax ")).unwrap();
    assert_in(&run(&project, &why.split(' ').collect::<Vec<_>>(), 0), &["`missing` from host"]);
    assert_in(&run(&project, &["down"], 0), &["objects removed"]);
    run(&project, &["up", "stands", "--until", "put"], 0);
    let later = run(&project, &["rerun", "missing"], 1);
    assert_in(&later, &["ok       got", "failed   missing", "NOT as declared"]);
    assert!(!later.contains("put"), "{later}");
    assert!(!run(&project, &["rerun", "missing"], 1).contains("got"));
    assert_in(&run(&project, &["down"], 0), &["objects removed"]);
    std::mem::forget(down);
    let record = project.path("target/e2e/latest/record.jsonl");
    let summary = run(&project, &["report", &record.display().to_string()], 0);
    assert_in(&summary, &["the harness itself"]);
    assert_eq!(lists(&[]), before);
}
