//! Tests of the command line, as people and scripts use it. The tests need no container engine.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, ends_with};
use tempfile::TempDir;

pub(crate) fn parallax(project: &Path) -> Command {
    let mut command = Command::cargo_bin("parallax").expect("the binary is built with the tests");
    command
        .current_dir(project)
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("PARALLAX_COMMAND");
    command
}

const PRESIGNED_URL: &str = "\
name: presigned-url
summary: A URL opens on both sides
labels: [presign]
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: \"{{ store.host }}\", to: \"{{ store.service }}\" }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: url, from: app, presign: { get: photos/a.txt, expires: 5m } }
  - { id: inside, from: app, http: { get: \"{{ url }}\" }, expect: { status: 404, s3: NoSuchKey } }
breaks:
  no-rewrite:
    change: { fixtures: { names: remove } }
    fails: { inside: { dns: no-such-name } }
";
const CONTRACT: &str = "\
name: contract
summary: What k3s promises
flow:
  - { id: namespace, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
";

/// Creates a project with two scenarios.
pub(crate) fn project() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [("presign/presigned-url", PRESIGNED_URL), ("contract", CONTRACT)] {
        let folder = dir.path().join("scenarios").join(name);
        fs::create_dir_all(&folder).expect("makes folders");
        fs::write(folder.join("scenario.yaml"), text).expect("writes");
    }
    dir
}

#[test]
fn each_command_has_help_and_the_main_ones_have_examples_and_exit_codes() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let table: [(&[&str], &[&str]); 26] = [
        (&["--help"], &["Exit codes:", "130  interrupted", "e2e"]),
        (
            &["e2e", "--help"],
            &["Examples:", "Exit codes:", "--provision", "--k3s", "--break", "N passed, N failed, N skipped"],
        ),
        (&["init", "--help"], &["overwrites no file"]),
        (&["lint", "--help"], &["Examples:"]),
        (&["list", "--help"], &["--json"]),
        (&["plan", "--help"], &["--json"]),
        (&["images", "--help"], &["list", "build"]),
        (&["images", "build", "--help"], &["--provision"]),
        (&["images", "bundle", "--help"], &["Examples:", "--output <FILE>", "OCI archive"]),
        (&["images", "load", "--help"], &["Examples:", "verified before anything is loaded"]),
        (&["gc", "--help"], &["process is alive"]),
        (&["up", "--help"], &["Examples:", "--until", "parallax down"]),
        (&["rerun", "--help"], &["Examples:", "--run"]),
        (&["watch", "--help"], &["Examples:"]),
        (&["exec", "--help"], &["Examples:", "--from"]),
        (&["shell", "--help"], &["Examples:", "--from", "Without a terminal"]),
        (&["logs", "--help"], &["Examples:", "--of", "--tail"]),
        (&["status", "--help"], &["Examples:"]),
        (&["down", "--help"], &["Examples:"]),
        (&["doctor", "--help"], &["--provision"]),
        (&["report", "--help"], &["--junit"]),
        (&["merge", "--help"], &["Examples:", "--out", "If a shard is missing"]),
        (&["repro", "--help"], &["Examples:", "--into"]),
        (&["completions", "--help"], &["Examples:", "bash"]),
        (&["man", "--help"], &["Examples:", "--out"]),
        (&["schema", "--help"], &["--check"]),
    ];
    for (args, expected) in table {
        let assert = parallax(here.path()).args(args).assert().success();
        let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        for word in expected {
            assert!(text.contains(word), "{args:?} does not say `{word}`:\n{text}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let table: [(&[&str], &str); 6] = [
        (&["e2e", "--provisoin"], "--provision"),
        (&["e2e", "--k3s", "newest"], "published"),
        (&["e2e", "--jobs", "0"], "1..=64"),
        (&["e3e"], "e2e"),
        (&["images"], "Usage"),
        (&["e2e"], "no scenarios/ here or in any folder above"),
    ];
    for (args, says) in table {
        parallax(here.path()).args(args).assert().code(2).stderr(contains(says)).stdout("");
    }
}

#[test]
fn a_filter_without_a_match_suggests_the_nearest_name_and_starts_no_run() {
    let project = project();
    parallax(project.path()).args(["e2e", "presing"]).assert().code(2).stderr(contains("did you mean `presign`?"));
    parallax(project.path())
        .args(["plan", "presign/presigned-ulr"])
        .assert()
        .code(2)
        .stderr(contains("did you mean `presign/presigned-url`?"));
    parallax(project.path())
        .args(["e2e", "presign", "--break", "no-rewirte"])
        .assert()
        .code(2)
        .stderr(contains("did you mean `no-rewrite`?"));
    assert!(!project.path().join("target").exists(), "a usage error starts nothing");
}

#[test]
fn list_finds_the_project_from_a_subfolder() {
    let project = project();
    let below = project.path().join("scenarios/presign");
    parallax(&below).arg("list").assert().success().stdout(
        contains("presign/presigned-url+no-rewrite")
            .and(contains("contract"))
            .and(contains("A URL opens on both sides")),
    );
    let assert = parallax(&below).args(["list", "--json"]).assert().success();
    let rows: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
}

#[test]
fn an_image_that_is_in_no_list_is_a_mistake_of_the_file() {
    let dir = project();
    let file = dir.path().join("scenarios/presign/presigned-url/scenario.yaml");
    let text = PRESIGNED_URL.replace("pod: { trust: [ca] }", "pod: { trust: [ca], image: clinets }");
    fs::write(&file, text).expect("writes");
    for command in [&["lint"][..], &["plan"], &["e2e"]] {
        parallax(dir.path()).args(command).assert().code(2).stderr(
            contains("no image is called `clinets` in images.lock")
                .and(contains("did you mean `clients`?"))
                .and(contains("scenarios/presign/presigned-url/scenario.yaml:9")),
        );
    }
    fs::write(&file, PRESIGNED_URL).expect("writes");
    fs::create_dir_all(dir.path().join("images")).expect("makes the folder");
    fs::write(dir.path().join("images/images.lock"), "extends: shiped\nimages: []\n").expect("writes");
    parallax(dir.path()).arg("lint").assert().code(2).stderr(contains("images.lock:1"));
}

#[test]
fn init_writes_a_scenario_that_lints_and_plans() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    parallax(dir.path()).arg("init").assert().success().stderr(contains("parallax e2e"));
    let says = contains("1 scenario and 1 break are in order");
    parallax(dir.path()).arg("lint").assert().success().stdout(says);
    parallax(dir.path()).arg("plan").assert().success().stdout(contains("s3.example.com"));
    fs::write(dir.path().join("scenarios/first/scenario.yaml"), "mine").expect("writes");
    parallax(dir.path()).arg("init").assert().code(2).stderr(contains("nothing was written"));
    let content = fs::read_to_string(dir.path().join("scenarios/first/scenario.yaml")).expect("reads");
    assert_eq!(content, "mine");
}

/// Starts a server that refuses every request with the error `AccessDenied`, as an S3 store refuses a request without
/// a signature. Returns the server's address.
fn store_that_refuses() -> SocketAddr {
    const BODY: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|it| !it.is_empty()).count();
            let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
            // A client may close the connection early, so a write error is ignored. If the answer is then missing, the
            // assertions about the client's output fail.
            let _ = if head > 0 { stream.write_all(answer.as_bytes()) } else { Ok(()) };
        }
    });
    at
}

#[test]
fn check_saves_a_scenario_that_lints() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let endpoint = format!("http://{}", store_that_refuses());
    let check = |name: &str| {
        let mut command = parallax(dir.path());
        command.args(["check", &endpoint, "--outside-only", "--save", name]);
        command
    };
    check("mine").assert().success().stderr(contains("wrote scenarios/mine/scenario.yaml"));
    let says = contains("1 scenario and 1 break are in order");
    parallax(dir.path()).args(["lint", "--deny-warnings"]).assert().success().stdout(says);
    check("mine").assert().code(2).stderr(contains("exists already"));
    for name in ["../mine", "Mine", "-", ""] {
        check(name).assert().code(2);
    }
    assert_eq!(fs::read_dir(dir.path().join("scenarios")).expect("reads").count(), 1);
}

#[test]
fn init_in_a_repository_leaves_its_files_and_says_what_they_lack() {
    for (has, says) in [("/target\n", "left .gitignore as it is\n"), ("*.log\n", "as it is; add the line `/target/`")] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join(".gitignore"), has).expect("writes");
        let says = contains(says).and(contains("wrote scenarios/first/scenario.yaml"));
        parallax(dir.path()).arg("init").assert().success().stderr(says);
        assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).expect("reads"), has);
    }
}

#[test]
fn the_readme_shows_the_scenario_that_init_writes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    parallax(dir.path()).arg("init").assert().success();
    let written = fs::read_to_string(dir.path().join("scenarios/first/scenario.yaml")).expect("reads");
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("reads");
    assert!(readme.contains(&written), "README.md does not show\n{written}");
}

/// Returns the record of a run with one failure. Each line of the record is one event.
fn record() -> String {
    [
        r#"{"at_ms":0,"event":{"run-started":{"format":1,"run":"r00000001","parallax":"0.1.0","started":"2026-11-22T15:00:00Z","filters":[],"variants":["contract"],"directory":"target/e2e/r00000001"}}}"#,
        r#"{"at_ms":900,"event":{"setup-ended":{"id":"engine","took_ms":900,"detail":"found"}}}"#,
        r#"{"at_ms":950,"event":{"variant-ended":{"variant":"contract","outcome":{"not-as-expected":{"problems":[{"step":"nodes","place":"scenarios/contract/scenario.yaml:7","sentence":"the node is not ready","expected":"Ready","seen":"NotReady"}]}},"took_ms":50}}}"#,
        r#"{"at_ms":960,"event":{"run-ended":{"exit":"not-as-expected","passed":0,"failed":1,"skipped":0,"unproven":[],"took_ms":960}}}"#,
        "",
    ]
    .join("\n")
}

#[test]
fn reports_can_be_generated_again_from_a_record() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("record.jsonl"), record()).expect("writes");
    let page = dir.path().join("page.md");
    parallax(dir.path())
        .args(["report", "record.jsonl"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &page)
        .assert()
        .success()
        .stdout(contains("the node is not ready").and(ends_with("\n0 passed, 1 failed, 0 skipped\n")))
        .stderr(contains(
            "::error file=scenarios/contract/scenario.yaml,line=7,title=contract%3A nodes::the node is not ready",
        ));
    let junit = fs::read_to_string(dir.path().join("junit.xml")).expect("junit.xml was written");
    assert!(junit.contains(r#"failures="1""#), "{junit}");
    assert!(fs::read_to_string(page).expect("the page was written").contains("the node is not ready"));
}

#[test]
fn reports_can_be_generated_from_the_record_of_a_killed_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let record = record();
    fs::write(dir.path().join("record.jsonl"), &record[..record.len() - 40]).expect("writes");
    parallax(dir.path())
        .args(["report", ".", "--junit", "other.xml"])
        .assert()
        .success()
        .stdout(contains("the run did not end in order").and(ends_with("\n0 passed, 1 failed, 0 skipped\n")));
    assert!(dir.path().join("other.xml").exists());
}

#[test]
fn a_record_that_does_not_exist_is_a_mistake_of_the_command_line() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    parallax(dir.path())
        .args(["report", "nowhere"])
        .assert()
        .code(2)
        .stderr(contains("nowhere").and(contains("target/e2e/latest")));
}

/// Returns the completions that bash offers for the last word of `words`.
fn bash_offers(project: &Path, words: &[&str]) -> Vec<String> {
    let script = parallax(project).args(["completions", "bash"]).assert().success().get_output().stdout.clone();
    fs::write(project.join("completions.sh"), script).expect("writes");
    let (current, before) = (words[words.len() - 1], words[words.len() - 2]);
    let asks = format!(
        "source ./completions.sh; COMP_WORDS=({}); COMP_CWORD={}; _parallax_with_names parallax '{current}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1
    );
    let binary = assert_cmd::cargo::cargo_bin("parallax");
    let path =
        format!("{}:{}", binary.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let ended = std::process::Command::new("bash").args(["-c", &asks]).current_dir(project).env("PATH", path).output();
    let ended = ended.expect("bash runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&ended.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_commands_options_scenarios_and_breaks() {
    let project = project();
    for (words, offered) in [
        (&["parallax", "rer"][..], "rerun"),
        (&["parallax", "e2e", "--sha"], "--shard"),
        (&["parallax", "e2e", "presign/"], "presign/presigned-url+no-rewrite"),
        (&["parallax", "up", "con"], "contract"),
    ] {
        let offers = bash_offers(project.path(), words);
        assert!(offers.iter().any(|it| it == offered), "{words:?}: {offers:?}");
    }
    let offers = bash_offers(project.path(), &["parallax", "e2e", "con"]);
    assert_eq!(offers, ["contract"]);
    for (shell, names) in
        [("zsh", ":_parallax_names'"), ("fish", "(parallax list 2>/dev/null"), ("bash", "_parallax_names")]
    {
        parallax(project.path())
            .args(["completions", shell])
            .assert()
            .success()
            .stdout(contains(names).and(contains("rerun")).and(contains("reaper").not()));
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let here = tempfile::tempdir().expect("a temporary folder");
    parallax(here.path()).arg("man").assert().success().stdout(contains(".TH parallax 1").and(contains("rerun")));
    parallax(here.path()).args(["man", "e2e"]).assert().success().stdout(contains("shard").and(contains("Examples")));
    parallax(here.path()).args(["man", "e3e"]).assert().code(2).stderr(contains("there is no command `e3e`"));
    parallax(here.path()).args(["man", "--out", "pages"]).assert().success().stdout("");
    let pages: Vec<String> = fs::read_dir(here.path().join("pages"))
        .expect("reads")
        .flatten()
        .map(|it| it.file_name().display().to_string())
        .collect();
    assert!(pages.contains(&"parallax.1".to_owned()) && pages.contains(&"parallax-e2e.1".to_owned()), "{pages:?}");
    assert!(!pages.iter().any(|it| it.contains("reaper") || it.contains("hold")), "{pages:?}");
}

#[test]
fn doctor_says_each_check_for_a_program_even_without_an_engine() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let mut command = parallax(here.path());
    command.args(["doctor", "--json"]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let assert = command.assert().code(3).stderr(contains("/nonexistent/docker.sock"));
    let said: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert_eq!(said["can-run"], false);
    let checks = said["checks"].as_array().expect("a list");
    let names: Vec<&str> = checks.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "engine",
            "privileges",
            "cgroups",
            "inotify",
            "disk",
            "memory",
            "ports",
            "image sources",
            "own programs",
            "image pins",
            "clock",
            "DNS",
            "proxy",
            "CA variables"
        ]
    );
    assert_eq!(checks[0]["state"], "error");
    assert!(checks.iter().all(|it| it["why"].as_str().is_some_and(|why| !why.is_empty())), "{checks:?}");
    assert!(checks[0]["fix"].is_string());
    assert!(said["programs"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == "dockerd")));
}

#[test]
fn doctor_shows_no_password_of_a_proxy_or_an_engine() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let hosts =
        ["tcp://me:hunter22@127.0.0.1:1", "me:hunter22@127.0.0.1:1", "me:hunter22@engine.example", "hunter22@e"];
    for (host, json) in hosts.into_iter().flat_map(|host| [(host, false), (host, true)]) {
        let mut command = parallax(here.path());
        command.arg("doctor").args(json.then_some("--json"));
        command.env("DOCKER_HOST", host).env_remove("DOCKER_TLS_VERIFY");
        command
            .env("HTTPS_PROXY", "me:hunter22@proxy.example:3128")
            .env("all_proxy", "http://me:hunt@er22@proxy.example");
        let assert = command.assert().code(3);
        let output = assert.get_output();
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("hunter22") && !said.contains("er22"), "{host}: {said}");
        assert!(said.contains("HTTPS_PROXY=[redacted]@proxy.example:3128"), "{host}: {said}");
    }
}

/// Tests each command that reads a path. If the user mistypes the path, the exit code must be 2 (a mistake of the user)
/// and not 3 (a failure of the machine).
#[test]
fn a_path_that_the_user_mistyped_is_no_failure_of_the_machine() {
    let project = project();
    let at = |name: &str| project.path().join(name);
    fs::create_dir(at("folder")).expect("makes a folder");
    for name in ["text", "kubeconfig"] {
        fs::write(at(name), "no such thing\n").expect("writes");
    }
    fs::write(at("contexts"), "contexts: [{ name: one, context: { cluster: c, user: u } }]\n").expect("writes");
    let of = |args: &[&str], expected: &str| {
        let mut command = parallax(project.path());
        // No engine answers at this address. So the test fails if a command connects to the engine before it finds
        // the mistake.
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").args(args);
        command.assert().code(2).stderr(contains(expected));
    };
    of(&["repro", "nosuch.tar"], "failed to read nosuch.tar");
    of(&["repro", "text"], "is no bundle of a failed run");
    of(&["repro", "folder"], "failed to read folder/repro.tar");
    for command in [&["explain"][..], &["report"], &["merge", "--out", "new"]] {
        of(&[command, &["text"]].concat(), "line 1 of text is not an event");
        of(&[command, &["nosuch"]].concat(), "failed to read the record nosuch");
    }
    of(&["--project", "text", "init"], "failed to write text/scenarios/first/scenario.yaml");
    of(&["man", "--out", "text"], "failed to write text");
    of(&["e2e", "--out", "text"], "failed to make the run's directory");
    of(&["e2e", "--kubeconfig", "nosuch"], "--kubeconfig nosuch: ");
    of(&["e2e", "--kubeconfig", "text"], "--kubeconfig text: ");
    fs::write(at("token"), "users:\n- name: a\n  user:\n    token: opaque\n   wrong: x\n").expect("writes");
    let token = ["e2e", "--kubeconfig", "token"];
    of(&token, "the YAML is not a kubeconfig, line ");
    parallax(project.path()).args(token).assert().code(2).stderr(contains("opaque").not());
    of(&["e2e", "--kubeconfig", "contexts"], "it names no current context; give one with --context: one");
    of(&["e2e", "--kubeconfig", "contexts", "--context", "two"], "it has no context `two`; it has one");
    let check = ["check", "https://127.0.0.1:1", "--image", "x", "--kubeconfig", "nosuch"];
    of(&check, "--kubeconfig nosuch: ");
    of(&["images", "bundle", "--output", "nosuch/images.tar"], "its folder does not exist");
    of(&["images", "bundle", "--output", "folder"], "it is a folder");
    of(&["images", "build", "agent", "--output", "text"], "failed to create text: ");
    of(&["images", "build", "agent", "--output", "images/built"], "choose another folder");
}

#[test]
fn a_run_that_e2e_left_is_named_with_the_ways_to_get_in_and_to_remove_it() {
    let (project, state) = (project(), tempfile::tempdir().expect("a temporary folder"));
    let of = |run: &str| project.path().join("target/e2e").join(run);
    let says = |args: &[&str], expected: &str| {
        let mut command = parallax(project.path());
        command.env("XDG_STATE_HOME", state.path()).args(args).assert().code(2).stderr(contains(expected));
    };
    let commands: [&[&str]; 4] = [&["rerun"], &["exec", "--", "true"], &["shell"], &["logs"]];
    for command in commands {
        says(command, "no variant is kept; `parallax up SCENARIO` starts one and keeps it");
    }
    for run in ["r1", "r2"] {
        let (ledger, directory) = (state.path().join("parallax/runs").join(run), of(run));
        fs::create_dir_all(&ledger).expect("makes folders");
        fs::create_dir_all(&directory).expect("makes folders");
        fs::write(directory.join("c1.kubeconfig"), "").expect("writes");
        let kept = serde_json::json!({ "project": project.path(), "directory": directory });
        fs::write(ledger.join("standing"), kept.to_string()).expect("writes");
        if run == "r1" {
            for command in commands {
                says(command, "run r1 was left by `e2e --keep`, and no process answers for it");
            }
        }
    }
    // Several runs are kept, and the arguments of the command do not say which run is meant. The message must be the
    // same as if no variant is kept.
    says(&["rerun"], "no variant is kept");
    says(&["logs", "--run", "r2"], "run r2 was left by `e2e --keep`");
    says(&["logs", "r2", "--run", "r2"], "cannot be used with");
    says(&["down", "--run", "r3"], "run r3 is not kept");
    let mut status = parallax(project.path());
    let shown = format!("kubectl --kubeconfig {} get pods -A", of("r1").join("c1.kubeconfig").display());
    let status = status.env("XDG_STATE_HOME", state.path()).arg("status").assert().code(0);
    status.stdout(contains("e2e --keep  run r1").and(contains(shown)).and(contains("parallax down r2")));
    let kubectl =
        format!("`kubectl --kubeconfig {} get pods -A` shows its pods", of("r2").join("c1.kubeconfig").display());
    says(&["exec", "--run", "r2", "--", "true"], &kubectl);
    says(&["exec", "--run", "r2", "--", "true"], "`parallax down r2` removes what was left");
}
