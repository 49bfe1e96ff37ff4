//! Tests `parallax e2e --kubeconfig` in a cluster that the run does not own. The cluster belongs to another run:
//! `parallax up` keeps it. After each tested run, even after Ctrl-C and SIGKILL, the cluster must have the same objects
//! of every kind as before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::discovery::verbs;
use kube::{Api, Client, Discovery, ResourceExt as _};
use parallax::probe::lives::is_ready;
use parallax_vocab::event::Outcome;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::bench::{Ended, HELD, Project, no_engine, reserve};
use super::check::Down;
use super::killed::reaper_of;
use super::standing::cluster;

/// A fixture of the test's project: an application with its Service.
const FIXTURE: &str = r#"name: web
summary: An application with a Service
parameters: {}
images: [agent]
manifests: [web.yaml]
ready:
  - { name: deployment, when: { deployment: web }, within: 60s }
exports:
  name: { value: "web.{{ namespace }}.svc.cluster.local", doc: The full name of the Service }
  address: { field: { api-version: v1, kind: Service, name: web, pointer: /spec/clusterIP }, doc: The address of the Service }
"#;
const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{ name: agent, image: agent, imagePullPolicy: IfNotPresent, args: [hold] }]
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations: { io.parallax/not-awaited: http }
spec: { selector: { app: web }, ports: [{ name: http, port: 80 }] }
";
/// A scenario that needs only a namespace and pods. Controllers create further objects for its Deployment, its
/// `StatefulSet` and its Service. These objects must be removed too.
const FITS: &str = r#"name: fits
summary: A pod finds the application by its name, and its settings are as declared
fixtures:
  web: { use: web }
vantages:
  app: { pod: { service-account: app } }
flow:
  - id: made
    apply:
      objects:
        - apiVersion: apps/v1
          kind: StatefulSet
          metadata: { name: ordered }
          spec:
            serviceName: web
            selector: { matchLabels: { app: ordered } }
            template:
              metadata: { labels: { app: ordered } }
              spec:
                terminationGracePeriodSeconds: 1
                containers: [{ name: agent, image: agent, imagePullPolicy: IfNotPresent, args: [hold] }]
            volumeClaimTemplates:
              - metadata: { name: data }
                spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } }, storageClassName: none }
        - { apiVersion: v1, kind: ConfigMap, metadata: { name: settings }, data: { colour: blue } }
  - { id: two, scale: { deployment: web, replicas: 2 } }
  - { id: read, resource: { api-version: v1, kind: ConfigMap, name: settings }, expect: { object: { data: { colour: blue } } } }
  - { id: found, from: app, dns: { name: "{{ web.name }}" }, expect: { address: "{{ web.address }}" } }
breaks:
  another-colour:
    change: { flow: { read: { expect: { object: { data: { colour: red } } } } } }
    fails: { read: { resource: data.colour } }
"#;
/// The scenarios that the cluster cannot run, or can run only with the option `--allow-cluster-changes`. Each entry
/// has the name, the text, and a part of the expected reason.
const NEEDS: [(&str, &str, &str); 5] = [
    (
        "store",
        "fixtures:\n  ca: { use: certificate-authority }\n  store: { use: minio, host: s3.example.com, tls: { issuer: ca } }\n  \
         names: { use: dns-rewrite, from: \"{{ store.host }}\", to: \"{{ store.service }}\" }\nvantages:\n  app: { pod: { trust: [ca] } }\n\
         flow:\n  - { id: asked, from: app, dns: { name: s3.example.com }, expect: { address: \"{{ store.cluster-ip }}\" } }\n",
        "fixture `names` needs a DNS rule for s3.",
    ),
    (
        "flag",
        "cluster: { apiserver-args: [event-ttl=2h] }\nvantages:\n  app: { pod: {} }\n\
         flow:\n  - { id: asked, from: app, dns: { name: none.example.org }, expect: { dns: no-such-name } }\n",
        "the apiserver needs the flag --event-ttl=2h",
    ),
    (
        "crash",
        "vantages:\n  app: { pod: {} }\n\
         flow:\n  - { id: asked, from: app, dns: { name: none.example.org }, expect: { dns: no-such-name } }\n  - { id: crashed, end: { pod: vantage-app, how: crash } }\n",
        "step `crashed` needs the container runtime of a node, which only the owner of the cluster has",
    ),
    (
        "image",
        "vantages:\n  app: { pod: { image: browser } }\n\
         flow:\n  - { id: asked, from: app, dns: { name: none.example.org }, expect: { dns: no-such-name } }\n",
        "image `browser` is in no registry, because only `parallax images build browser` makes it",
    ),
    (
        "wide",
        "vantages:\n  app: { pod: {} }\nflow:\n  - id: made\n    apply:\n      objects:\n        - { apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: parallax-test }, rules: [] }\n\
         \x20 - { id: there, resource: { api-version: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: parallax-test }, \
         expect: { object: { kind: ClusterRole } } }\n",
        "step `made` creates ClusterRole parallax-test outside its namespace, which needs --allow-cluster-changes",
    ),
];
/// Steps that would change or delete an object of somebody else, outside the run's namespaces. Each entry has the
/// scenario's name, the step, and a part of the expected message.
const HARM: [(&str, &str, &str); 2] = [
    ("deletes", "delete: { api-version: v1, kind: Namespace, name: team }", "Namespace team exists already"),
    (
        "patches",
        "patch: { api-version: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: view, merge: { rules: [] } }",
        "ClusterRole view exists already",
    ),
];
/// The time limit for controllers to remove dependent objects, such as the Endpoints of a removed Service.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// Returns all objects of the cluster, of every kind and in every namespace. Versions, states and the renewal of leases
/// are left out, because they change even if no run does anything. Events are left out, because Kubernetes removes them
/// itself.
async fn objects(client: &Client) -> BTreeMap<String, Value> {
    let kinds = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let mut all = BTreeMap::new();
    for (resource, capabilities) in kinds.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability) {
        if resource.kind == "Event" || !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let listed = match api.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => Vec::new(),
            Err(error) => panic!("{} cannot be listed: {error}", resource.plural),
        };
        for object in listed {
            let name = format!("{}/{} {}", resource.kind, object.namespace().unwrap_or_default(), object.name_any());
            let mut object = serde_json::to_value(object).unwrap();
            let fields = object.as_object_mut().unwrap();
            fields.remove("status");
            // The cluster's own components renew their leases, so the times in the leases change even without a run.
            if resource.kind == "Lease" {
                fields.remove("spec");
            }
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.retain(|key, _| !["resourceVersion", "managedFields", "generation"].contains(&key.as_str()));
            all.insert(name, object);
        }
    }
    assert!(all.len() > 50, "the cluster cannot be read: {:?}", all.keys());
    all
}

/// Returns what differs between two states of the cluster.
fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let gone = before.keys().filter(|it| !after.contains_key(*it)).map(|it| format!("gone: {it}"));
    let new = after.keys().filter(|it| !before.contains_key(*it)).map(|it| format!("new: {it}"));
    let changed = before.iter().filter(|(name, it)| after.get(*name).is_some_and(|other| other != *it));
    let changed = changed.map(|(name, it)| format!("changed: {name}: {it} is now {}", after[name]));
    gone.chain(new).chain(changed).collect()
}

#[track_caller]
fn skipped(ended: &Ended, variant: &str, part: &str) {
    let Outcome::Skipped { reason } = ended.outcome(variant) else {
        panic!("{variant} is not skipped: {:?}\n{}", ended.outcome(variant), ended.stderr)
    };
    assert!(reason.contains(part), "{variant}: {part:?} is not in {reason:?}");
}

/// Makes CoreDNS keep the address of a Service for 30 s, as kubeadm does. If two environments use the same namespace
/// one after the other, the cache then still has the addresses of the first environment's Services. This function
/// waits for the new pod of CoreDNS.
async fn long_cache(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let corefile = maps.get("coredns").await.unwrap().data.unwrap()["Corefile"].clone();
    let longer = corefile.replacen("pods insecure", "pods insecure\n        ttl 30", 1);
    assert_ne!(longer, corefile, "the Corefile is another one: {corefile}");
    let patch = Patch::Merge(json!({ "data": { "Corefile": longer } }));
    maps.patch("coredns", &PatchParams::default(), &patch).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let of_coredns = ListParams::default().labels("k8s-app=kube-dns");
    let old = pods.list(&of_coredns).await.unwrap().items;
    pods.delete_collection(&DeleteParams::default(), &of_coredns).await.unwrap();
    let is_new = |it: &Pod| old.iter().all(|old| old.metadata.uid != it.metadata.uid);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !pods.list(&of_coredns).await.unwrap().items.iter().any(|it| is_new(it) && is_ready(it)) {
        assert!(Instant::now() < deadline, "CoreDNS does not start again");
        // The code polls, because a watch for this single wait would only make the test longer.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The scenario of the project that keeps the cluster running.
const STANDS: &str = "name: stands
summary: A pod
vantages:
  app: { pod: {} }
flow:
  - { id: asked, from: app, dns: { name: none.example.org }, expect: { dns: no-such-name } }
";

/// The cluster that another project keeps. It is removed when this value is dropped.
struct Standing<'a> {
    run: String,
    kubeconfig: String,
    _down: Down<'a>,
}

impl<'a> Standing<'a> {
    fn up(project: &'a Project) -> Self {
        project.scenario("stands", STANDS);
        let down = Down(project);
        let ended = project.parallax(&["up", "stands"]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&ended.stderr));
        let after = |word: &str| said.split_once(word).unwrap().1.split_whitespace().next().unwrap().to_owned();
        Self { run: after("  run "), kubeconfig: after("--kubeconfig "), _down: down }
    }
}

/// The cluster, its state before the runs, and two users' kubeconfigs.
struct Cluster<'a> {
    project: &'a Project,
    client: Client,
    before: BTreeMap<String, Value>,
    admin: String,
    /// The kubeconfig of a `ServiceAccount` that administers the namespace `team`, and has no other rights.
    team: String,
}

impl<'a> Cluster<'a> {
    async fn of(project: &'a Project, standing: &Standing<'_>) -> Self {
        let client = cluster(&standing.run).await;
        let team = |name: &str| json!({ "name": name, "namespace": "team" });
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": "team" } })).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let account: ServiceAccount = serde_json::from_value(json!({ "metadata": team("runner") })).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team");
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" });
        let subject = json!({ "kind": "ServiceAccount", "name": "runner", "namespace": "team" });
        let binding = json!({ "metadata": team("runner"), "roleRef": role, "subjects": [subject] });
        let binding: RoleBinding = serde_json::from_value(binding).unwrap();
        Api::namespaced(client.clone(), "team").create(&PostParams::default(), &binding).await.unwrap();
        let theirs: ConfigMap =
            serde_json::from_value(json!({ "metadata": team("theirs"), "data": { "colour": "green" } })).unwrap();
        Api::namespaced(client.clone(), "team").create(&PostParams::default(), &theirs).await.unwrap();
        let wanted = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token = accounts.create_token_request("runner", &PostParams::default(), &wanted).await.unwrap();
        let mut kubeconfig: Value =
            serde_json::from_str(&std::fs::read_to_string(&standing.kubeconfig).unwrap()).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token.status.unwrap().token });
        let path: PathBuf = project.path("team.kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        // A cluster that has just started still creates objects of its own, such as the lease of its node.
        let mut before = objects(&client).await;
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            // The code polls, because no event reports that the cluster has stopped creating objects.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let now = objects(&client).await;
            if differences(&before, &now).is_empty() && now.contains_key("Lease/kube-node-lease node") {
                break;
            }
            assert!(Instant::now() < deadline, "the cluster does not come to rest: {:?}", differences(&before, &now));
            before = now;
        }
        let (admin, team) = (standing.kubeconfig.clone(), path.display().to_string());
        Self { project, client, before, admin, team }
    }

    /// Asserts that the cluster has the same objects as before the runs.
    async fn is_as_before(&self, what: &str) {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let differences = differences(&self.before, &objects(&self.client).await);
            if differences.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {differences:#?}");
        }
    }

    fn e2e(&self, args: &[&str]) -> Ended {
        self.project.e2e(args).end()
    }

    /// Waits until the pod of the vantage `app` runs in a namespace, and returns the namespace. The cluster also has
    /// the vantage pod of the run that keeps it. That pod has no label `io.parallax.run`, so the search below does not
    /// find it.
    async fn held(&self) -> String {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let ours = ListParams::default().labels("app.kubernetes.io/name=parallax-vantage,io.parallax.run");
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let found = pods.list(&ours).await.unwrap().items;
            let runs = |it: &Pod| it.status.as_ref().is_some_and(|it| it.phase.as_deref() == Some("Running"));
            if let Some(pod) = found.iter().find(|it| runs(it)) {
                return pod.namespace().unwrap();
            }
            assert!(Instant::now() < deadline, "no vantage runs within a minute");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_somebody_elses_cluster_leaves_it_as_it_was() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let (host, project) = (Project::new(), Project::new());
    project.scenario("fits", FITS);
    std::fs::create_dir(project.path("fixtures/web")).unwrap();
    for (file, text) in [("fixture.yaml", FIXTURE), ("web.yaml", MANIFEST)] {
        std::fs::write(project.path("fixtures/web").join(file), text).unwrap();
    }
    for (name, text, _) in NEEDS {
        project.scenario(name, &format!("name: {name}\nsummary: Something else is needed\n{text}"));
    }
    for (name, step, _) in HARM {
        let text = "summary: An object of somebody else is changed\nvantages:\n  app: { pod: {} }\nflow:";
        let asked = "{ id: asked, from: app, dns: { name: none.example.org }, expect: { dns: no-such-name } }";
        project.scenario(name, &format!("name: {name}\n{text}\n  - {asked}\n  - {{ id: harm, {step} }}\n"));
    }
    let standing = Standing::up(&host);
    long_cache(&cluster(&standing.run).await).await;
    let cluster = Cluster::of(&project, &standing).await;
    let (admin, team) = (cluster.admin.as_str(), cluster.team.as_str());

    // With the administrator's kubeconfig, the harness runs the variants that this cluster can run. It skips all
    // others with a reason.
    let names = ["fits", "store", "flag", "crash", "image", "wide"];
    let ended = cluster.e2e(&[&names[..], &["--kubeconfig", admin]].concat());
    ended.assert_code(0);
    for variant in ["fits", "fits+another-colour"] {
        assert_eq!(*ended.outcome(variant), Outcome::AsExpected, "{}\n{}", ended.stderr, ended.stdout);
    }
    for (name, _, reason) in NEEDS {
        skipped(&ended, name, reason);
    }
    ended.assert_says(&["2 passed, 0 failed, 5 skipped", "namespaces and objects, nothing is left"]);
    cluster.is_as_before("after a run").await;

    // With `--allow-cluster-changes`, the run creates the cluster-scoped object and removes it again.
    let ended = cluster.e2e(&["wide", "--kubeconfig", admin, "--allow-cluster-changes"]);
    ended.assert_code(0);
    cluster.is_as_before("after a run with permission").await;

    // Even with `--allow-cluster-changes`, a run must not change or delete an object that somebody else has created.
    for (name, _, reason) in HARM {
        let ended = cluster.e2e(&[name, "--kubeconfig", admin, "--allow-cluster-changes"]);
        assert_ne!(ended.code, Some(0), "{}", ended.stdout);
        ended.assert_says(&[reason, "this run has not created it"]);
        cluster.is_as_before(name).await;
    }

    // The user of the kubeconfig `team` administers one namespace and has no rights elsewhere.
    let ended = cluster.e2e(&["fits", "--kubeconfig", team, "--images-present", "--allow-skips"]);
    skipped(
        &ended,
        "fits",
        "lacks rights in the whole cluster: namespaces (create, delete, get, list, patch, watch); --namespace NAME",
    );
    let ended = cluster.e2e(&["fits", "--kubeconfig", team, "--namespace", "team", "--allow-skips"]);
    skipped(
        &ended,
        "fits",
        "the user of the kubeconfig may not list nodes; load it onto the nodes and say so with --images-present=agent",
    );
    let in_team = ["--kubeconfig", team, "--namespace", "team", "--images-present"];
    // The two environments of the scenario use the same namespace, one after the other. In the second environment,
    // the step `found` must get the new address of the Service and not the old address from a cache.
    let ended = cluster.e2e(&[&["fits"][..], &in_team[..]].concat());
    ended.assert_code(0);
    ended.assert_says(&["2 passed, 0 failed, 0 skipped"]);
    cluster.is_as_before("after a run in a namespace").await;

    // A step applies an object with the same name as an object of somebody else. The run must not change that object.
    project.change("scenarios/fits/scenario.yaml", "metadata: { name: settings }", "metadata: { name: theirs }");
    let ended = cluster.e2e(&[&["fits", "--breaks", "none"][..], &in_team[..]].concat());
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    ended.assert_says(&["ConfigMap theirs in namespace team exists already, and this run has not created it"]);
    cluster.is_as_before("after a run that met somebody else's object").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_leaves_somebody_elses_cluster_as_it_was() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let (host, project) = (Project::new(), Project::new());
    project.scenario("held", HELD);
    let standing = Standing::up(&host);
    let cluster = Cluster::of(&project, &standing).await;
    let admin = ["held", "--kubeconfig", &cluster.admin];
    let team = ["held", "--kubeconfig", &cluster.team, "--namespace", "team", "--images-present"];

    for args in [&admin[..], &team[..]] {
        let run = project.e2e(args);
        cluster.held().await;
        run.signal(Signal::INT);
        let id = run.id.clone();
        let ended = run.end();
        ended.assert_code(130);
        assert_eq!(*ended.outcome("held"), Outcome::Interrupted);
        cluster.is_as_before("after Ctrl-C").await;
        assert!(project.is_swept(&id), "its ledger is still there");

        let run = project.e2e(args);
        cluster.held().await;
        run.signal(Signal::KILL);
        let id = run.id.clone();
        assert_eq!(run.end().code, None);
        swept(&project, &id).await;
        cluster.is_as_before("after SIGKILL").await;
        let copy = project.path("state/parallax/runs").join(&id).join("kubeconfig");
        assert!(!copy.exists(), "the copy of the kubeconfig is still there");
    }

    // The run and its reaper are killed. `gc` must then remove the objects of the run.
    let run = project.e2e(&team);
    cluster.held().await;
    kill_process(reaper_of(&run.id), Signal::KILL).unwrap();
    run.signal(Signal::KILL);
    let id = run.id.clone();
    assert_eq!(run.end().code, None);
    assert!(
        !differences(&cluster.before, &objects(&cluster.client).await).is_empty(),
        "nothing was there to be collected"
    );
    let output = project.parallax(&["gc"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains(&format!("run {id}: ")) && words.contains("objects of its cluster removed"), "{words}");
    cluster.is_as_before("after gc").await;
}

/// Waits until the reaper of a run has removed the run's objects.
async fn swept(project: &Project, run: &str) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !project.is_swept(run) {
        assert!(Instant::now() < deadline, "the reaper does not sweep");
        // The code polls, because the reaper writes a file and sends no event.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
