//! Tests of selecting variants on the command line. The tests need no container engine.

use std::fs;
use std::path::Path;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::cli::{parallax, project};

const BASELINE: &str = "presign/presigned-url";
const BREAK: &str = "presign/presigned-url+no-rewrite";

/// Returns the variants that `list` shows with these arguments, in order.
fn listed(project: &Path, state: &TempDir, args: &[&str]) -> Vec<String> {
    let mut command = parallax(project);
    command.env("XDG_STATE_HOME", state.path()).env("XDG_CACHE_HOME", state.path());
    let assert = command.args(["list", "--json"]).args(args).assert().success();
    let rows: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    let variant = |row: &serde_json::Value| row["variant"].as_str().expect("an id").to_owned();
    rows.as_array().expect("a list").iter().map(variant).collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn variants_are_chosen_by_name_label_and_break() {
    let (project, state) = (project(), folder());
    let table: [(&[&str], &[&str]); 8] = [
        (&[], &["contract", BASELINE, BREAK]),
        (&["presigned-url"], &[BASELINE, BREAK]),
        (&["scenarios/presign/presigned-url/scenario.yaml"], &[BASELINE, BREAK]),
        (&["--label", "presign", "--breaks", "none"], &[BASELINE]),
        (&["--label", "!presign"], &["contract"]),
        (&["--breaks", "none"], &["contract", BASELINE]),
        (&["--break", "no-*"], &[BREAK]),
        (&["--stores", "minio,garage"], &[BASELINE, BREAK]),
    ];
    for (args, expected) in table {
        assert_eq!(listed(project.path(), &state, args), expected, "{args:?}");
    }
    for (args, says) in [
        (&["--label", "presing"][..], "did you mean `presign`?"),
        (&["contract", "--label", "presign"], "the labels leave out all of it"),
        (&["--breaks", "none", "--break", "no-rewrite"], "cannot be used with"),
        (&["--failed"], "target/e2e/latest"),
        (&["--stores", "garage"], "none of it uses one of these stores"),
    ] {
        parallax(project.path()).arg("list").args(args).assert().failure().stderr(contains(says)).stdout("");
    }
    parallax(project.path()).args(["plan", "contract"]).assert().success().stdout(contains(BASELINE).not());
}

#[test]
fn an_unknown_store_is_refused_with_the_names_of_all_stores() {
    let project = project();
    for command in ["list", "plan", "e2e"] {
        parallax(project.path())
            .args([command, "--stores", "seaweedfs,versity"])
            .assert()
            .code(2)
            .stderr(contains("there is no store `versity`; the stores are `existing`, `garage`, `minio`,"))
            .stderr(contains("`seaweedfs`, `versitygw`"))
            .stdout("");
    }
}

/// Writes the record of a last run, in which the break `BREAK` failed and the baseline of the scenario `contract` was
/// not run.
fn last_run(project: &Path) {
    let folder = project.join("target/e2e/r1");
    fs::create_dir_all(&folder).expect("made");
    let variants = format!(r#"["contract","{BASELINE}","{BREAK}","gone/since"]"#);
    let ended = |variant: &str, outcome: &str| {
        format!(
            r#"{{"at_ms":1,"event":{{"variant-ended":{{"variant":"{variant}","outcome":{outcome},"took_ms":5}}}}}}"#
        )
    };
    let record = [
        format!(
            r#"{{"at_ms":0,"event":{{"run-started":{{"format":1,"run":"r1","parallax":"0.1.0","started":"2026-11-22T15:00:00Z","filters":[],"variants":{variants},"directory":"target/e2e/r1"}}}}}}"#
        ),
        ended(BASELINE, r#""as-expected""#),
        ended(BREAK, r#"{"not-as-expected":{"problems":[]}}"#),
        String::new(),
    ];
    fs::write(folder.join("record.jsonl"), record.join("\n")).expect("written");
    std::os::unix::fs::symlink("r1", project.join("target/e2e/latest")).expect("linked");
}

#[test]
fn failed_selects_what_failed_in_the_last_run() {
    let (project, state) = (project(), folder());
    last_run(project.path());
    assert_eq!(listed(project.path(), &state, &["--failed"]), ["contract", BREAK]);
    assert_eq!(listed(project.path(), &state, &["presign", "--failed"]), [BREAK]);
    parallax(project.path())
        .args(["list", BASELINE, "--failed", "--breaks", "none"])
        .assert()
        .code(2)
        .stderr(contains("nothing of it was red in the last run"));
}

#[test]
fn shards_hold_each_variant_of_the_catalogue_once() {
    let (ours, state) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder());
    let all = listed(ours, &state, &[]);
    let parts: Vec<Vec<String>> =
        (1..=4).map(|number| listed(ours, &state, &["--shard", &format!("{number}/4")])).collect();
    assert!(
        parts.iter().all(|part| part.len() > all.len() / 10),
        "{:?}",
        parts.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let mut joined: Vec<&String> = parts.iter().flatten().collect();
    joined.sort();
    let mut all: Vec<&String> = all.iter().collect();
    all.sort();
    assert_eq!(joined, all);
}

#[test]
fn a_shard_that_cannot_be_is_refused_before_anything_starts() {
    let project = project();
    for (args, says) in [
        (&["--shard", "3/3"][..], "a scenario is not divided, so there can be at most 2 parts"),
        (&["--shard", "3/2"], "write it as K/N"),
        (&["--shard", "1/2", "--failed"], "cannot be used with"),
        (&["--shard", "1/2", "--breaks", "changed"], "would not divide alike"),
    ] {
        parallax(project.path()).arg("e2e").args(args).assert().code(2).stderr(contains(says)).stdout("");
    }
    assert!(!project.path().join("target").exists(), "nothing was started");
}

fn git(folder: &Path, args: &[&str]) {
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let status = Command::new("git").arg("-C").arg(folder).args(who).args(args).status();
    assert!(status.expect("git runs").success(), "{args:?}");
}

#[test]
fn breaks_are_left_out_only_if_git_shows_no_change() {
    let (project, state) = (project(), folder());
    let changed = || listed(project.path(), &state, &["--breaks", "changed"]);
    let all = ["contract", BASELINE, BREAK];
    assert_eq!(changed(), all, "without git nothing is left out");
    git(project.path(), &["init", "-q", "-b", "main"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "-q", "-m", "all"]);
    assert_eq!(changed(), all, "on main nothing is left out");
    git(project.path(), &["checkout", "-q", "-b", "work"]);
    assert_eq!(changed(), ["contract", BASELINE]);
    parallax(project.path())
        .args(["plan", "--breaks", "changed"])
        .env("XDG_STATE_HOME", state.path())
        .assert()
        .success()
        .stderr(contains("1 break left out as unchanged (1 break as on main)"));
    fs::write(project.path().join("README.md"), "words").expect("written");
    assert_eq!(changed(), ["contract", BASELINE], "documentation does not matter");
    fs::write(project.path().join("scenarios/presign/presigned-url/notes.json"), "{}").expect("written");
    assert_eq!(changed(), all, "a file in the scenario's folder can matter");
}

#[test]
fn proof_cannot_be_required_of_a_part_of_a_scenario() {
    let project = project();
    parallax(project.path())
        .args(["e2e", "presign", "--break", "no-rewrite", "--require-proof"])
        .assert()
        .code(2)
        .stderr(contains("--require-proof, but of no scenario chosen"));
    assert!(!project.path().join("target").exists(), "a usage error starts nothing");
}

#[test]
fn lint_accepts_paths_names_and_labels() {
    let project = project();
    let broken = project.path().join("scenarios/presign/broken");
    fs::create_dir_all(&broken).expect("made");
    fs::write(broken.join("scenario.yaml"), "name: broken\nsumary: x\n").expect("written");
    let lint = |args: &[&str]| parallax(project.path()).arg("lint").args(args).assert();
    lint(&[]).code(2).stderr(contains("sumary"));
    lint(&["presign"]).code(2).stderr(contains("sumary"));
    lint(&["broken"]).code(2).stderr(contains("sumary"));
    lint(&["presigned-url"]).success().stdout(contains("1 scenario and 1 break are in order"));
    lint(&["scenarios/contract"]).success().stdout(contains("1 scenario and 0 breaks are in order"));
    lint(&["scenarios/contract", "presigned-url"]).success().stdout(contains("2 scenarios and 1 break"));
    // If the argument of `lint` is the name of a break, `lint` checks the scenario with this break.
    lint(&["presigned-url+no-rewrite"]).success().stdout(contains("1 scenario and 1 break are in order"));
    lint(&["presigned-url+none"]).code(2).stderr(contains("did you mean"));
    lint(&["broken+any"]).code(2).stderr(contains("sumary"));
    lint(&["presing"]).code(2).stderr(contains("did you mean `presign`?"));
    lint(&["./scenarios/none"]).code(2).stderr(contains("is not there"));
    // If a given folder contains no scenario, `lint` must fail, because it has checked nothing there.
    fs::create_dir(project.path().join("docs")).expect("made");
    lint(&["docs"]).code(2).stderr(contains("docs contains no scenario"));
    lint(&["scenarios/contract", "docs"]).code(2).stderr(contains("docs contains no scenario"));

    // A warning does not change the exit code, unless the user denies warnings.
    let scenario = "name: warned\nsummary: x\nvantages: { host: { outside: {} } }\nflow:\n  \
        - { id: get, from: host, http: { get: \"http://one/\" }, expect: { status: 200 } }\nbreaks:\n  \
        gone: { change: { flow: { get: { http: { get: \"http://two/\" } } } }, fails: { get: { connect: refused } } }\n";
    let warned = project.path().join("scenarios/warned");
    fs::create_dir_all(&warned).expect("made");
    fs::write(warned.join("scenario.yaml"), scenario).expect("written");
    let says = "no step of the break `gone` holds after the first failing one";
    lint(&["warned"]).success().stderr(contains(says)).stdout(contains("are in order, with 1 warning"));
    lint(&["warned", "--deny-warnings"]).code(2).stderr(contains(says));
    lint(&["presigned-url", "--deny-warnings"]).success();
    fs::remove_dir_all(broken).expect("removed");
    lint(&["--label", "presing"]).code(2).stderr(contains("no scenario has the label `presing`"));
    lint(&["scenarios/contract", "--label", "presign"]).code(2).stderr(contains("the labels leave out all of it"));
    lint(&["contract", "--label", "!presign"]).success().stdout(contains("1 scenario and 0 breaks are in order"));
    // A path is relative to the current folder, which may be below the project's folder.
    let below = |args: &[&str]| parallax(&project.path().join("scenarios/presign")).arg("lint").args(args).assert();
    below(&["presigned-url"]).success().stdout(contains("1 scenario and 1 break are in order"));
    fs::create_dir(project.path().join("fixtures")).expect("made");
    lint(&["fixtures"]).success();
    lint(&["--label", "presign"]).success().stdout(contains("1 scenario and 1 break are in order"));
}
