//! A workload that cannot run, and a recipe that changed.

use std::time::Duration;

use parallax_vocab::EventKind;

use super::bench::{Project, Run, lists, no_engine, room};

/// Far less than the 90 s that the fixture gives a Deployment that may still come up.
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
fn an_image_without_its_binary_fails_the_set_up_at_once_and_was_the_only_one_rebuilt() {
    if no_engine() {
        return;
    }
    let _room = room(1);
    let project = Project::new();
    project.scenario("store", STORE);
    project.change("images/minio/recipe.yaml", "entrypoint: [/usr/bin/minio]", "entrypoint: [/usr/bin/nonesuch]");
    let before = lists(&[]);
    let mut command = project.parallax(&["e2e"]);
    command.env("PARALLAX_CACHE", project.own_cache());
    let run = Run::start(command, &project);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(3);

    let (_, took, failure) = ended.setup("environment/store");
    let failure = failure.unwrap();
    assert!(took < AT_ONCE, "it took {took:?}");
    let (head, tail) = failure.what.split_once("container minio of pod minio-").unwrap();
    assert_eq!(head, "store.deployment (Deployment minio) in namespace store cannot become ready: ");
    assert!(tail.contains("RunContainerError") || tail.contains("StartError"), "{tail}");
    assert!(tail.contains("/usr/bin/nonesuch") && tail.contains("no such file or directory"), "{tail}");
    assert!(failure.evidence.iter().any(|line| line.contains("container minio: ")), "{:?}", failure.evidence);
    ended.assert_says(&["ERROR  store: nothing is said about the system under test", "(exit 3,"]);

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
