//! Tests the demo chart (`docs/demo`) on a node that `docker run` starts, as docs/your-own-stack.md tells a user. The
//! test runs the commands of that page. The right set-up must work, from the browser's upload to the restored database.
//! In each of the twelve wrong set-ups, the first row with `FAILED` in the output of `parallax check` must name the
//! cause.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use parallax::cluster::{Ended, client_of_file, until};
use parallax::probe::Vantage;
use parallax::run::supply_of;
use parallax_engine::{Engine, RealSurroundings};
use parallax_images::{K3s, Recipes, Want};
use parallax_provision::Tool;
use parallax_record::Sink;
use parallax_vocab::question::{HttpQuestion, Probe, View};
use parallax_vocab::{Question, Reply};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::bench::{Project, no_engine, reserve};
use super::check::{first_red, in_one_line};
use crate::engine::bench::docker;

/// The tools that a user has. For each tool: the name of its image, and the path of its program in the image.
const TOOLS: [(&str, &str); 2] = [("helm", "/usr/local/bin/helm"), ("kubectl", "/clients/kubectl")];
/// The image of the test's own name server.
const COREDNS: &str = "coredns";
/// Tests that list the engine's objects leave out the objects with this label, because these belong to another test.
const LABEL: &str = "io.parallax.test=demo";
/// The time limit for building the images that do not exist when this test starts. `cargo xtask test` builds all of
/// them before the tests.
const IMAGES_WITHIN: Duration = Duration::from_mins(45);
/// The time limit for a block of commands. It is longer than the time limits of the commands themselves, which are at
/// most three minutes. So a command that waits too long ends by itself, and its message says what is missing.
const COMMANDS_WITHIN: Duration = Duration::from_mins(4);
/// The time limit for a Deployment to replace its pods after the values of the chart have changed.
const ROLLED_WITHIN: Duration = Duration::from_mins(2);
/// The time limit until the apiserver knows the address of a ready pod.
const ADDRESS_WITHIN: Duration = Duration::from_secs(30);
/// The interval at which the test asks the apiserver whether it knows the pod's address.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The wrong set-ups. Each entry has the name of a file with values for the chart, the endpoint and the options of the
/// check, the first row with `FAILED`, and a part of the sentence below this row. The set-ups that only change the
/// ingress come first, because they do not replace the application's pod.
const WRONG: [(&str, &str, &str, &str, &str); 12] = [
    ("another-certificate", HOST, LIKE_APP, "tls", "the certificate at s3.example.com is for files.example.com"),
    ("another-host", HOST, LIKE_APP, "keys", "and the store saw store"),
    // A proxy changes a header that the AWS SDK for Go signs.
    ("compression", HOST, LIKE_APP, "signed headers", "whose signature covers `accept-encoding: identity` is refused"),
    ("cors-twice", HOST, LIKE_APP, "cors", "let only one of ingress and store add it"),
    // A proxy encodes the path again.
    ("encoded-twice", HOST, LIKE_APP, "odd key", "the path was encoded once more after it was signed"),
    ("small-bodies", HOST, LIKE_APP, "large body", "something on the way limits bodies"),
    // The links should be valid for 7 days, but the credentials that sign the links expire earlier.
    ("long-links", HOST, "--app deploy/uploads --links-for 7d", "link", "for 7 d ends with them after"),
    ("another-trust", HOST, "--attach deploy/uploads --container app", "trust SSL_CERT_FILE", "/etc/cluster/ca.crt"),
    // The application signs URLs for the Service's name, which only pods can resolve.
    ("inner-name", HOST, LIKE_APP, "application", "only the cluster's DNS knows this name"),
    // The store is under a path prefix, and a proxy removes this prefix.
    ("path-prefix", HOST, LIKE_APP, "application", "the path of its links begins with /s3"),
    // The application sends its token to AWS and not to its own store.
    ("token-to-aws", HOST, LIKE_APP, "application", "has no AWS_ENDPOINT_URL_STS"),
    ("no-rewrite", "files.example.com", LIKE_APP, "name", "does not exist for pods"),
];
const HOST: &str = "s3.example.com";
/// The command that installs the chart again, with other values.
const UPGRADE: &str = "helm upgrade demo docs/demo --namespace demo --values target/demo/images.yaml";
/// The options of a check that compares with an application. The application's links are valid for 15 minutes.
const LIKE_APP: &str = "--app deploy/uploads --links-for 15m";

/// Returns the commands in the section of docs/your-own-stack.md about the demo, one text for each block of commands.
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

/// Returns `text` with `to` in the place of `from`. The test fails unless `from` occurs exactly once.
#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in:\n{text}");
    text.replace(from, to)
}

/// The containers and volumes of this test. They are removed when this value is dropped, even if the test fails.
///
/// The container of docs/your-own-stack.md gets another name in this test, because a user may have a container with the
/// name from that page. Every object has the label [`LABEL`]. Other tests compare the lists of the engine's objects at
/// the same time, and leave out objects with this label.
struct Objects {
    /// The name of the container that the commands of docs/your-own-stack.md start: the Kubernetes node.
    node: String,
    /// The name server that answers the node's questions about names outside the cluster.
    name_server: String,
    /// The containers from which the programs of [`TOOLS`] are copied.
    tools: [String; 2],
    /// The volumes for the two folders in which the node keeps its data.
    volumes: [String; 2],
}

impl Objects {
    fn new() -> Self {
        let name = |part: &str| format!("parallax-demo-{}-{part}", std::process::id());
        Self {
            node: name("node"),
            name_server: name("names"),
            tools: TOOLS.map(|(tool, _)| name(tool)),
            volumes: ["rancher", "kubelet"].map(name),
        }
    }

    /// Changes `page`, the commands of docs/your-own-stack.md that start the node: the result has the names and the
    /// label of this test, and the name server `dns`.
    fn of_this_test(&self, page: &str, dns: IpAddr) -> String {
        let [rancher, kubelet] = &self.volumes;
        let run = replaced(page, "docker run ", &format!("docker run --label {LABEL} --dns {dns} "));
        let run =
            replaced(&run, "--volume /var/lib/rancher/k3s ", &format!("--volume {rancher}:/var/lib/rancher/k3s "));
        let run = replaced(&run, "--volume /var/lib/kubelet ", &format!("--volume {kubelet}:/var/lib/kubelet "));
        self.renamed(&run)
    }

    /// Returns `page`, which contains commands of docs/your-own-stack.md, with the name of this test's container.
    fn renamed(&self, page: &str) -> String {
        assert!(page.contains("uploads-demo"), "the page's container has another name:\n{page}");
        page.replace("uploads-demo", &self.node)
    }

    /// Starts a name server that knows no name, and returns its address. Without this server, the result of the
    /// set-up `no-rewrite` would depend on what the machine's name server says about names below `example.com`.
    fn start_name_server(&self, image: &str, folder: &Path) -> IpAddr {
        let file = folder.join("Corefile");
        std::fs::write(&file, ". {\n    template ANY ANY {\n        rcode NXDOMAIN\n    }\n}\n").unwrap();
        let mounted = format!("{}:/Corefile:ro", file.display());
        let name = self.name_server.as_str();
        docker(&[
            "run",
            "--detach",
            "--name",
            name,
            "--label",
            LABEL,
            "--volume",
            &mounted,
            image,
            "-conf",
            "/Corefile",
        ]);
        let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", address, name]);
        address.trim().parse().unwrap_or_else(|_| panic!("{name} does not run: {}", docker(&["logs", name])))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let Self { node, name_server, tools, volumes } = &*self;
        // Some of these objects may not exist, because the test failed before it created them. The result is ignored,
        // because a panic here would hide the failure of the test.
        let docker = || Command::new(Tool::Docker.command());
        let _ = docker().args(["rm", "--force", "--volumes"]).args([node, name_server]).args(tools).output();
        let _ = docker().args(["volume", "rm", "--force"]).args(volumes).output();
    }
}

/// The project in whose folder the commands run.
struct Demo<'a> {
    project: &'a Project,
    /// The folder of the programs `helm` and `kubectl`.
    tools: PathBuf,
    /// The commands of docs/your-own-stack.md that define functions and variables.
    functions: String,
}

/// The exit code and the output of commands.
struct Printed {
    code: i32,
    stdout: String,
    /// The standard output of the commands, followed by their standard error.
    all: String,
}

impl Demo<'_> {
    /// Runs commands in one shell, after the functions and variables that docs/your-own-stack.md defines. The test
    /// fails if the commands do not end within `within`.
    async fn shell(&self, script: &str, within: Duration) -> Printed {
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
        command.args(["-euc", &format!("{}\n{script}", self.functions)]);
        // The output goes to files, so that the test can read it even if the commands do not end.
        let files = ["stdout", "stderr"].map(|it| self.project.path(it));
        let [stdout, stderr] = files.each_ref().map(|it| File::create(it).unwrap());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let mut child = tokio::process::Command::from(command).spawn().unwrap();
        let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        let ended = timeout(within, child.wait()).await;
        let [stdout, stderr] = files.map(|it| String::from_utf8_lossy(&std::fs::read(it).unwrap()).into_owned());
        let all = format!("{stdout}{stderr}");
        let Ok(status) = ended else {
            let _ = kill_process_group(group, Signal::KILL);
            panic!("these commands did not end within {} s:\n{script}\n{all}", within.as_secs());
        };
        Printed { code: status.unwrap().code().unwrap_or(-1), stdout, all }
    }

    /// Runs commands that must succeed, and returns what they print.
    async fn run(&self, script: &str) -> Printed {
        self.run_within(script, COMMANDS_WITHIN).await
    }

    async fn run_within(&self, script: &str, within: Duration) -> Printed {
        let printed = self.shell(script, within).await;
        assert_eq!(printed.code, 0, "{script}\n{}", printed.all);
        printed
    }

    /// Runs a command that must succeed and print JSON to standard output.
    async fn told(&self, script: &str) -> Value {
        let printed = self.run(script).await;
        serde_json::from_str(&printed.stdout).unwrap_or_else(|error| panic!("{error}: {script}\n{}", printed.all))
    }

    /// Waits until a Deployment has a pod with its newest values. If `ready` is set, the pod must also be ready.
    /// Otherwise the pod may be in any state, because the pods of some wrong set-ups never get ready.
    async fn rolled(&self, client: &Client, name: &str, ready: bool) {
        let all: Api<Deployment> = Api::namespaced(client.clone(), "demo");
        let rolled = |it: Option<&Deployment>| {
            let Some((it, status)) = it.and_then(|it| Some((it, it.status.as_ref()?))) else { return false };
            let newest = status.observed_generation == it.metadata.generation && status.updated_replicas == Some(1);
            newest && (!ready || status.available_replicas == Some(1))
        };
        let why = match until(&all, name, rolled, Instant::now() + ROLLED_WITHIN).await {
            Ended::Met(_) => return,
            Ended::NotMet(_) => {
                let pods = format!("kubectl --namespace demo describe pods --selector app={name}");
                self.shell(&pods, COMMANDS_WITHIN).await.all
            }
            Ended::Unseen(why) => why,
        };
        let wanted = if ready { "a ready pod" } else { "a pod" };
        panic!("Deployment {name} had not {wanted} of its newest values within {} s:\n{why}", ROLLED_WITHIN.as_secs());
    }
}

/// Gets the tools that a user has, and puts their programs into a folder. Returns the reference of the image
/// [`COREDNS`].
async fn get_tools(objects: &Objects, folder: &Path) -> String {
    let engine = Engine::connect(&parallax_engine::find(&RealSurroundings).unwrap()).await.unwrap();
    let recipes = Recipes::of(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let names = TOOLS.map(|(name, _)| name).into_iter().chain([COREDNS]);
    let wanted: Vec<Want> = names.map(|it| Want { name: it.to_owned(), engine: true, archive: false }).collect();
    let sink = Sink::silent();
    let supplied = supply_of(&recipes, K3s::Built, &engine, false, &wanted, &sink, CancellationToken::new());
    let supplied = timeout(IMAGES_WITHIN, Box::pin(supplied)).await.expect("images of the tools within the time limit");
    let supplied = supplied.unwrap_or_else(|error| panic!("{error}"));
    for ((name, program), container) in TOOLS.into_iter().zip(&objects.tools) {
        docker(&["create", "--name", container, "--label", LABEL, &supplied[name].reference]);
        docker(&["cp", &format!("{container}:{program}"), folder.join(name).to_str().unwrap()]);
        docker(&["rm", container]);
    }
    supplied[COREDNS].reference.clone()
}

/// Uploads a file in the same way as the application's web page. The application must still know the file after its
/// pod was replaced.
async fn upload(demo: &Demo<'_>, view: View) {
    let at = "/api/v1/namespaces/demo/services/uploads:http/proxy";
    let page = demo.run(&format!("kubectl get --raw {at}/")).await.stdout;
    assert!(page.contains("<form>") && page.contains("method: \"PUT\""), "{page}");
    let link = demo.told(&format!("kubectl create --raw '{at}/uploads?name=a%20b.txt' -f /dev/null")).await;
    let url = link["url"].as_str().unwrap();
    let request = HttpQuestion { body: Some("hello".to_owned()), ..HttpQuestion::new("PUT", url) };
    let question = Question { view, deadline_ms: 15_000, probe: Probe::Http(request) };
    let answer = Vantage::Outside.ask(question).await.unwrap();
    let Some(Reply::Http(http)) = answer.reply() else { panic!("{answer:?}") };
    assert_eq!(http.status, 200, "{http:?}");
    let number = &link["number"];
    let done = demo.told(&format!("kubectl create --raw {at}/uploads/{number}/done -f /dev/null")).await;
    let expected = json!({ "number": 1, "key": "uploads/1/a b.txt", "bytes": 5 });
    assert_eq!(done, expected);

    // The database is on an emptyDir, so a new pod has only what litestream restores. The old pod must be gone before
    // the new pod starts, for two reasons. Litestream sends the last row only when it ends. And a replica may have only
    // one writer.
    let replace = "kubectl --namespace demo scale deployment/uploads --replicas 0
        kubectl --namespace demo wait --for delete pod --selector app=uploads --timeout 60s
        kubectl --namespace demo scale deployment/uploads --replicas 1
        kubectl --namespace demo rollout status deployment/uploads --timeout 60s";
    demo.run(replace).await;
    let list = format!("kubectl get --raw {at}/uploads");
    let deadline = Instant::now() + ADDRESS_WITHIN;
    loop {
        // Only a failed request is repeated. If the answer is a list without the file, the test fails at once.
        let printed = demo.shell(&list, COMMANDS_WITHIN).await;
        if printed.code == 0 {
            assert_eq!(serde_json::from_str::<Value>(&printed.stdout).unwrap(), json!([expected]));
            return;
        }
        let within = ADDRESS_WITHIN.as_secs();
        assert!(Instant::now() < deadline, "Service uploads had no answer within {within} s:\n{}", printed.all);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_red_row_names_the_cause_of_each_wrong_set_up() {
    if no_engine() {
        return;
    }
    let project = Project::new();
    super::bench::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo"), &project.path("docs/demo"));
    let tools = project.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let blocks = documented();
    let [images, node, chart, check, end] = &blocks[..] else { panic!("the section has other blocks: {blocks:#?}") };

    // Building missing images takes minutes. During the builds, other tests may start clusters. So this test reserves
    // its own cluster only after the builds.
    let objects = Objects::new();
    let coredns = get_tools(&objects, &tools).await;
    let mut demo = Demo { project: &project, tools, functions: String::new() };
    demo.run_within(images, IMAGES_WITHIN).await;
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    // Values are dropped in reverse order. `objects` is bound again after the reservation, so that the node is
    // removed before another test may start a cluster.
    let objects = objects;

    // Run the commands of docs/your-own-stack.md. Each block needs the functions and variables of the blocks before it.
    demo.functions = images.lines().filter(|it| it.contains("() {")).collect::<Vec<_>>().join("\n");
    for volume in &objects.volumes {
        docker(&["volume", "create", "--label", LABEL, volume]);
    }
    let dns = objects.start_name_server(&coredns, &project.path(""));
    let node = objects.of_this_test(node, dns);
    demo.run(&node).await;
    let defined = node.lines().find(|it| it.starts_with("node=")).expect("the page names the node's address");
    demo.functions = format!("{}\n{defined}", demo.functions);
    demo.run(chart).await;
    let (definitions, right) = check.split_once("\ncheck s3.example.com").expect("the last command is the check");
    demo.functions = format!("{}\n{definitions}", demo.functions);

    // First, check the right set-up.
    let said = demo.run(&format!("check s3.example.com{right}")).await.all;
    for part in ["signs for https://s3.example.com", "(Service store)", "presigned PUT opens", "large body 2 MiB"] {
        assert!(in_one_line(&said).contains(part), "{part:?} is not in:\n{said}");
    }
    let client = client_of_file(&project.path("target/demo/kubeconfig")).await.unwrap();
    let name_server = demo.run("echo $node:53").await.stdout.trim().parse().unwrap();
    let authority = std::fs::read_to_string(project.path("target/demo/ca.pem")).unwrap();
    upload(&demo, View { trust: vec![authority], name_servers: vec![name_server], ..View::default() }).await;

    for (name, endpoint, options, row, says) in WRONG {
        demo.run(&format!("{UPGRADE} --values docs/demo/values-{name}.yaml")).await;
        // In the set-up `no-rewrite`, the store reads its new certificate only after some time. The ingress gets ready
        // only after that, so the test does not wait until the ingress is ready.
        demo.rolled(&client, "ingress", name != "no-rewrite").await;
        demo.rolled(&client, "uploads", name == "another-trust").await;
        demo.rolled(&client, "names", true).await;
        // With `--attach`, the check runs in the application's own pod, which has a ServiceAccount already. So no
        // option for a ServiceAccount is accepted.
        let identity = if options.contains("--attach") { "" } else { "$identity" };
        let printed = demo.shell(&format!("check {endpoint} {options} {identity}"), COMMANDS_WITHIN).await;
        assert_eq!(printed.code, 1, "{name}\n{}", printed.all);
        first_red(&printed.all, row, says);
    }
    demo.run(&objects.renamed(end)).await;
    let left = docker(&["ps", "--all", "--format", "{{.Names}}"]);
    assert!(left.lines().all(|it| it != objects.node), "the page's last command leaves its container:\n{left}");
}
