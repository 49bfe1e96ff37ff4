//! Tests the demo chart (`docs/demo`) on a node that `docker run` starts, as docs/your-own-stack.md tells a user. The
//! commands are those of the page. The right set-up works, from the browser's upload to the restored database, and the
//! first red row of `parallax check` names the cause of each of the twelve wrong set-ups.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use parallax::cluster::client_of_file;
use parallax::probe::Vantage;
use parallax::run::supply_of;
use parallax_engine::{Engine, RealSurroundings};
use parallax_images::{K3s, Recipes, Want};
use parallax_provision::Tool;
use parallax_record::Sink;
use parallax_vocab::question::{HttpQuestion, Probe, View};
use parallax_vocab::{Question, Reply};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bench::{Project, no_engine, reserve};
use super::check::{first_red, in_one_line};
use crate::engine::bench::docker;

/// The tools that a user has, as images, and their programs in these.
const TOOLS: [(&str, &str); 2] = [("helm", "/usr/local/bin/helm"), ("kubectl", "/clients/kubectl")];
/// The container of the page.
const NODE: &str = "uploads-demo";
/// The time limit for a Deployment of the chart to have the pods of its newest values.
const ROLLED_WITHIN: Duration = Duration::from_mins(2);
/// The interval at which the state of a Deployment is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The wrong set-ups: the values of the chart, the endpoint and the options of the check, the first red row, and a part of
/// its sentence. A set-up that only changes the ingress comes first, because the application's pod then stays.
const WRONG: [(&str, &str, &str, &str, &str); 12] = [
    ("another-certificate", HOST, LIKE_APP, "tls", "the certificate at s3.example.com is for files.example.com"),
    ("another-host", HOST, LIKE_APP, "keys", "and the store saw store"),
    // F7: a proxy changes a header that the AWS SDK for Go signs.
    ("compression", HOST, LIKE_APP, "signed headers", "whose signature covers `accept-encoding: identity` is refused"),
    ("cors-twice", HOST, LIKE_APP, "cors", "let only one of ingress and store add it"),
    // F5: a proxy encodes the path again.
    ("encoded-twice", HOST, LIKE_APP, "odd key", "the path was encoded once more after it was signed"),
    ("small-bodies", HOST, LIKE_APP, "large body", "something on the way limits bodies"),
    // F11: a link is to live longer than the credentials that sign it.
    ("long-links", HOST, "--app deploy/uploads --links-for 7d", "link", "for 7 d ends with them after"),
    ("another-trust", HOST, "--attach deploy/uploads --container app", "trust SSL_CERT_FILE", "/etc/cluster/ca.crt"),
    // F1: the application signs for the Service's name.
    ("inner-name", HOST, LIKE_APP, "application", "only the cluster's DNS knows this name"),
    // F4: the store is under a path prefix that a proxy strips.
    ("path-prefix", HOST, LIKE_APP, "application", "the path of its links begins with /s3"),
    // F13: the application sends its token to AWS.
    ("token-to-aws", HOST, LIKE_APP, "application", "has no AWS_ENDPOINT_URL_STS"),
    ("no-rewrite", "files.example.com", LIKE_APP, "name", "does not exist for pods"),
];
const HOST: &str = "s3.example.com";
/// The command that gives the chart other values.
const UPGRADE: &str = "helm upgrade demo docs/demo --namespace demo --values target/demo/images.yaml";
/// The options of a check beside an application whose links are valid for 15 minutes.
const LIKE_APP: &str = "--app deploy/uploads --links-for 15m";

/// Returns the commands of the page's section about the demo, one text for each block.
fn documented() -> Vec<String> {
    let page = include_str!("../../../docs/your-own-stack.md");
    let section = page.split("## A demo with twelve faults").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn each_wrong_set_up_is_tested_and_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo");
    let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|it| it.starts_with("values-")).collect();
    files.sort();
    let mut tested: Vec<String> = WRONG.iter().map(|it| format!("values-{}.yaml", it.0)).collect();
    tested.sort();
    assert_eq!(files, tested);
    let page = include_str!("../../../docs/your-own-stack.md");
    for (name, _, _, row, _) in WRONG {
        assert!(page.contains(&format!("| `{name}` | `{row}` |")), "the page does not name {name} with {row}");
    }
}

/// Removes the page's container when this value is dropped, so also if the test fails.
struct Container;

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new(Tool::Docker.command()).args(["rm", "--force", "--volumes", NODE]).output();
    }
}

/// The project in whose folder the commands run.
struct Demo<'a> {
    project: &'a Project,
    /// The folder of the programs `helm` and `kubectl`.
    tools: PathBuf,
    /// The commands of the page that define functions and variables.
    functions: String,
}

impl Demo<'_> {
    /// Runs commands in one shell, after the definitions of the page. Returns the exit code and the output.
    fn shell(&self, script: &str) -> (i32, String) {
        let parallax = self.project.parallax(&[]);
        let programs = Path::new(parallax.get_program()).parent().unwrap().display().to_string();
        let mut command = Command::new("bash");
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{programs}:{path}", self.tools.display()));
        for (name, value) in parallax.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let kubeconfig = self.project.path("target/demo/kubeconfig");
        command.env("KUBECONFIG", &kubeconfig).current_dir(self.project.path(""));
        let ended = command.args(["-euc", &format!("{}\n{script}", self.functions)]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        (ended.status.code().unwrap_or(-1), said)
    }

    /// Runs commands that must succeed, and returns their output.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let (code, said) = self.shell(script);
        assert_eq!(code, 0, "{script}\n{said}");
        said
    }
}

/// Waits until the pods of a Deployment are those of its newest values. They need not be ready, because some set-ups are
/// wrong.
async fn rolled(client: &Client, name: &str, ready: bool) {
    let all: Api<Deployment> = Api::namespaced(client.clone(), "demo");
    let deadline = Instant::now() + ROLLED_WITHIN;
    loop {
        let it = all.get(name).await.unwrap();
        let status = it.status.unwrap_or_default();
        let newest = status.observed_generation == it.metadata.generation && status.updated_replicas == Some(1);
        if newest && (!ready || status.available_replicas == Some(1)) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {status:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Gets the tools that a user has, and puts their programs into a folder.
async fn get_tools(folder: &Path) {
    let engine = Engine::connect(&parallax_engine::find(&RealSurroundings).unwrap()).await.unwrap();
    let recipes = Recipes::Of(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let wanted = TOOLS.map(|(name, _)| Want { name: name.to_owned(), engine: true, archive: false });
    let sink = Sink::silent();
    let supplied = supply_of(&recipes, K3s::Built, &engine, false, &wanted, &sink, CancellationToken::new()).await;
    let supplied = supplied.unwrap_or_else(|error| panic!("{error}"));
    for (name, program) in TOOLS {
        let container = docker(&["create", &supplied[name].reference]);
        let from = format!("{}:{program}", container.trim());
        docker(&["cp", &from, folder.join(name).to_str().unwrap()]);
        docker(&["rm", container.trim()]);
    }
}

/// Uploads a file as the page's script does, and expects the application to know it after its pod was replaced.
async fn upload(demo: &Demo<'_>, client: &Client, view: View) {
    let at = "/api/v1/namespaces/demo/services/uploads:http/proxy";
    let page = demo.run(&format!("kubectl get --raw {at}/"));
    assert!(page.contains("<form>") && page.contains("method: \"PUT\""), "{page}");
    let told = |script: String| serde_json::from_str::<Value>(&demo.run(&script)).unwrap();
    let link = told(format!("kubectl create --raw '{at}/uploads?name=a%20b.txt' -f /dev/null"));
    let url = link["url"].as_str().unwrap();
    let request = HttpQuestion { body: Some("hello".to_owned()), ..HttpQuestion::new("PUT", url) };
    let question = Question { view, deadline_ms: 15_000, probe: Probe::Http(request) };
    let answer = Vantage::Outside.ask(question).await.unwrap();
    let Some(Reply::Http(http)) = answer.reply() else { panic!("{answer:?}") };
    assert_eq!(http.status, 200, "{http:?}");
    let number = &link["number"];
    let done = told(format!("kubectl create --raw {at}/uploads/{number}/done -f /dev/null"));
    let expected = json!({ "number": 1, "key": "uploads/1/a b.txt", "bytes": 5 });
    assert_eq!(done, expected);

    // The database is on an emptyDir, so a new pod has only what litestream restores.
    let pods: Api<Pod> = Api::namespaced(client.clone(), "demo");
    let of_app = ListParams::default().labels("app=uploads");
    let old = pods.list(&of_app).await.unwrap().items.remove(0).metadata.name.unwrap();
    demo.run(&format!(
        "kubectl --namespace demo delete pod {old} && kubectl --namespace demo rollout status deployment/uploads"
    ));
    assert_eq!(told(format!("kubectl get --raw {at}/uploads")), json!([expected]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_red_row_names_the_cause_of_each_wrong_set_up() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let project = Project::new();
    super::bench::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo"), &project.path("docs/demo"));
    let tools = project.path("tools");
    std::fs::create_dir(&tools).unwrap();
    get_tools(&tools).await;
    drop(Container);
    let _container = Container;
    let blocks = documented();
    let [images, node, chart, check, end] = &blocks[..] else { panic!("the section has other blocks: {blocks:#?}") };

    // The commands of the page. Each block has the functions and variables of those before it.
    let mut demo = Demo { project: &project, tools, functions: String::new() };
    demo.run(images);
    demo.functions =
        images.lines().filter(|it| it.contains("() {") || it.starts_with("cache=")).collect::<Vec<_>>().join("\n");
    demo.run(node);
    let defined = node.lines().find(|it| it.starts_with("node=")).expect("the page names the node's address");
    demo.functions = format!("{}\n{defined}", demo.functions);
    demo.run(chart);
    let (definitions, right) = check.split_once("\ncheck s3.example.com").expect("the last command is the check");
    demo.functions = format!("{}\n{definitions}", demo.functions);

    // The right set-up.
    let said = demo.run(&format!("check s3.example.com{right}"));
    for part in ["signs for https://s3.example.com", "(Service store)", "presigned PUT opens", "large body 2 MiB"] {
        assert!(in_one_line(&said).contains(part), "{part:?} is not in:\n{said}");
    }
    let client = client_of_file(&project.path("target/demo/kubeconfig")).await.unwrap();
    let name_server = demo.run("echo $node:53").trim().parse().unwrap();
    let authority = std::fs::read_to_string(project.path("target/demo/ca.pem")).unwrap();
    upload(&demo, &client, View { trust: vec![authority], name_servers: vec![name_server], ..View::default() }).await;

    for (name, endpoint, options, row, says) in WRONG {
        demo.run(&format!("{UPGRADE} --values docs/demo/values-{name}.yaml"));
        // The store reads its new certificate later, so this ingress gets ready later, too.
        rolled(&client, "ingress", name != "no-rewrite").await;
        rolled(&client, "uploads", name == "another-trust").await;
        // `--attach` uses the application's own pod, so it takes no ServiceAccount.
        let identity = if options.contains("--attach") { "" } else { "$identity" };
        let (code, said) = demo.shell(&format!("check {endpoint} {options} {identity}"));
        assert_eq!(code, 1, "{name}\n{said}");
        first_red(&said, row, says);
    }
    demo.run(end);
}
