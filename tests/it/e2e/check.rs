//! Tests `parallax check` on a variant that `parallax up` keeps. For `check`, the variant is like a user's own cluster
//! and store. The test checks the variant without a fault, and then with each of several faults. The first line with
//! `FAILED` must name the fault, and `check` must leave nothing behind.

use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use super::attach::{attached, with_shell};
use super::bench::{Project, no_engine, reserve};
use super::standing::cluster;
use crate::engine::bench::docker;

const SCENARIO: &str = r#"name: stands
summary: A store that is used from both sides
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
  shell: { use: shell }
vantages:
  app: { pod: { trust: [ca] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: put, from: app, s3: { put: photos/a.txt, body: hello } }
  - { id: got, needs: [put], from: host, s3: { get: photos/a.txt }, expect: { body: hello } }
breaks:
  no-rewrite:
    change: { fixtures: { names: remove } }
    fails: { put: { dns: no-such-name } }
    blocks: [got]
  other-name:
    change: { fixtures: { store: { tls: { names: [other.example.com] } } } }
    fails: { put: { tls: name-mismatch } }
    blocks: [got]
"#;

/// Removes the kept variant when this value is dropped. This also happens if the test fails.
pub(super) struct Down<'a>(pub(super) &'a Project);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = self.0.parallax(&["down"]).output();
    }
}

/// The data that a test needs to reach the kept variant.
pub(super) struct Standing<'a> {
    project: &'a Project,
    pub(super) run: String,
    pub(super) namespace: String,
    pub(super) kubeconfig: String,
    /// The path of the shell script that sets the environment variables for access to the store, such as
    /// `AWS_SECRET_ACCESS_KEY`.
    variables: String,
    pub(super) name_server: String,
    /// The name of the container with the cluster's external network.
    pub(super) world: String,
    image: String,
    _down: Down<'a>,
}

impl<'a> Standing<'a> {
    pub(super) fn up(project: &'a Project, variant: &str) -> Self {
        let down = Down(project);
        let ended = project.parallax(&["up", variant]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&ended.stderr));
        let between = |from: &str, to: &str| {
            let rest = said.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {said}")).1;
            rest.split(to).next().unwrap().trim().to_owned()
        };
        let run = between("  run ", "\n");
        let label = format!("label=io.parallax.run={run}");
        let world = ["ps", "--filter", &label, "--filter", "label=io.parallax.what=c1-world", "--format"];
        let world = docker(&[&world[..], &["{{.Names}}"]].concat()).trim().to_owned();
        let name_server = docker(&["port", &world, "53/udp"]).lines().next().unwrap().trim().to_owned();
        let image = docker(&["inspect", "-f", "{{.Config.Image}}", &world]).trim().to_owned();
        Self {
            project,
            namespace: between(" -n ", " get pods"),
            kubeconfig: between("--kubeconfig ", " "),
            variables: between("( . ", ";"),
            run,
            name_server,
            world,
            image,
            _down: down,
        }
    }

    /// Returns the certificates of the authority that the kept variant trusts, in PEM format.
    pub(super) fn authority(&self) -> Vec<u8> {
        self.with_variables("cat $SSL_CERT_FILE")
    }

    /// Runs a shell command with the environment variables for access to the store. Returns what the command prints.
    pub(super) fn with_variables(&self, command: &str) -> Vec<u8> {
        let script = format!(". {}; {command}", self.variables);
        Command::new("sh").args(["-c", &script]).output().unwrap().stdout
    }

    /// Runs `parallax check` with the store's host name as the endpoint. `before` is shell code that runs first.
    /// Returns the exit code and the output.
    pub(super) fn check(&self, before: &str, args: &str) -> (i32, String) {
        self.check_at("minio.example.com", before, &format!("--name-server {} {args}", self.name_server))
    }

    /// Runs `parallax check` with the given endpoint, and with the environment variables for access to the store.
    /// `before` is shell code that runs first. Returns the exit code and the output.
    pub(super) fn check_at(&self, endpoint: &str, before: &str, args: &str) -> (i32, String) {
        let ended = self.command(endpoint, before, args).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let secret = self.with_variables("echo $AWS_SECRET_ACCESS_KEY");
        let secret = String::from_utf8_lossy(&secret).trim().to_owned();
        assert!(!secret.is_empty() && !said.contains(&secret), "the secret key is printed");
        (ended.status.code().unwrap_or(-1), said)
    }

    /// Returns the command that [`Self::check_at`] runs. Its shell replaces itself by `parallax`, so that a signal to
    /// the process reaches `parallax`.
    pub(super) fn command(&self, endpoint: &str, before: &str, args: &str) -> Command {
        let Self { namespace, kubeconfig, variables, image, .. } = self;
        let parallax = self.project.parallax(&[]).get_program().to_string_lossy().into_owned();
        let script = format!(
            ". {variables}; IMAGE='--image {image}'; CA=$SSL_CERT_FILE; {before} exec {parallax} check {endpoint} \
             --kubeconfig {kubeconfig} -n {namespace} $IMAGE --bucket photos --ca $CA {args}"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }

    /// Asserts that the first line with `FAILED` belongs to the row `row`, and that the sentence below it contains
    /// `says`.
    #[track_caller]
    fn first_red(&self, (before, args): (&str, &str), row: &str, says: &str) {
        let (code, said) = self.check(before, args);
        assert_eq!(code, 1, "{said}");
        first_red(&said, row, says);
    }

    /// Returns the names of the pods that runs of `parallax check` have left behind.
    pub(super) async fn pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(cluster(&self.run).await, &self.namespace);
        let ours = ListParams::default().labels("app.kubernetes.io/name=parallax-check");
        pods.list(&ours).await.unwrap().into_iter().filter_map(|it| it.metadata.name).collect()
    }
}

/// Returns a text with exactly one space between its words, so that a test does not depend on the widths of columns.
pub(super) fn in_one_line(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Asserts that the first line with `FAILED` belongs to the row `row`, and that the sentence below it contains `says`.
#[track_caller]
pub(super) fn first_red(said: &str, row: &str, says: &str) {
    let red = said.lines().position(|it| it.starts_with("FAILED"));
    let lines: Vec<&str> = said.lines().skip(red.unwrap_or_else(|| panic!("nothing is red:\n{said}"))).collect();
    let named = lines[0].strip_prefix("FAILED").is_some_and(|it| it.trim_start().starts_with(&format!("{row}  ")));
    assert!(named, "the first red row is not {row}:\n{said}");
    assert!(lines[1].contains(says), "{says:?} is not in {}\n{said}", lines[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_red_line_names_the_fault() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("stands", SCENARIO);
    with_shell(&project);
    let mut standing = Standing::up(&project, "stands");

    let (code, said) = standing.check("", "");
    assert_eq!(code, 0, "{said}");
    for part in ["(Service minio)", "(differs)", "presigned PUT opens", "odd key the signature is right"] {
        assert!(in_one_line(&said).contains(part), "{part:?} is not in:\n{said}");
    }
    let (code, said) = standing.check("", "--json 2>/dev/null");
    let told: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &told["remains"], &told["rows"][0]["name"]), (0, &serde_json::json!([]), &"name".into()));

    let wrong = "export AWS_SECRET_ACCESS_KEY=another-secret-key;";
    standing.first_red((wrong, ""), "keys", "compare the secret key with the store's");
    let other = project.path("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["other".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&other, certificate.pem()).unwrap();
    standing.first_red((&format!("CA={};", other.display()), ""), "tls", "does not trust it");
    standing.first_red(("", "--service-account default"), "token", "anonymous request");
    let (code, said) = standing.check("IMAGE='--image parallax.local/none:1';", "");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("inside     not asked: container agent of pod"), "{said}");
    // Without the store's keys, `check` writes no object. With the keys, `check` writes only below a prefix of its own.
    // So `rerun got` must still find the scenario's own object after all checks.
    let (code, said) = standing.check("unset AWS_SECRET_ACCESS_KEY;", "");
    assert!(code == 0 && !said.contains("writes"), "{said}");
    assert_eq!(standing.pods().await, Vec::<String>::new());
    attached(&project, &mut standing).await;
    let left = project.parallax(&["rerun", "got"]).output().unwrap();
    assert_eq!(left.status.code(), Some(0));
    drop(standing);

    let standing = Standing::up(&project, "stands+no-rewrite");
    standing.first_red(("", ""), "name", "does not exist for pods");
    assert_eq!(standing.pods().await, Vec::<String>::new());
    drop(standing);

    let standing = Standing::up(&project, "stands+other-name");
    standing.first_red(("", ""), "tls", "the certificate at minio.example.com is for");
    assert_eq!(standing.pods().await, Vec::<String>::new());
}
