//! Tests of `parallax shards` for scenarios whose objects come from a chart: they are made on this machine and given to
//! the pods. The tests need no container engine and no cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use super::cli::parallax;

const SCENARIO: &str = "\
name: x
summary: x
fixtures:
  app: { use: helm, chart: charts/app, values-files: [values.yaml] }
flow:
  - { id: a, resource: { api-version: v1, kind: ConfigMap, name: a }, expect: { object: { kind: ConfigMap } } }
breaks:
  other:
    change: { fixtures: { app: { release: other } } }
    fails: { a: { resource: it does not exist } }
";

/// What a program `helm` says when it is looked for.
const VERSION: &str = "if [ \"$1\" = version ]; then echo v3.15.0; exit; fi";

/// Returns a project with a chart, and a folder with a program `helm` that makes one object and counts its calls.
fn project() -> (TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("scenarios/x/scenario.yaml", SCENARIO);
    write("charts/app/Chart.yaml", "name: app");
    write("values.yaml", "a: 1");
    let object = "{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }";
    let calls = home.path().join("calls");
    write("tools/helm", &format!("#!/bin/sh\n{VERSION}\necho called >> {}\necho '{object}'\n", calls.display()));
    let tools = home.path().join("tools");
    fs::set_permissions(tools.join("helm"), fs::Permissions::from_mode(0o755)).unwrap();
    (home, tools)
}

const SHARDS: [&str; 9] = ["shards", "--as", "job", "--shards", "1", "--image", "runner:1", "--secret", "s"];

fn calls(project: &Path) -> usize {
    fs::read_to_string(project.join("calls")).unwrap_or_default().lines().count()
}

#[test]
fn the_objects_of_a_chart_are_made_here_and_given_to_the_pods() {
    let (home, tools) = project();
    let root = home.path();
    let shards = |more: &[&str]| {
        let mut command = parallax(root);
        command.args(SHARDS).args(["--upload", "s3://runs"]).args(more).env("PATH", &tools);
        command.assert()
    };
    let named = || contains("scenarios/x/scenario.yaml:4: fixture app runs \"helm template app charts/app\"");
    shards(&[]).code(2).stdout("").stderr(named().and(contains("-- --allow-host-programs")));
    assert_eq!(calls(root), 0);
    let in_image = shards(&["--project-in-image", "/work"]).success();
    in_image.stdout(contains("PARALLAX_READY_MADE").not());
    assert_eq!(calls(root), 0);

    let done = shards(&["--", "--allow-host-programs=unconfined"]).success();
    assert_ne!(calls(root), 0);
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let (files, job) = text.split_once("---\n").unwrap();
    assert!(job.contains("{ name: PARALLAX_READY_MADE, value: \"/project/ready-made-objects\" }"), "{job}");
    let files: Secret = serde_saphyr::from_str(files).unwrap();
    let archive = files.data.unwrap().remove("project.tar.gz").unwrap().0;

    // A pod has these files, and no program `helm`. Its run fails only because there is no engine.
    let pod = tempfile::tempdir().unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice())).unpack(pod.path()).unwrap();
    assert!(pod.path().join("charts/app/Chart.yaml").exists() && pod.path().join("values.yaml").exists());
    let e2e = |ready_made: &str| {
        let mut command = parallax(pod.path());
        command.args(["e2e", "--shard", "1/1"]).env("PATH", "/none").env("XDG_STATE_HOME", pod.path().join("state"));
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env("PARALLAX_READY_MADE", ready_made);
        command.assert()
    };
    let objects = pod.path().join("ready-made-objects");
    e2e(objects.to_str().unwrap()).code(3).stderr(contains("helm").not()).stdout(contains("/nonexistent/docker.sock"));
    e2e("").code(2).stderr(named());
    // The objects are only those of these files.
    fs::write(pod.path().join("values.yaml"), "a: 2").unwrap();
    e2e(objects.to_str().unwrap()).code(2).stderr(contains("are not among those that `shards` made"));
}

#[test]
fn a_chart_that_makes_nothing_useful_is_reported_before_a_job_exists() {
    let (home, tools) = project();
    let helm = tools.join("helm");
    for (script, says) in [
        ("echo 'values: a is missing' >&2; exit 1", "values: a is missing"),
        ("echo '{ apiVersion: v1, kind: Namespace, metadata: { name: a } }'", "Namespace a is cluster-scoped"),
    ] {
        fs::write(&helm, format!("#!/bin/sh\n{VERSION}\n{script}\n")).unwrap();
        let mut command = parallax(home.path());
        command.args(SHARDS).args(["--upload", "s3://runs", "--", "--allow-host-programs=unconfined"]);
        command.env("PATH", &tools).assert().code(2).stdout("").stderr(contains(says));
    }
}
