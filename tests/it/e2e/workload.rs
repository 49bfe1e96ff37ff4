//! Tests of a workload that cannot start, and of a recipe that has changed.

use std::time::Duration;

use parallax_vocab::EventKind;

use super::bench::{Project, Run, lists, no_engine, reserve};

/// The time limit within which the failure must be reported. It is much less than the 90 s within which the fixture's
/// Deployment must become ready, so the failure must be detected early.
const AT_ONCE: Duration = Duration::from_secs(30);

const STORE: &str = r#"name: store
summary: A store
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca } }
vantages:
  host: { outside: { trust: [ca] } }
flow:
  - { id: chain, from: host, tls: { host: "{{ store.host }}" }, expect: { chain-length: 2 } }
"#;

#[test]
fn an_image_without_its_binary_fails_at_once_and_is_the_only_one_rebuilt() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("store", STORE);
    project.change("images/minio/recipe.yaml", "entrypoint: [/usr/bin/minio]", "entrypoint: [/usr/bin/nonesuch]");
    let before = lists(&[]);
    let mut command = project.parallax(&["e2e", "--lock", "project"]);
    command.env("PARALLAX_CACHE", project.own_cache());
    let run = Run::start(command, &project);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(1);

    // The store does not become ready, and the report contains the reason.
    ended.assert_says(&["FAILED  store", "`store.deployment` did not come, so the flow was not run", "(exit 1,"]);
    let step = ended.steps().find(|it| it.step.as_str() == "store.deployment").expect("it was waited for");
    let took = Duration::from_millis(step.took_ms);
    assert!(took < AT_ONCE, "it took {took:?}");
    let cause = step.cause.as_ref().expect("it failed").to_string();
    assert!(cause.contains("RunContainerError") || cause.contains("StartError"), "{cause}");
    assert!(cause.contains("/usr/bin/nonesuch") && cause.contains("no such file or directory"), "{cause}");

    let rebuilt: Vec<&str> = ended
        .events
        .iter()
        .filter_map(|event| match &event.event {
            EventKind::SetupEnded { id, detail, .. } if detail.starts_with("built in ") => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(rebuilt, ["image/minio"]);
    assert_eq!(lists(&[&id]), before);
}
