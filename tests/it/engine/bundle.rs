//! Tests of image bundles with a real engine. The images of a project are bundled, and then loaded when neither the
//! engine nor the cache has them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use parallax_provision::Tool;
use serial_test::serial;

use super::bench::{Bench, docker};
use crate::cli::parallax;

/// A scenario that needs an image of the project, in addition to the images of each cluster.
const ASKS: &str = r"name: asks
summary: A pod of the application
vantages:
  app: { pod: { image: app } }
flow:
  - { id: asks, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
";
/// The names of the images that each cluster needs. In these tests, each image contains one small file, because no
/// cluster is started.
const OF_A_CLUSTER: [&str; 4] = ["k3s", "agent", "coredns", "pause"];

/// The prefix of the references of all images that these tests build.
const BUILT: &str = "parallax.local/bundle-test-";
/// The number of projects that this process has created.
static PROJECTS: AtomicU32 = AtomicU32::new(0);

/// A project whose images no other project has: their names contain the id of this process and the number of the
/// project. So an image that another project left behind, for example after a failed run, has no effect.
pub(super) struct Project {
    pub(super) folder: tempfile::TempDir,
    /// A part of the images' names. No other project has the same part in the names of its images.
    own: String,
    /// The reference of the project's published image, for which there is no recipe.
    pub(super) app: String,
}

impl Project {
    /// Creates the project. `app` is the reference of a published image, and `digest` is the digest of this image in
    /// images.lock.
    pub(super) fn new(app: &str, digest: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("{}-{}", std::process::id(), PROJECTS.fetch_add(1, Ordering::Relaxed));
        let digest = digest.map(|digest| format!(", digest: '{digest}'")).unwrap_or_default();
        let mut lock = format!("images:\n  - {{ name: app, for: the application, reference: '{app}'{digest} }}\n");
        for name in OF_A_CLUSTER {
            writeln!(lock, "  - {{ name: {name}, for: clusters, recipe: bundle-test-{own}-{name} }}").unwrap();
            let recipe = folder.path().join(format!("images/bundle-test-{own}-{name}"));
            fs::create_dir_all(recipe.join("files")).unwrap();
            fs::write(recipe.join("recipe.yaml"), "summary: a test\nlayers: [{ files: files }]\n").unwrap();
            fs::write(recipe.join("files").join(name), format!("of process {own}\n")).unwrap();
        }
        fs::write(folder.path().join("images/images.lock"), lock).unwrap();
        fs::create_dir_all(folder.path().join("scenarios/asks")).unwrap();
        fs::write(folder.path().join("scenarios/asks/scenario.yaml"), ASKS).unwrap();
        Self { folder, own, app: app.to_owned() }
    }

    /// Runs `parallax images` with the folder `cache` of the project as the image cache.
    pub(super) fn images(&self, cache: &str, args: &[&str]) -> Output {
        let mut command = parallax(self.folder.path());
        command
            .arg("images")
            .args(args)
            .args(["--lock", "project"])
            .env("PARALLAX_CACHE", self.folder.path().join(cache));
        command.output().unwrap()
    }

    /// Runs `parallax images` and asserts that it succeeds. Returns its standard output and its standard error.
    #[track_caller]
    fn does(&self, cache: &str, args: &[&str]) -> (String, String) {
        let output = self.images(cache, args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stdout}{stderr}");
        (stdout, stderr)
    }

    /// Returns the references of the images in the engine that belong to this project.
    fn in_engine(&self) -> Vec<String> {
        self.with_prefix(&format!("{BUILT}{}-", self.own))
    }

    fn with_prefix(&self, prefix: &str) -> Vec<String> {
        let list = docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        list.lines().filter(|it| it.starts_with(prefix) || *it == self.app).map(str::to_owned).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for reference in self.with_prefix(BUILT) {
            // The result is ignored, because a panic here would hide the failure of the test.
            let _ = Command::new(Tool::Docker.command()).args(["image", "rm", &reference]).output();
        }
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn what_was_bundled_is_loaded_where_nothing_was() {
    let Some(bench) = Bench::new().await else { return };
    let project = Project::new(&format!("bundle-test.invalid/app:{}", std::process::id()), None);
    docker(&["tag", &bench.image, &project.app]);
    let file = project.folder.path().join("images.tar");
    let (listed, _) = project.does("first", &["bundle", "asks", "--output", "images.tar"]);
    let last = format!("{}  images.tar", parallax_images::digest::of_file(&file).unwrap());
    assert!(listed.contains("5 images, ") && listed.lines().last() == Some(last.as_str()), "{listed}");
    docker(&["image", "rm", &project.app]);
    assert_eq!(project.in_engine(), [""; 0], "a bundle is made from archives, and loads nothing");

    // The test changes one byte of a layer, and later restores it.
    let bytes = fs::read(&file).unwrap();
    let at = bytes.windows(10).rposition(|it| it == b"of process").unwrap();
    let change =
        |byte: u8| fs::File::options().write(true).open(&file).unwrap().write_all_at(&[byte], at as u64).unwrap();
    change(b'O');
    let refused = project.images("second", &["load", "images.tar", "asks"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "image bundle images.tar: the blob blobs/sha256/",
        "expected the digest sha256:",
        ", found sha256:",
        "fix: copy",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    let images = project.folder.path().join("second/images");
    assert_eq!((project.in_engine().len(), count(&images)), (0, 0), "nothing is loaded");
    change(b'o');

    let (said, _) = project.does("second", &["load", "images.tar", "asks"]);
    assert_eq!(said, "5 images loaded from images.tar\n");
    let mut there: Vec<String> = project.in_engine();
    there.sort();
    assert_eq!(there.len(), 3, "{there:?}");
    assert_eq!(there[0], project.app);
    assert!(there[1].contains("-agent:") && there[2].contains("-k3s:"), "{there:?}");
    assert_eq!(count(&images), OF_A_CLUSTER.len(), "the built images are in the cache");

    // A run begins by obtaining its images. After the bundle was loaded, this needs neither a registry nor a build.
    let (_, progress) = project.does("second", &["fetch"]);
    for name in ["app", "k3s", "agent", "coredns", "pause"] {
        let got = [format!("image/{name}  from engine: "), format!("image/{name}  from cache: ")];
        assert!(got.iter().any(|it| progress.contains(it)), "{name}: {progress}");
    }
    assert_eq!(count(&project.folder.path().join("second/layers")), 0, "nothing is built");
}
