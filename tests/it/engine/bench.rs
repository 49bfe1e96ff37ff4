//! What the tests stand on: an engine, an image made here, and a second process that can be killed.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use parallax_engine::{
    ContainerSpec, Endpoint, Engine, RealSurroundings, Site, StateDir, environment_fits, find, fresh_run_id,
};
use parallax_provision::{Tool, Use, ensure_tool};
use parallax_record::Sink;
use parallax_vocab::RunId;

/// The image's name; its tag is the test process.
fn image_name() -> String {
    format!("parallax-engine-test:{}", std::process::id())
}

/// A place for a test: an engine, a scratch folder for ledgers, an image with a shell.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) image: String,
    runs: Mutex<Vec<RunId>>,
}

impl Bench {
    /// None only where the caller's environment says that there is no engine to test with; otherwise a missing engine
    /// fails the test.
    pub(crate) async fn new() -> Option<Self> {
        if std::env::var_os("PARALLAX_TEST_NO_ENGINE").is_some() {
            eprintln!("NOT TESTED: PARALLAX_TEST_NO_ENGINE is set, so nothing here meets a real engine");
            return None;
        }
        let endpoint = endpoint();
        let engine = Engine::connect(&endpoint).await.unwrap_or_else(|error| panic!("{error}: {:?}", error.fix()));
        let scratch = tempfile::tempdir().unwrap();
        let image = image_name();
        make_image(&image, scratch.path()).await;
        Some(Self { engine, scratch, image, runs: Mutex::default() })
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::at(self.scratch.path().join("state"))
    }

    /// A run's id. Others may use the engine at the same time, so only what our runs made is looked at.
    pub(crate) fn run(&self) -> RunId {
        let run = fresh_run_id();
        self.runs.lock().unwrap().push(run.clone());
        run
    }

    pub(crate) fn site(&self) -> Site {
        Site::open(self.engine.clone(), self.state(), self.run(), false).unwrap()
    }

    /// A container that runs a line of shell.
    pub(crate) fn shell(&self, what: &str, network: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            entrypoint: Some(vec!["/bin/busybox".into(), "sh".into(), "-c".into()]),
            command: vec![script.to_owned()],
            ready_within: Duration::from_secs(20),
            ..ContainerSpec::new(what, &self.image, network)
        }
    }

    /// Nothing is left of any run of this test, by name or by label.
    pub(crate) fn assert_nothing_left(&self) {
        for run in self.runs.lock().unwrap().iter() {
            assert_eq!(objects(run), BTreeSet::new(), "run {run} has left something");
        }
    }
}

impl Drop for Bench {
    /// A test that failed leaves nothing either.
    fn drop(&mut self) {
        for object in self.runs.lock().unwrap().iter().flat_map(objects) {
            let (kind, name) = object.split_once(' ').unwrap();
            let args = if kind == "container" { vec!["rm", "-fv", name] } else { vec![kind, "rm", name] };
            // A volume went with its container; and a panic here would hide why the test failed.
            let _ = Command::new(Tool::Docker.command()).args(args).output();
        }
        let _ = Command::new(Tool::Docker.command()).args(["image", "rm", "--force", &self.image]).output();
    }
}

fn endpoint() -> Endpoint {
    let endpoint = find(&RealSurroundings).unwrap_or_else(|error| panic!("{error}: {:?}", error.fix()));
    // Starting this program again in the middle of its tests would kill those that run beside this one.
    assert!(
        environment_fits(&endpoint),
        "run the tests with DOCKER_HOST={} and TESTCONTAINERS_COMMAND=keep, as `cargo xtask test` does",
        endpoint.host
    );
    endpoint
}

/// A program that a test needs. Tests install nothing: `parallax doctor --tests --provision` does, before they begin.
pub(crate) async fn program(tool: Tool) -> std::path::PathBuf {
    let found = ensure_tool(tool, Use::Test, false, &Sink::silent()).await;
    found.unwrap_or_else(|error| panic!("{error}: {:?}", error.fix()))
}

/// An image with one static shell in it.
async fn make_image(name: &str, scratch: &std::path::Path) {
    let root = scratch.join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("tmp")).unwrap();
    let shell = program(Tool::Busybox).await;
    std::fs::copy(shell, root.join("bin/busybox")).unwrap();
    let archive = scratch.join("root.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    tar.append_dir_all(".", &root).unwrap();
    tar.into_inner().unwrap();
    docker(&["import", archive.to_str().unwrap(), name]);
}

/// Containers, networks and volumes of a run, as `KIND NAME`: those that carry its label, and those that carry its id
/// in their name.
pub(crate) fn objects(run: &RunId) -> BTreeSet<String> {
    let lists: [(&str, &[&str]); 3] = [
        ("container", &["ps", "--all", "--format", "{{.Names}}"]),
        ("network", &["network", "ls", "--format", "{{.Name}}"]),
        ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
    ];
    let filters = [format!("label=io.parallax.run={run}"), format!("name={run}")];
    let one = |(kind, args): (&str, &[&str]), filter: &str| {
        let names = docker(&[args, &["--filter", filter]].concat());
        names.lines().map(|name| format!("{kind} {name}")).collect::<Vec<_>>()
    };
    lists.into_iter().flat_map(|list| filters.iter().flat_map(move |filter| one(list, filter))).collect()
}

/// The command-line client: a second witness, independent of the code under test.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new(Tool::Docker.command()).args(args).output().expect("the docker command");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// This test binary again, running one of its ignored tests as a process of its own.
pub(crate) fn this_binary_as(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("engine::roles::{role}"), "--exact", "--ignored", "--nocapture"]);
    command.env("PARALLAX_TEST_ROLE", role);
    command
}

/// A child that is killed and reaped however the test ends.
pub(crate) struct Killed(pub(super) Child);

impl Killed {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
