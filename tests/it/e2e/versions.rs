//! A test of a run at several versions.

use serial_test::serial;

use super::bench::{Project, lists, no_engine, reserve};

/// A quick scenario, whose step only reads an object from the apiserver.
const ASKS: &str = r"name: asks
summary: A namespace is there
flow:
  - { id: there, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
breaks:
  another:
    change: { flow: { there: { resource: { name: another } } } }
    fails: { there: { resource: it does not exist } }
";

/// The second version of this test is the default node under another name, so that nothing is built for the test.
#[test]
#[serial(engine)]
fn a_run_at_two_versions_has_the_verdicts_of_both() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let before = lists(&[]);
    let project = Project::new();
    project.scenario("asks", ASKS);
    let default = "    version: 1.34.4\n    versions:\n";
    project.change("images/images.lock", default, &format!("{default}      - {{ version: 1.34.4-2, recipe: node }}\n"));
    let args = ["e2e", "--breaks", "changed", "--k8s", "1.34.4,1.34.4-2"];
    let ended = project.parallax(&args).output().unwrap();
    let [stdout, stderr] = [&ended.stdout, &ended.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    assert_eq!(ended.status.code(), Some(0), "{stderr}\n{stdout}");
    let table = "  asks          ok          ok\n  asks+another  ok          ok\n";
    assert!(stdout.contains(table) && stdout.contains("4 passed, 0 failed, 0 skipped"), "{stdout}");
    assert!(stderr.contains("run 2 of 2: k8s 1.34.4-2"), "{stderr}");
    let latest = project.path("target/e2e/latest");
    let events = parallax_record::read(&latest).unwrap();
    let summary = parallax_report::Summary::from_events(&events);
    let ids: Vec<&str> = summary.variants().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["asks@k8s-1.34.4", "asks@k8s-1.34.4+another", "asks@k8s-1.34.4-2", "asks@k8s-1.34.4-2+another"]);
    assert!(latest.join("junit.xml").exists() && latest.join("report.html").exists());
    let runs: Vec<String> = std::fs::read_dir(project.path("state/parallax/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    assert_eq!(lists(&runs), before);

    // `--failed` cannot tell at which of the versions the user means to run.
    let failed = project.parallax(&["e2e", "--failed"]).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("the last run was at several versions"), "{said}");
}
