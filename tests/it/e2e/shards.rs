//! Tests of a run that is divided among machines, of a run that stops after failures, and of a run that repeats
//! variants after failures of the machine.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use parallax_vocab::event::Outcome;
use parallax_vocab::{Event, EventKind};
use serial_test::serial;

use super::bench::{HELD, Project, lists, no_engine, reserve};
use super::standing::cluster_named;
use super::unanswered::node;
use crate::engine::bench::docker;

/// A quick scenario. Its steps only read objects from the apiserver. Its baseline is as declared if the namespace
/// `NAMESPACE` exists.
const ASKS: &str = r"name: NAME
summary: A namespace is there
flow:
  - { id: there, resource: { api-version: v1, kind: Namespace, name: NAMESPACE }, expect: { object: { kind: Namespace } } }
  - { id: control, resource: { api-version: v1, kind: Namespace, name: kube-system }, expect: { object: { kind: Namespace } } }
breaks:
  another:
    change: { flow: { there: { resource: { name: another } } } }
    fails: { there: { resource: it does not exist } }
";

fn asks(project: &Project, name: &str, namespace: &str) {
    project.scenario(name, &ASKS.replace("NAMESPACE", namespace).replace("NAME", name));
}

/// Returns how each variant ended. For a variant that is not as declared, the text also contains the ids of the steps
/// with another result than declared.
fn verdicts(events: &[Event]) -> BTreeMap<String, String> {
    let ended = events.iter().filter_map(|event| match &event.event {
        EventKind::VariantEnded(ended) => Some(ended),
        _ => None,
    });
    let word = |outcome: &Outcome| match outcome {
        Outcome::NotAsExpected { problems } => {
            format!("not as declared: {:?}", problems.iter().map(|it| it.step.as_str()).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    ended.map(|it| (it.variant.to_string(), word(&it.outcome))).collect()
}

#[test]
#[serial(engine)]
fn two_shards_joined_have_the_verdicts_of_one_run() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    for (name, namespace) in [("one", "default"), ("two", "default"), ("wrong", "nosuch")] {
        asks(&project, name, namespace);
    }
    let whole = project.e2e(&[]).end();
    whole.assert_code(1);
    let parts: Vec<_> = ["1/2", "2/2"].iter().map(|shard| project.e2e(&["--shard", shard]).end()).collect();
    let merge = |parts: &[&Path], out: &str| {
        let mut command = project.parallax(&["merge", "--out", out]);
        let ended = command.args(parts).output().unwrap();
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr),
        )
    };
    let [first, second] = [0, 1].map(|it| parts[it].directory.as_path());
    let (code, said) = merge(&[second, first], "whole");
    assert_eq!(code, Some(1), "{said}");
    let joined = parallax_record::read(&project.path("whole")).unwrap();
    assert_eq!(verdicts(&joined), verdicts(&whole.events));
    assert!(said.contains("5 passed, 1 failed, 0 skipped"), "{said}");
    let junit = std::fs::read_to_string(project.path("whole/junit.xml")).unwrap();
    assert!(junit.contains("tests=\"6\" skipped=\"0\" failures=\"1\""), "{junit}");
    assert!(project.path("whole/report.html").exists());

    // If a shard is missing, its variants have no verdict.
    let (code, said) = merge(&[first], "part");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("shard 2 of 2 is missing"), "{said}");
    // If a scenario changes between two shards, the shards tested different versions of the scenario. `merge` must
    // refuse their records.
    asks(&project, "two", "kube-public");
    let changed = project.e2e(&["--shard", "2/2"]).end();
    let (code, said) = merge(&[first, &changed.directory], "never");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("they ran different versions of two"), "{said}");
    assert!(!project.path("never").exists());
    // `merge` never overwrites an existing record.
    assert_eq!(merge(&[first, second], "whole").0, Some(2));
}

#[test]
#[serial(engine)]
fn after_enough_failures_the_rest_is_not_begun_and_the_report_says_so() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    let before = lists(&[]);
    asks(&project, "right", "default");
    let green = project.e2e(&["right", "--keep-on-failure"]);
    let id = green.id.clone();
    let green = green.end();
    green.assert_code(0);
    assert_eq!(lists(&[&id]), before, "nothing failed, so nothing is kept");
    assert!(!green.directory.join("c1.kubeconfig").exists());

    asks(&project, "wrong", "nosuch");
    let run = project.e2e(&["wrong", "--max-fail", "1", "--keep-on-failure"]);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(1);
    assert!(ended.stderr.contains(&format!("because of --keep-on-failure; `parallax down {id}`")), "{}", ended.stderr);
    let kubectl = format!("{}/c1.kubeconfig -n wrong get pods`", ended.directory.display());
    assert!(ended.stderr.contains("look into wrong: `kubectl --kubeconfig "), "{}", ended.stderr);
    assert!(ended.stderr.contains(&kubectl), "{}", ended.stderr);
    assert_ne!(lists(&[&id]), before);
    assert!(ended.directory.join("c1.kubeconfig").exists());
    // `down` removes only the runs of the project in which it is started. To remove a run of another project, the user
    // must give the id or the folder of the run.
    let other = Project::new();
    let from_other =
        |args: &[&str]| other.parallax(args).env("XDG_STATE_HOME", project.path("state")).output().unwrap();
    let refused = from_other(&["down"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("no run of this project is kept; of other projects these are, name one of them"), "{said}");
    assert!(said.contains(&format!("{id} (e2e --keep, ")) && said.contains(&format!("e2e/{id})")), "{said}");
    let none = from_other(&["down", "--older-than", "0s"]);
    assert_eq!(String::from_utf8_lossy(&none.stdout), "no run that old is kept\n");
    let none = project.parallax(&["down", "--older-than", "1h"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&none.stdout), "no run that old is kept\n");
    assert_ne!(lists(&[&id]), before);
    let folder = ended.directory.display().to_string();
    let status = project.parallax(&["status"]).output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(&format!("e2e --keep  run {id}")) && status.contains("c1.kubeconfig get pods"), "{status}");
    assert!(from_other(&["down", &folder]).status.success());
    assert_eq!(lists(&[&id]), before);
    assert!(!ended.directory.join("c1.kubeconfig").exists(), "it says how to reach what is gone");
    assert!(matches!(ended.outcome("wrong"), Outcome::NotAsExpected { .. }));
    assert!(matches!(ended.outcome("wrong+another"), Outcome::NotBegun { .. }), "{:?}", ended.outcome("wrong+another"));
    ended.assert_says(&[
        "not run",
        "not begun, because enough variants had failed (--max-fail 1)",
        "0 passed, 1 failed, 1 skipped",
    ]);
    // Variants that were not started do not count as passed, so `list --failed` lists them.
    let left = project.parallax(&["list", "--failed"]).output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert_eq!(left.lines().count(), 2, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn what_the_machine_broke_runs_again_and_the_report_says_so() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let project = Project::new();
    let begun = "flow:\n  - { id: begun, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }\n";
    project.scenario("held", &HELD.replace("flow:\n", begun));
    let before = lists(&[]);
    let mut run = project.e2e(&["--retry-machine", "1"]);
    let id = run.id.clone();
    run.wait_for_step("begun");
    docker(&["kill", &node(&id)]);
    run.wait_for("run again: held");
    run.wait_for_steps("begun", 2);
    let client = cluster_named(&id, "c1-again1").await;
    let gate: ConfigMap = serde_json::from_value(serde_json::json!({ "metadata": { "name": "gate" } })).unwrap();
    Api::<ConfigMap>::namespaced(client, "held").create(&PostParams::default(), &gate).await.unwrap();
    let ended = run.end();
    ended.assert_code(0);
    ended.assert_says(&["warning  try 1 of 1 (--retry-machine)", "run again after: ", "1 passed, 0 failed, 0 skipped"]);
    let junit = std::fs::read_to_string(ended.directory.join("junit.xml")).unwrap();
    assert!(junit.contains("<flakyError"), "{junit}");
    assert_eq!(lists(&[&id]), before);
}
