//! Tests the fixture `existing`: one project keeps a store (`parallax up`), and the scenarios of another project use it
//! with `--kubeconfig`, in the same way as a user's own store. Afterwards, the bucket must have the same objects as
//! before, and no output may contain the store's keys.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use parallax_vocab::event::Outcome;
use rustix::process::Signal;

use super::bench::{Ended, Project, Run, no_engine, reserve};
use super::canary::{PRINTER, hits, outputs};
use super::check::Standing;

/// The time limit for the reaper to remove the pods of a killed run, and then the objects that the pods wrote to the
/// store.
const REAPED_WITHIN: Duration = Duration::from_mins(2);

/// The scenario of the project that keeps the store. The store's bucket has one object. The step `all` lists the
/// bucket, so that a test can see whether the object is still the only one.
const THEIRS: &str = r#"name: stands
summary: A store that is used from both sides
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: s3.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { image: clients, trust: [ca] } }
flow:
  - { id: put, from: app, s3: { put: photos/theirs.txt, body: hello } }
  - { id: all, needs: [put], from: app, s3: { list: photos }, expect: { keys: [theirs.txt] } }
"#;

/// Returns the scenario that docs/your-own-stack.md shows.
fn documented() -> String {
    let page = include_str!("../../../docs/your-own-stack.md");
    let begins = page.find("name: own-store\n").expect("the page has the scenario");
    page[begins..].split("```").next().unwrap().to_owned()
}

/// Returns the scenario of the documentation with another name and another flow.
fn with_flow(name: &str, flow: &str) -> String {
    let documented = documented().replace("name: own-store", &format!("name: {name}"));
    format!("{}flow:\n{flow}", documented.split("flow:\n").next().unwrap())
}

/// Returns a scenario whose pod prints the store's keys in many forms.
fn printing() -> String {
    let printer = serde_json::to_string(PRINTER).unwrap();
    let script = format!("script: {{ run: [python3, -c, {printer}], store: store, env: {{ CANARY: nothing }} }}");
    let secret = "resource: { api-version: v1, kind: Secret, name: \"{{ store.keys }}\" }";
    with_flow(
        "printing",
        &format!(
            "  - {{ id: printed, from: app, {script}, expect: {{ exit: 0, stdout: nothing of the kind }} }}\n\
             \x20 - {{ id: kept, {secret}, expect: {{ object: {{ data: {{ secret-key: eA== }} }} }} }}\n\
             \x20 - {{ id: put, from: app, s3: {{ put: \"photos/{{{{ store.prefix }}}}/a.txt\", body: hello }}, expect: {{ status: 500 }} }}\n"
        ),
    )
    .replace("app: { pod: { trust: [ca] } }", "app: { pod: { image: clients, trust: [ca] } }")
}

/// A flow that expects no object below the environment's prefix in the bucket, and then writes an object there.
const EMPTY_AT_FIRST: &str = r#"  - { id: empty, from: app, s3: { list: "photos/{{ store.prefix }}/" }, expect: { keys: [] } }
  - { id: put, needs: [empty], from: app, s3: { put: "photos/{{ store.prefix }}/a.txt", body: hello } }
  - { id: got, needs: [put], from: host, s3: { get: "photos/{{ store.prefix }}/a.txt" }, expect: { body: hello } }
  - { id: there, needs: [put], from: app, s3: { head: "photos/{{ store.prefix }}/a.txt" }, expect: { status: 200 } }
breaks:
  another-body:
    change: { flow: { put: { s3: { body: other } } } }
    fails: { got: { mismatch: body } }
"#;

/// A flow that writes an object, and then waits until the run ends.
const WAITS: &str = r#"  - { id: put, from: app, s3: { put: "photos/{{ store.prefix }}/a.txt", body: hello } }
  - { id: gate, needs: [put], resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } } }
"#;

/// Steps that would write or delete an object outside the run's prefix. Each entry has the scenario's name, the step,
/// and a part of the expected message.
const ASTRAY: [(&str, &str, &str); 6] = [
    ("put", "s3: { put: photos/theirs.txt, body: changed }", "it would change photos/theirs.txt in the existing store"),
    ("delete", "s3: { delete: photos/theirs.txt }", "it would change photos/theirs.txt in the existing store"),
    (
        "url",
        "presign: { put: photos/theirs.txt, expires: 5m }",
        "it would change photos/theirs.txt in the existing store",
    ),
    (
        "request",
        "http: { delete: \"{{ store.endpoint }}/photos/theirs.txt\" }, expect: { status: 204 }",
        "it would change photos/theirs.txt in the existing store",
    ),
    ("bucket", "s3: { create-bucket: own }", "it would change own/ in the existing store"),
    (
        "beside",
        "s3: { put: \"photos/{{ store.prefix }}-2/a.txt\", body: a }",
        "begin the key with `{{ store.prefix }}/`",
    ),
];

/// The scenarios of the project that uses the existing store, by name.
fn scenarios() -> Vec<(&'static str, String)> {
    let own = [("own-store", documented()), ("printing", printing())];
    let flows = [("empty-at-first", EMPTY_AT_FIRST), ("empty-again", EMPTY_AT_FIRST), ("waits", WAITS)];
    let flows = flows.map(|(name, flow)| (name, with_flow(name, flow)));
    let astray = ASTRAY.map(|(name, step, _)| {
        // The linter requires that a signed URL is opened, and that a flow asserts something. The step `then` fulfils
        // these two rules.
        let then = if name == "url" {
            "http: { put: \"{{ harm }}\", body: changed }"
        } else {
            "dns: { name: s3.example.com }"
        };
        let expect = if name == "url" { "status: 200" } else { "dns: no-such-name" };
        let flow = format!(
            "  - {{ id: harm, from: app, {step} }}\n  - {{ id: then, from: app, {then}, expect: {{ {expect} }} }}\n"
        );
        (name, with_flow(name, &flow))
    });
    own.into_iter().chain(flows).chain(astray).collect()
}

#[test]
fn the_flows_are_valid() {
    let library = parallax_language::fixture::Library::shipped();
    for (name, text) in scenarios() {
        let loaded = parallax_language::scenario::Loaded::read(&library, name, "scenario.yaml", text.as_bytes());
        if let Err(errors) = loaded {
            panic!("{name}: {}", parallax_language::scenario::diagnostic::render(&errors, false));
        }
    }
}

/// The project that uses the existing store, and the store's keys.
struct Own<'a> {
    project: &'a Project,
    theirs: &'a Standing<'a>,
    keys: [String; 2],
}

impl Own<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.parallax(args);
        command.env("STORE_ACCESS_KEY", &self.keys[0]).env("STORE_SECRET_KEY", &self.keys[1]);
        command
    }

    /// Returns the command for a run of a scenario, with the store's keys in the environment.
    fn e2e(&self, scenario: &str) -> Command {
        let Standing { kubeconfig, name_server, .. } = self.theirs;
        let own = ["--kubeconfig", kubeconfig, "--name-server", name_server, "--images-present"];
        self.command(&[&["e2e", scenario][..], &own[..]].concat())
    }

    fn run(&self, scenario: &str) -> Ended {
        Run::start(self.e2e(scenario), self.project).end()
    }
}

/// Asserts that the bucket has only the object that was there before.
fn is_as_before(host: &Project, what: &str) {
    let ended = host.parallax(&["rerun", "all"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{what}: {}", said(&ended));
}

fn said(ended: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
}

#[test]
fn a_run_uses_a_store_that_exists_and_leaves_it_as_it_was() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let (host, project) = (Project::new(), Project::new());
    host.scenario("stands", THEIRS);
    let theirs = Standing::up(&host, "stands");
    for (name, text) in scenarios() {
        project.scenario(name, &text);
    }
    std::fs::create_dir(project.path("trust")).unwrap();
    std::fs::write(project.path("trust/ca.pem"), theirs.authority()).unwrap();
    let key = |name: &str| String::from_utf8(theirs.with_variables(&format!("printf %s ${name}"))).unwrap();
    let keys = [key("AWS_ACCESS_KEY_ID"), key("AWS_SECRET_ACCESS_KEY")];
    assert!(keys.iter().all(|it| it.len() >= 20), "the keys of the store are not known");
    let own = Own { project: &project, theirs: &theirs, keys };

    // The baseline holds. In the break, the declared step fails.
    let ended = own.run("own-store");
    ended.assert_code(0);
    for variant in ["own-store", "own-store+wrong-secret"] {
        assert_eq!(*ended.outcome(variant), Outcome::AsExpected, "{}\n{}", ended.stderr, ended.stdout);
    }
    ended.assert_says(&["2 passed, 0 failed, 0 skipped", "nothing is left"]);
    is_as_before(&host, "after a run");
    let ended = own.run("empty-at-first");
    ended.assert_code(0);
    ended.assert_says(&["2 passed, 0 failed, 0 skipped"]);
    is_as_before(&host, "after two variants that write");

    // With `--namespace`, the environments of the two scenarios have the same prefix. The second environment must
    // nevertheless find the prefix empty.
    let mut command = own.e2e("empty-at-first");
    command.args(["--namespace", "default", "empty-again"]);
    let ended = Run::start(command, &project).end();
    ended.assert_code(0);
    ended.assert_says(&["4 passed, 0 failed, 0 skipped", "nothing is left"]);
    is_as_before(&host, "after two environments in one namespace");

    // No output may contain the store's keys, although the flow prints them and steps that use them fail.
    let summary = project.path("summary.md");
    std::fs::write(&summary, "").unwrap();
    let mut command = own.e2e("printing");
    command.arg("-vv").env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let ended = Run::start(command, &project).end();
    ended.assert_code(1);
    let mut texts = outputs(&ended, &summary);
    for args in [&["lint"][..], &["plan", "--json"], &["list"]] {
        let ended = own.command(args).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", said(&ended));
        texts.push((args.join(" "), said(&ended)));
    }
    assert_eq!(hits(&texts, &own.keys), Vec::<String>::new(), "parts of the keys are visible");
    for step in ["printed", "kept", "put"] {
        let told = ended.steps().find(|it| it.step.as_str() == step).map(|it| serde_json::to_string(it).unwrap());
        let told = told.unwrap_or_else(|| panic!("step {step} did not end: {}", ended.stderr));
        assert!(told.contains("[redacted]") || told.contains("digest:"), "{step} hid nothing: {told}");
    }
    is_as_before(&host, "after failed steps");

    // If the user stops the run, the objects that the flow wrote to the store must be removed.
    let run = Run::start(own.e2e("waits"), &project);
    run.wait_for_step("put");
    let ended = host.parallax(&["rerun", "all"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "the flow has written nothing: {}", said(&ended));
    run.signal(Signal::INT);
    run.end().assert_code(130);
    is_as_before(&host, "after Ctrl-C");

    // If the run is killed, its reaper must remove the objects that the flow wrote to the store. The reaper gets the
    // store's keys through its pipe, so the keys are in no file.
    let run = Run::start(own.e2e("waits"), &project);
    run.wait_for_step("put");
    run.signal(Signal::KILL);
    let id = run.id.clone();
    let ended = run.end();
    assert_eq!(ended.code, None);
    let deadline = Instant::now() + REAPED_WITHIN;
    while host.parallax(&["rerun", "all"]).output().unwrap().status.code() != Some(0) {
        assert!(Instant::now() < deadline, "the reaper does not remove what is in the store");
    }
    let state = project.path("state/parallax/runs").join(&id);
    let texts: Vec<_> = std::fs::read_dir(state).into_iter().flatten().flatten().map(|it| it.path()).collect();
    assert!(texts.iter().any(|it| it.ends_with("reaper.log")), "the reaper's log is not among {texts:?}");
    let texts = texts.iter().map(|it| (it.display().to_string(), std::fs::read_to_string(it).unwrap_or_default()));
    assert_eq!(hits(&texts.collect::<Vec<_>>(), &own.keys), Vec::<String>::new(), "keys are in the state folder");

    // The harness must refuse a step that would write outside the run's prefix in the bucket, before it sends the
    // request.
    for (name, _, says) in ASTRAY {
        let ended = own.run(name);
        ended.assert_code(3);
        ended.assert_says(&[says]);
        is_as_before(&host, name);
    }

    // If an environment variable is missing, the scenario is skipped. The reason must contain the name of the variable,
    // and the line of the scenario file that uses the variable.
    let mut command = own.e2e("own-store");
    command.arg("--allow-skips").env_remove("STORE_SECRET_KEY");
    let ended = Run::start(command, &project).end();
    ended.assert_code(0);
    let line = documented().lines().position(|it| it.contains("STORE_SECRET_KEY")).unwrap() + 1;
    let reason =
        format!("the environment variable STORE_SECRET_KEY is not set (scenarios/own-store/scenario.yaml:{line})");
    assert_eq!(*ended.outcome("own-store"), Outcome::Skipped { reason });

    // Without `--kubeconfig`, the harness starts a cluster of its own, and this cluster cannot reach the store. The
    // reason for the skip must say that the fixture uses a store outside the cluster, and must contain the name of the
    // missing variable.
    let mut command = own.command(&["e2e", "own-store", "--allow-skips"]);
    command.env_remove("STORE_SECRET_KEY");
    let ended = Run::start(command, &project).end();
    ended.assert_code(0);
    let Outcome::Skipped { reason } = ended.outcome("own-store") else { panic!("not skipped: {}", ended.stdout) };
    for part in ["fixture `store` uses what exists outside", "the environment variable STORE_SECRET_KEY is not set"] {
        assert!(reason.contains(part), "{reason}");
    }
}
