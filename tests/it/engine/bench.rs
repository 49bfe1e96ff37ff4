//! Support for the engine tests: an engine, an image that the test builds, and a second process that a test can kill.

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

/// Returns the name of the test image. Its tag is the id of the test process.
fn image_name() -> String {
    format!("parallax-engine-test:{}", std::process::id())
}

/// The surroundings of a test: an engine, a temporary folder for ledgers, and an image with a shell.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) image: String,
    runs: Mutex<Vec<RunId>>,
}

impl Bench {
    /// Connects to the engine. Returns `None` only if the caller's environment says that there is no engine. Otherwise
    /// a missing engine fails the test.
    pub(crate) async fn new() -> Option<Self> {
        if std::env::var_os("PARALLAX_TEST_NO_ENGINE").is_some() {
            eprintln!("NOT TESTED: PARALLAX_TEST_NO_ENGINE is set, so no test uses a real container engine");
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

    /// Returns a new run id. Others may use the engine at the same time, so the tests check only objects with the ids
    /// of their own runs.
    pub(crate) fn run(&self) -> RunId {
        let run = fresh_run_id();
        self.runs.lock().unwrap().push(run.clone());
        run
    }

    pub(crate) fn site(&self) -> Site {
        Site::open(self.engine.clone(), self.state(), self.run(), None).unwrap()
    }

    /// Returns the specification of a container that runs a shell script.
    pub(crate) fn shell(&self, what: &str, network: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            entrypoint: Some(vec!["/bin/busybox".into(), "sh".into(), "-c".into()]),
            command: vec![script.to_owned()],
            ready_within: Duration::from_secs(20),
            ..ContainerSpec::new(what, &self.image, network)
        }
    }

    /// Asserts that no object of any run of this test is left, neither by name nor by label.
    pub(crate) fn assert_nothing_left(&self) {
        for run in self.runs.lock().unwrap().iter() {
            assert_eq!(objects(run), BTreeSet::new(), "run {run} has left something");
        }
    }
}

impl Drop for Bench {
    /// Removes all objects of the test, even if the test failed.
    fn drop(&mut self) {
        for object in self.runs.lock().unwrap().iter().flat_map(objects) {
            let (kind, name) = object.split_once(' ').unwrap();
            let args = if kind == "container" { vec!["rm", "-fv", name] } else { vec![kind, "rm", name] };
            // A volume may already be removed together with its container. The result is ignored, because a panic here
            // would hide the failure of the test.
            let _ = Command::new(Tool::Docker.command()).args(args).output();
        }
        let _ = Command::new(Tool::Docker.command()).args(["image", "rm", "--force", &self.image]).output();
    }
}

fn endpoint() -> Endpoint {
    let endpoint = find(&RealSurroundings).unwrap_or_else(|error| panic!("{error}: {:?}", error.fix()));
    // The harness normally restarts itself if its environment variables refer to another engine. The test binary must
    // not restart itself, because a restart would end the other running tests. So this function only checks the
    // environment variables.
    assert!(
        environment_fits(&endpoint),
        "run the tests with DOCKER_HOST={} and TESTCONTAINERS_COMMAND=keep, as `cargo xtask test` does",
        endpoint.host
    );
    endpoint
}

/// Returns the path of a program that a test needs. Tests install nothing. `parallax doctor --tests --provision`
/// installs the programs before the tests begin.
pub(crate) async fn program(tool: Tool) -> std::path::PathBuf {
    let found = ensure_tool(tool, Use::Test, false, &Sink::silent()).await;
    found.unwrap_or_else(|error| panic!("{error}: {:?}", error.fix()))
}

/// Builds an image that contains only one static shell.
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

/// Returns the containers, networks and volumes of a run, as `KIND NAME`. An object belongs to the run if it has the
/// run's label, or has the run's id in its name.
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

/// Runs the `docker` command, which is independent of the code under test.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new(Tool::Docker.command()).args(args).output().expect("the docker command");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns a command that starts this test binary again as a separate process. The process runs only the ignored test
/// `role` of the module `roles`.
pub(crate) fn this_binary_as(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("engine::roles::{role}"), "--exact", "--ignored", "--nocapture"]);
    command.env("PARALLAX_TEST_ROLE", role);
    command
}

/// A child process that is killed and reaped in any case, even if the test fails.
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
