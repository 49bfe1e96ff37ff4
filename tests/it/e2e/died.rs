//! Tests of a store, an agent and other parts of an environment that die during a flow. Such a death is an error of the
//! environment, even if a break declares the failures that follow from it.

use std::process::Command;

use parallax_vocab::EventKind;
use parallax_vocab::event::{Outcome, StepEnded};
use serial_test::serial;

use super::bench::{Ended, Project, eventually, lists, no_engine, reserve};
use super::unanswered::node;
use crate::engine::bench::docker;

/// A scenario with a break that declares the failures of a missing store. The break itself does not stop the store, so
/// these failures come only if the store dies for another reason.
const STORE: &str = r#"name: store
summary: A store that is asked after a while
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: s3.example.com, tls: { issuer: ca } }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: begun-store, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: still, from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 15s }
  - { id: asked, needs: [still], from: app, http: { get: "{{ store.endpoint }}/minio/health/live" }, expect: { status: 200 }, eventually: 5s }
breaks:
  dead:
    change: { flow: { asked: { http: { get: "{{ store.endpoint }}/minio/health/ready" } } } }
    fails: { asked: { connect: refused } }
"#;

/// A scenario whose agent the test kills after the agent has answered its last question.
const AGENT: &str = r"name: agent
summary: An agent that has told what it saw
vantages:
  app: { pod: {} }
  host: { outside: {} }
flow:
  - { id: begun-agent, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
  - { id: still, needs: [begun-agent], from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 10s }
";

/// A scenario whose second node the test kills during the flow.
const NODE: &str = r"name: node
summary: A second node that is there
cluster: { agents: [{ name: far }] }
vantages:
  host: { outside: {} }
flow:
  - id: begun-node
    resource: { api-version: v1, kind: Node, name: far }
    expect: { object: { status: { conditions: [{ type: Ready, status: 'True' }] } } }
    eventually: 45s
  - { id: still, needs: [begun-node], from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 5s }
";

/// A scenario with a break that declares the failures of missing name servers. The break itself does not stop the name
/// servers, so these failures come only if the name servers die for another reason.
const NAMES: &str = r"name: names
summary: A name that is asked for after a while
vantages:
  app: { pod: {} }
flow:
  - { id: begun-names, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
  - { id: still, needs: [begun-names], resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } }, consistently: 10s }
  - { id: asked, needs: [still], from: app, dns: { name: nothing.example.org }, expect: { dns: no-such-name } }
  - { id: after, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 }, eventually: 20s }
breaks:
  gone:
    change: { flow: { asked: { dns: { name: nowhere.example.org } } } }
    fails: { asked: { dns: server-failure } }
";

/// A scenario whose flow stops the store on purpose, so that the end of the store is no accident.
const MEANT: &str = r#"name: meant
summary: A store that the flow itself ends
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: s3.example.com, tls: { issuer: ca } }
vantages:
  host: { outside: { trust: [ca] } }
flow:
  - { id: killed, kill: { pod: app=minio, container: minio } }
  - { id: again, needs: [killed], from: host, http: { get: "{{ store.endpoint }}/minio/health/live" }, expect: { status: 200 }, eventually: 30s }
"#;

/// Ends the running containers with this name in a namespace. The function uses the node's container runtime.
fn end_container(node: &str, namespace: &str, container: &str) {
    let ctr = |args: &[&str]| {
        let ran = Command::new("docker").args(["exec", node, "ctr", "--namespace", "k8s.io"]).args(args).output();
        let ran = ran.unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let filter = format!(
        "labels.\"io.kubernetes.pod.namespace\"=={namespace},labels.\"io.kubernetes.container.name\"=={container}"
    );
    for id in ctr(&["containers", "ls", "--quiet", &filter]).lines() {
        // A container that has already ended has no task, so an error of this command is ignored.
        ctr(&["tasks", "kill", "--signal", "SIGKILL", id]);
    }
}

#[track_caller]
fn assert_died(ended: &Ended, variant: &str, container: &str) {
    let Outcome::Error { failure } = ended.outcome(variant) else {
        panic!("{variant}: {:?}\n{}", ended.outcome(variant), ended.stdout);
    };
    for part in [container, "something ended that nobody ended", variant] {
        assert!(failure.what.contains(part), "{part:?} is not in {}", failure.what);
    }
    // The signal may arrive while the kubelet starts the container again, which gives another exit code.
    let ends = ["exit code 137", "StartError, exit code 128"];
    assert!(ends.iter().any(|end| failure.what.contains(end)), "none of {ends:?} is in {}", failure.what);
    ended.assert_says(&[container]);
}

#[test]
#[serial(engine)]
fn a_container_that_dies_during_a_flow_gives_no_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    for (name, text) in [("store", STORE), ("agent", AGENT), ("meant", MEANT)] {
        project.scenario(name, text);
    }
    let before = lists(&[]);
    let run = project.e2e(&["store+dead", "agent", "meant", "--jobs", "4", "--environments", "3"]);
    let id = run.id.clone();
    run.wait_for_step("begun-agent");
    let node = node(&id);
    end_container(&node, "agent", "agent");
    run.wait_for_step("begun-store");
    // The store must stay down for the rest of the flow. The kubelet restarts the store, with growing delays, so the
    // test kills the store again and again.
    eventually("the end of the store's flow", || {
        end_container(&node, "store-dead", "minio");
        let asked = |it: &StepEnded| it.step.as_str() == "asked";
        run.events().iter().any(|event| matches!(&event.event, EventKind::StepEnded(it) if asked(it)))
    });
    let ended = run.end();
    ended.assert_code(3);
    assert_died(&ended, "store+dead", "container minio of pod");
    assert_died(&ended, "agent", "container agent of pod vantage-app");
    assert_eq!(*ended.outcome("meant"), Outcome::AsExpected, "{}", ended.stdout);
    assert_eq!(lists(&[&id]), before);
}

#[test]
#[serial(engine)]
fn a_name_server_that_dies_during_a_flow_gives_no_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("names", NAMES);
    let run = project.e2e(&["names+gone"]);
    let id = run.id.clone();
    run.wait_for_step("begun-names");
    end_container(&node(&id), "kube-system", "coredns");
    let (run_label, what) = (format!("label=io.parallax.run={id}"), "label=io.parallax.what=c1-world");
    let world = docker(&["ps", "--filter", &run_label, "--filter", what, "--format", "{{.Names}}"]);
    docker(&["kill", world.trim()]);
    let ended = run.end();
    ended.assert_code(3);
    assert_died(&ended, "names+gone", "container coredns of pod");
    assert_died(&ended, "names+gone", "the outside network");
}

#[test]
#[serial(engine)]
fn a_further_node_that_dies_during_a_flow_gives_no_verdict() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("node", NODE);
    let run = project.e2e(&["node"]);
    let id = run.id.clone();
    run.wait_for_step("begun-node");
    let (run_label, what) = (format!("label=io.parallax.run={id}"), "label=io.parallax.what=c1-agent-far");
    let agent = docker(&["ps", "--filter", &run_label, "--filter", what, "--format", "{{.Names}}"]);
    docker(&["kill", agent.trim()]);
    let ended = run.end();
    ended.assert_code(3);
    assert_died(&ended, "node", "node far");
}
