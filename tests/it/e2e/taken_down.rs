//! Tests that an environment leaves nothing behind that affects later environments.

use parallax_vocab::EventKind;

use super::bench::{Project, lists, no_engine, reserve};

/// A scenario that creates an object with a finalizer. No controller removes this finalizer, so the deletion of the
/// object does not end.
const HOLDING: &str = r"name: a-holding
summary: An object with a finalizer
flow:
  - id: blocker
    apply:
      objects:
        - { apiVersion: v1, kind: ConfigMap, metadata: { name: blocker, finalizers: [example.com/hold] } }
  - { id: seen, needs: [blocker], resource: { api-version: v1, kind: ConfigMap, name: blocker }, expect: { object: { kind: ConfigMap } } }
";
const PLAIN: &str = r"name: b-plain
summary: Nothing out of the ordinary, and the longest, so that it begins first
flow:
  - id: seen
    resource: { api-version: v1, kind: Namespace, name: b-plain }
    expect: { object: { kind: Namespace } }
    consistently: 1s
";
const WATCHING: &str = r#"name: c-watching
summary: The namespaces of those before are terminating or gone, and the namespace controller has looked at them
flow:
  - { id: gone, resource: { api-version: v1, kind: Namespace, name: b-plain }, eventually: 1m, expect: { absent: true } }
  - { id: going, resource: { api-version: v1, kind: Namespace, name: a-holding }, eventually: 1m, expect: { object: { status: { phase: Terminating, conditions: [{ type: NamespaceFinalizersRemaining, status: "True" }] } } } }
"#;

#[test]
fn an_environment_is_removed_while_others_run_and_the_object_that_blocks_it_is_named() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    for (name, text) in [("a-holding", HOLDING), ("b-plain", PLAIN), ("c-watching", WATCHING)] {
        project.scenario(name, text);
    }
    let before = lists(&[]);
    let run = project.e2e(&["--jobs", "1", "--environments", "1"]);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(0);
    let warnings: Vec<&str> = ended
        .events
        .iter()
        .filter_map(|event| match &event.event {
            EventKind::Warning { text } if text.starts_with("namespace ") => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(
        warning.starts_with(
            "namespace a-holding cannot be deleted, because ConfigMap blocker has finalizer example.com/hold;"
        ),
        "{warning}"
    );
    assert_eq!(lists(&[&id]), before, "a blocked namespace is removed with its cluster");
}
