//! Tests `parallax check --attach` on the store that the test of `check` keeps. If the application's container has a
//! shell, the agent runs in this container. If it has no shell, the agent runs in an ephemeral container of the same
//! pod. The user of the kubeconfig has only the rights that docs/your-own-stack.md lists. After each check, nothing of
//! the agent may be left, even after Ctrl-C and SIGKILL.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parallax::cluster::client_of_file;
use parallax::probe::exec::run;
use parallax::probe::lives::is_ready;
use parallax_vocab::event::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::bench::{Project, Run};
use super::check::{Standing, first_red, in_one_line};
use super::standing::cluster;

/// A fixture of the test's project: an application whose image has a shell.
const FIXTURE: &str = "name: shell
summary: An application with a shell
parameters: {}
images: [busybox]
manifests: [shell.yaml]
ready:
  - { name: deployment, when: { deployment: shell }, within: 60s }
";
/// The manifest of the application. Its program `cat` waits for input, so the container keeps running.
const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: shell }
spec:
  selector: { matchLabels: { app: shell } }
  template:
    metadata: { labels: { app: shell } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - { name: app, image: busybox, imagePullPolicy: IfNotPresent, command: [cat], stdin: true }
";
/// A scenario whose vantages are containers of applications that exist before the run.
const GUEST: &str = r"name: guest
summary: The programs of an application trust the store
vantages:
  ours: { attach: { to: pod/right, container: app, existing: true } }
  own: { attach: { to: pod/right, container: app, existing: true, as: application } }
flow:
  - { id: own-chain, from: own, tls: { host: minio.example.com }, expect: { certificate-name: minio.example.com } }
  - { id: name, from: ours, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
breaks:
  other-authority:
    change: { vantages: { own: { attach: { to: pod/wrong } } } }
    fails: { own-chain: { tls: unknown-authority } }
";
/// A step that the test adds to the flow of [`GUEST`]. The step waits for an object that nobody creates, so the run
/// is still going on when the test kills it.
const GATE: &str = "  - { id: gate, needs: [name], resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } } }\n";
/// The time limit for the pods of the applications to run, for the agent to appear, and for the agent to be gone. If
/// the harness was killed, the agent ends after 15 s without a frame.
const WITHIN: Duration = Duration::from_mins(1);
/// The interval at which the state of a pod is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Creates and examines the pods of the applications for this test.
struct Applications<'a> {
    standing: &'a Standing<'a>,
    client: Client,
    image: String,
}

impl Applications<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.standing.namespace)
    }

    async fn certificates(&self, name: &str, pem: &str) {
        let map: ConfigMap =
            serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "ca.pem": pem } })).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.standing.namespace);
        maps.create(&PostParams::default(), &map).await.unwrap();
    }

    /// Creates a pod whose image has a shell. The pod fulfils the Pod Security Standard `restricted`. `folder` is the
    /// only folder in which a program can be written. `further` contains more fields of the pod's spec, among them more
    /// containers.
    async fn create(&self, name: &str, (variable, certificates): (&str, &str), folder: Option<&str>, further: Value) {
        let mut mounts = vec![json!({ "name": "ca", "mountPath": "/ca" })];
        mounts.extend(folder.map(|it| json!({ "name": "scratch", "mountPath": it })));
        let of_container = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true });
        let container = |name: &str| {
            json!({
                "name": name, "image": self.image, "command": ["cat"], "stdin": true, "imagePullPolicy": "IfNotPresent",
                "env": [{ "name": variable, "value": "/ca/ca.pem" }, { "name": "AWS_ENDPOINT_URL", "value": "https://minio.example.com" }],
                "volumeMounts": mounts, "securityContext": of_container,
            })
        };
        let mut spec = json!({
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "runAsUser": 4711, "runAsGroup": 4711, "fsGroup": 4711, "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [container("app")],
            "volumes": [{ "name": "ca", "configMap": { "name": certificates } }, { "name": "scratch", "emptyDir": {} }],
        });
        for (field, value) in further.as_object().unwrap() {
            spec[field] = value.clone();
        }
        if name == "right" {
            spec["containers"].as_array_mut().unwrap().push(container("beside"));
        }
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    async fn all_run(&self, names: &[&str]) {
        let deadline = Instant::now() + WITHIN;
        for name in names {
            while !is_ready(&self.pods().get(name).await.unwrap()) {
                assert!(Instant::now() < deadline, "{name}: {:?}", self.pods().get(name).await.unwrap().status);
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }

    /// Returns the names of the files in `folder`, and the command lines of all processes of the container.
    async fn seen(&self, pod: &str, folder: &str) -> String {
        let script = format!("ls {folder}; cat /proc/[0-9]*/cmdline");
        let ran = run(&self.pods(), pod, "app", &["sh", "-c", &script], WITHIN).await.unwrap();
        ran.stdout.replace(&script, "")
    }

    async fn is_clean(&self, pod: &str, folder: &str) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let seen = self.seen(pod, folder).await;
            if !seen.contains("parallax") {
                return;
            }
            assert!(Instant::now() < deadline, "{pod}: {seen}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Asserts that the programs of all ephemeral containers have ended, and that no container was restarted. Returns
    /// the number of ephemeral containers.
    async fn ended_beside(&self, pod: &Pod) -> usize {
        let status = self.pods().get_status(pod.metadata.name.as_deref().unwrap()).await.unwrap().status.unwrap();
        let beside = status.ephemeral_container_statuses.unwrap_or_default();
        for it in &beside {
            let ended = it.state.as_ref().and_then(|it| it.terminated.as_ref()).map(|it| it.exit_code);
            assert_eq!(ended, Some(0), "{it:?}");
        }
        for it in status.container_statuses.unwrap_or_default() {
            assert!(it.restart_count == 0 && it.ready, "{it:?}");
        }
        beside.len()
    }
}

/// A user with the rights that `check --attach` needs, and no others.
struct User {
    client: Client,
    namespace: String,
    kubeconfig: PathBuf,
}

impl User {
    async fn create(project: &Project, client: &Client, standing: &Standing<'_>) -> Self {
        let namespace = standing.namespace.clone();
        let metadata = json!({ "name": "checker", "namespace": namespace });
        let account: ServiceAccount = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let role: Role = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &role).await.unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "checker" },
            "subjects": [{ "kind": "ServiceAccount", "name": "checker", "namespace": namespace }],
        }))
        .unwrap();
        Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &binding).await.unwrap();
        let wanted = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token = accounts.create_token_request("checker", &PostParams::default(), &wanted).await.unwrap();
        let mut kubeconfig: Value =
            serde_json::from_str(&std::fs::read_to_string(&standing.kubeconfig).unwrap()).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token.status.unwrap().token });
        let path = project.path("checker.kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Self { client: client.clone(), namespace, kubeconfig: path }
    }

    /// Gives the user the rights of docs/your-own-stack.md, without the right `except`. The apiserver reads changed
    /// rights with a delay, so this method waits until the apiserver applies the new rights.
    async fn may(&self, except: &str) {
        let all = [
            ("apps", "deployments", &["get"][..]),
            ("", "pods", &["get", "list", "watch"]),
            ("", "pods/exec", &["get", "create"]),
            ("", "pods/ephemeralcontainers", &["patch"]),
            ("", "services", &["list"]),
            ("", "serviceaccounts/token", &["create"]),
        ];
        let allowed: Vec<Value> = all
            .iter()
            .filter(|it| it.1 != except)
            .map(|(group, resource, verbs)| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs }))
            .collect();
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({ "rules": allowed }));
        roles.patch("checker", &PatchParams::default(), &patch).await.unwrap();
        let own = client_of_file(&self.kubeconfig).await.unwrap();
        let deadline = Instant::now() + WITHIN;
        for (group, resource, verbs) in all {
            for verb in verbs {
                while self.is_allowed(&own, group, resource, verb).await != (resource != except) {
                    assert!(Instant::now() < deadline, "{verb} {resource}: the rights do not change");
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
        }
    }

    /// Asks the apiserver whether the user has a right. `own` is a client with the credentials of this user.
    async fn is_allowed(&self, own: &Client, group: &str, resource: &str, verb: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review: SelfSubjectAccessReview = serde_json::from_value(json!({ "spec": { "resourceAttributes": {
            "namespace": self.namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb,
        } } }))
        .unwrap();
        let asked = Api::all(own.clone()).create(&PostParams::default(), &review).await.unwrap();
        asked.status.unwrap().allowed
    }
}

/// Adds the fixture [`FIXTURE`] to the project.
pub(super) fn with_shell(project: &Project) {
    let folder = project.path("fixtures/shell");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("fixture.yaml"), FIXTURE).unwrap();
    std::fs::write(folder.join("shell.yaml"), MANIFEST).unwrap();
}

/// Tests `check --attach` on the kept store. After this function, `standing` uses the kubeconfig of a user with few
/// rights.
pub(super) async fn attached(project: &Project, standing: &mut Standing<'_>) {
    let client = cluster(&standing.run).await;
    let administrator = standing.kubeconfig.clone();
    let user = User::create(project, &client, standing).await;
    user.may("").await;
    standing.kubeconfig = user.kubeconfig.display().to_string();
    let standing = &*standing;
    let shell: Api<Deployment> = Api::namespaced(client.clone(), &standing.namespace);
    let template = shell.get("shell").await.unwrap().spec.unwrap().template.spec.unwrap();
    let image = template.containers[0].image.clone().unwrap();
    let applications = Applications { standing, client: client.clone(), image };
    let key = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(vec!["other".to_owned()]).unwrap().self_signed(&key).unwrap();
    applications.certificates("authority", &String::from_utf8(standing.authority()).unwrap()).await;
    applications.certificates("other", &other.pem()).await;
    let alias = json!({ "hostAliases": [{ "ip": "192.0.2.1", "hostnames": ["minio.example.com"] }] });
    applications.create("right", ("SSL_CERT_FILE", "authority"), Some("/tmp"), json!({})).await;
    applications.create("wrong", ("AWS_CA_BUNDLE", "other"), Some("/scratch"), json!({})).await;
    applications.create("closed", ("SSL_CERT_FILE", "authority"), None, alias).await;
    applications.all_run(&["right", "wrong", "closed"]).await;

    // The first check: the container has a shell, so the agent runs in the application's own container.
    let (code, said) = standing.check("", "--attach pod/right --container app");
    assert_eq!(code, 0, "{said}");
    for part in [
        "puts the agent (",
        "memory the agent takes 16 MiB of this container's memory: if that is short, Kubernetes may end the application",
        "keys the agent gets the store's keys",
        "application signs for https://minio.example.com",
        "own resolver by DNS alone, ndots 5, 3 search domains",
        "trust SSL_CERT_FILE trusts it (/ca/ca.pem)",
        "(Service minio)",
        "presigned PUT opens",
    ] {
        assert!(in_one_line(&said).contains(part), "{part:?} is not in:\n{said}");
    }
    assert!(!said.contains("ephemeral"), "{said}");
    applications.is_clean("right", "/tmp").await;
    let (code, said) = standing.check("", "--attach pod/right");
    assert!(code == 2 && said.contains("several containers (app, beside): name one by --container"), "{said}");

    // The application has a wrong trust store. The first row with `FAILED` must name this trust store. `/scratch` is
    // the only folder in which the agent can be placed.
    let (code, said) = standing.check("", "--attach pod/wrong");
    assert_eq!(code, 1, "{said}");
    first_red(&said, "trust AWS_CA_BUNDLE", "do not trust the chain that --ca trusts: /ca/ca.pem with 1 certificates");
    applications.is_clean("wrong", "/scratch").await;

    // No program can be written to any folder of this container. So the check needs an ephemeral container, and its
    // image is given by the option `--image`. Without this option, the check must fail.
    let (code, said) = standing.check("IMAGE=;", "--attach pod/closed");
    let says = "container app of pod closed has no folder in which a program may be written and run (";
    assert!(code == 1 && said.contains(says) && said.contains("name by --image"), "{said}");
    let closed = applications.pods().get("closed").await.unwrap();
    assert_eq!(applications.ended_beside(&closed).await, 0);
    let (code, said) = standing.check("", "--attach pod/closed");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("makes      ephemeral container") && said.contains("Kubernetes removes none"), "{said}");
    first_red(&said, "own resolver", "has 192.0.2.1 for minio.example.com, and DNS has");
    assert!(in_one_line(&said).contains("trust SSL_CERT_FILE trusts it (/ca/ca.pem)"), "{said}");
    assert_eq!(applications.ended_beside(&closed).await, 1);

    // The store's own container has no shell, and its image has no certificates.
    let (code, said) = standing.check("", "--attach deploy/minio");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has no shell `sh`"), "{said}");
    first_red(&said, "trust system", "name it by SSL_CERT_FILE (Go, OpenSSL)");
    let listed = applications.pods().list(&ListParams::default().labels("app=minio")).await.unwrap();
    assert_eq!(applications.ended_beside(&listed.items[0]).await, 1);

    // With `--service-account`, the apiserver must issue the token of the check. The token cannot be mounted as a file,
    // because the pod of the application exists already.
    let by_token = "--attach pod/right --container app --service-account default";
    let (code, said) = standing.check("", by_token);
    assert!(code == 1 && said.contains("token      the apiserver issued one of ServiceAccount default"), "{said}");
    first_red(&said, "token", "anonymous request");
    user.may("serviceaccounts/token").await;
    let (code, said) = standing.check("", by_token);
    assert!(code == 2 && said.contains("the right `create` on `serviceaccounts/token` is needed"), "{said}");

    // If the user lacks a right, the message must name this right.
    for (right, args, says) in [
        ("pods/exec", "--attach pod/wrong", "the rights `get` and `create` on `pods/exec` are needed"),
        (
            "pods/ephemeralcontainers",
            "--attach pod/closed",
            "the right `patch` on `pods/ephemeralcontainers` is needed",
        ),
    ] {
        user.may(right).await;
        let (code, said) = standing.check("", args);
        assert!(code == 1 && said.contains(says), "{right}: {said}");
    }
    user.may("").await;
    applications.is_clean("wrong", "/scratch").await;
    assert_eq!(applications.ended_beside(&closed).await, 1);

    // The agent and its file must be gone after Ctrl-C and after SIGKILL. The check sends a large body, so that it is
    // still running when the signal is sent.
    for signal in [Signal::INT, Signal::KILL] {
        let args = format!("--name-server {} --attach pod/wrong --large-body 64", standing.name_server);
        let mut command = standing.command("minio.example.com", "", &args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + WITHIN;
        while !applications.seen("wrong", "/scratch").await.contains("session\0--guest") {
            assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the agent does not appear");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), (signal == Signal::INT).then_some(130), "{ended}");
        applications.is_clean("wrong", "/scratch").await;
    }
    by_scenarios(&applications, &administrator).await;
}

/// Tests vantages with `attach` in scenarios. The agent must appear, the verdicts must follow from the application's
/// own settings, and nothing may be left, even after SIGKILL. If the pod lacks a folder, or the user lacks a right, the
/// message must say what is missing.
async fn by_scenarios(applications: &Applications<'_>, administrator: &str) {
    let project = Project::new();
    let folderless = GUEST.replace("name: guest", "name: folderless").replace("pod/right", "pod/closed");
    let waits = GUEST.replace("name: guest", "name: waits").replace("breaks:\n", &format!("{GATE}breaks:\n"));
    for (name, text) in [("guest", GUEST), ("folderless", folderless.as_str()), ("waits", waits.as_str())] {
        project.scenario(name, text);
    }
    let Standing { namespace, kubeconfig, .. } = applications.standing;
    let of = |name: &str, kubeconfig: &str| project.e2e(&[name, "--kubeconfig", kubeconfig, "--namespace", namespace]);
    let ended = of("guest", administrator).end();
    ended.assert_code(0);
    ended.assert_says(&["2 passed, 0 failed, 0 skipped", "nothing is left"]);
    applications.is_clean("right", "/tmp").await;
    applications.is_clean("wrong", "/scratch").await;

    let ended = of("folderless", administrator).end();
    ended.assert_code(3);
    ended.assert_says(&["has no folder in which a program may be written and run", "name by `image: agent` an image"]);
    let run = of("waits", administrator);
    run.wait_for_step("name");
    run.signal(Signal::KILL);
    assert_eq!(run.end().code, None);
    applications.is_clean("right", "/tmp").await;

    // In the first run, the user has the rights for `attach`, but not the rights to create the objects of an
    // environment. In the second run, `--namespace` is missing, so the harness cannot find the application.
    let mut command = project.parallax(&["e2e", "guest", "--allow-skips", "--kubeconfig", kubeconfig, "--namespace"]);
    command.arg(namespace);
    for (run, says) in [
        (Run::start(command, &project), "the user of the kubeconfig lacks rights"),
        (project.e2e(&["guest", "--allow-skips", "--kubeconfig", administrator]), "exists before the run: --namespace"),
    ] {
        let ended = run.end();
        let Outcome::Skipped { reason } = ended.outcome("guest") else { panic!("not skipped: {}", ended.stdout) };
        assert!(reason.contains(says), "{reason}");
    }
}
