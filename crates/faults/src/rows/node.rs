//! A node that is paused, or whose process ends. Both are faults of the environment and not of the system under test,
//! so the run must give no verdict about the system under test.

use anyhow::Result;

use crate::bench::Bench;
use crate::left::docker;
use crate::project::{Project, Run};
use crate::row::{Row, Seen};

/// A scenario that asks the apiserver, then a DNS server for some seconds, and then the apiserver again.
pub(super) const ASKS: &str = r"name: asks
summary: A step after something happened to the node
vantages:
  host: { outside: {} }
flow:
  - { id: begun, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: still, from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 8s }
  - { id: asks, needs: [still], resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
";

/// A scenario that waits for a log line that never comes.
const READS: &str = r#"name: reads
summary: A log is read for a line that does not come
flow:
  - id: writer
    apply:
      objects:
        - apiVersion: v1
          kind: Pod
          metadata: { name: writer }
          spec:
            terminationGracePeriodSeconds: 0
            containers:
              - { name: writer, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "while true; do echo here; sleep 1; done"] }
  - { id: here, log: { of: pod/writer }, expect: { line: here }, eventually: 60s }
  - { id: never, needs: [here], log: { of: pod/writer }, expect: { line: never }, eventually: 60s }
"#;

pub(super) fn rows() -> [Row; 3] {
    [
        Row {
            name: "node-paused",
            fault: "The node stands still (`docker pause`)",
            code: Some(3),
            says: &["nothing is said about the system under test", "(exit 3,", "0 passed, 1 failed, 0 skipped"],
            run: |bench, _| {
                let when = "between two steps of a flow";
                let with = |run: &Run| docker(&["pause", &run.node()?]).map(drop);
                once(bench, ("asks", ASKS), ("step-ended", "begun"), when, with)
            },
        },
        Row {
            name: "node-killed",
            fault: "The node ends (`docker kill`)",
            code: Some(3),
            says: &["nothing is said about the system under test", "(exit 3,", "0 passed, 1 failed, 0 skipped"],
            run: |bench, _| {
                let when = "between two steps of a flow";
                let with = |run: &Run| docker(&["kill", &run.node()?]).map(drop);
                once(bench, ("asks", ASKS), ("step-ended", "begun"), when, with)
            },
        },
        Row {
            name: "kubelet-killed",
            fault: "The kubelet ends (SIGKILL)",
            code: Some(3),
            says: &["nothing is said about the system under test", "(exit 3,", "0 passed, 1 failed, 0 skipped"],
            run: |bench, _| {
                let when = "while a step reads a pod's log";
                let with = |run: &Run| docker(&["exec", &run.node()?, "pkill", "-KILL", "-x", "kubelet"]).map(drop);
                once(bench, ("reads", READS), ("step-ended", "here"), when, with)
            },
        },
    ]
}

/// Starts a run of a scenario, and waits until its record contains the given event of the given step. Then causes the
/// fault with the closure `with`, and waits for the end of the run.
fn once(
    bench: &Bench,
    (name, text): (&str, &str),
    (event, step): (&str, &str),
    when: &str,
    with: impl Fn(&Run) -> Result<()>,
) -> Result<Vec<Seen>> {
    let project = Project::of(name, text)?;
    let mut run = project.e2e(bench, &[])?;
    run.wait_for_step(event, step)?;
    with(&run)?;
    Ok(vec![run.end(when)?])
}
