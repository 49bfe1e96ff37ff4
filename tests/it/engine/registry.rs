//! Pulls images from a real registry on loopback. The image of the registry is built for these tests from
//! `images/registry`.
//!
//! `cargo xtask faults` tests registries that answer 429, hang or cut the connection (`crates/faults/src/rows`).

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use parallax_engine::PullLimits;
use serial_test::serial;

use super::bench::{Bench, docker};
use super::bundle::Project;
use crate::cli::parallax;

/// The time limit until the registry listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// A running registry. Dropping this value removes its container.
struct Registry {
    container: String,
    port: u16,
}

impl Registry {
    /// Starts a registry. `more` is the rest of its configuration.
    fn start(scratch: &Path, more: &str) -> Self {
        let image = built();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = scratch.join(format!("registry-{port}.yml"));
        let storage = "version: 0.1\nstorage: { filesystem: { rootdirectory: /var/lib/registry } }\n";
        fs::write(&config, format!("{storage}http: {{ addr: '127.0.0.1:{port}' }}\n{more}")).unwrap();
        let mount = format!("{}:/config.yml:ro", config.display());
        // The data is in memory, so nothing of it is left on the disk when the test is killed.
        let args = ["run", "--detach", "--network", "host", "--label", "io.parallax.test=registry"];
        let rest = ["--tmpfs", "/var/lib/registry", "--volume", &mount, &image, "serve", "/config.yml"];
        let container = docker(&[args.as_slice(), &rest].concat()).trim().to_owned();
        let registry = Self { container, port };
        let deadline = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "{}", docker(&["logs", &registry.container]));
            // The registry is another process, and nothing reports that it listens, so the test polls.
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    /// The reference of an image in this registry.
    fn of(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}:1", self.port)
    }

    /// Pushes an image from the engine to this registry, and removes it from the engine. Returns the image's digest
    /// in the registry.
    fn push(&self, image: &str, name: &str) -> String {
        let reference = self.of(name);
        docker(&["tag", image, &reference]);
        docker(&["push", "--quiet", &reference]);
        let digest = docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &reference]);
        docker(&["image", "rm", "--force", &reference, image]);
        digest.trim().rsplit('@').next().unwrap().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

/// Builds the image of the registry, unless it is built already, and loads it into the engine. Returns its reference.
fn built() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = parallax(root).args(["images", "build", "registry", "--lock", "project"]).output().unwrap();
    let said = String::from_utf8_lossy(&build.stderr).into_owned();
    assert_eq!(build.status.code(), Some(0), "{said}");
    let (_, tag) = said.rsplit_once("parallax.local/registry:").unwrap_or_else(|| panic!("{said}"));
    let tag: String = tag.chars().take_while(char::is_ascii_hexdigit).collect();
    let cache = parallax_images::Cache::open().unwrap();
    let archive = cache.root().join(format!("images/registry-{tag}.tar"));
    docker(&["load", "--quiet", "--input", archive.to_str().unwrap()]);
    format!("parallax.local/registry:{tag}")
}

/// Runs `images fetch`. Returns the exit code and the standard error.
fn fetched(project: &Project) -> (Option<i32>, String) {
    let output = project.images("cache", &["fetch"]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_pull_by_digest_gets_that_image_and_no_other() {
    let Some(bench) = Bench::new().await else { return };
    let registry = Registry::start(bench.scratch.path(), "");
    let digest = registry.push(&bench.image, "app");
    let app = registry.of("app");

    // The engine must report the progress of each layer while it pulls an image.
    let (pinned, lines) = (format!("{}@{digest}", app.trim_end_matches(":1")), Mutex::new(Vec::new()));
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    bench.engine.pull_image(&pinned, PullLimits::default(), note).await.unwrap();
    let lines = lines.into_inner().unwrap().join("\n");
    assert_says(&lines, &[" Pulling fs layer", " Pull complete", &format!("Digest: {digest}")]);
    docker(&["image", "rm", "--force", &pinned]);

    let project = Project::new(&app, Some(&digest));
    let (code, said) = fetched(&project);
    assert_eq!(code, Some(0), "{said}");
    assert_says(&said, &["image/app  pulled in ", &app]);
    let (code, said) = fetched(&project);
    assert_eq!(code, Some(0), "{said}");
    assert_says(&said, &["image/app  from engine: "]);

    // Another project's images.lock pins a digest that the registry does not have. The engine has an image with the
    // same reference, but with another digest.
    let none = format!("sha256:{}", "0".repeat(64));
    let other = Project::new(&app, Some(&none));
    let (code, said) = fetched(&other);
    assert_eq!(code, Some(3), "{said}");
    assert_says(
        &said,
        &[
            &format!("the engine's {app} is not the image {none} of images.lock; it is not used"),
            &format!("the published image {app} (app) is not in the engine and cannot be pulled: "),
            "manifest unknown",
            "fix: connect to a registry, or `docker load` the image",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_registry_that_wants_a_password_is_named_with_the_fix() {
    let Some(bench) = Bench::new().await else { return };
    // The registry creates its password file itself, with a random password that the test does not know.
    let auth = "auth: { htpasswd: { realm: tests, path: /tmp/htpasswd } }\n";
    let registry = Registry::start(bench.scratch.path(), auth);
    let project = Project::new(&registry.of("app"), None);
    let (code, said) = fetched(&project);
    assert_eq!(code, Some(3), "{said}");
    let wants = format!("the published image {} (app) could not be pulled: ", project.app);
    assert_says(&said, &[&wants, "no basic auth credentials", "fix: sign in by `docker login`"]);
    assert!(!said.contains("no image registry is in reach"), "the registry answered: {said}");
}
