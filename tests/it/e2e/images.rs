//! Tests of images that cannot be built. The exit code must be 3. The output must contain the name of the image, the
//! command that failed, and the last lines that this command printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_provision::Tool;
use parallax_vocab::event::Outcome;

use super::bench::{Project, Run, lists, no_engine, reserve};
use crate::engine::bench::program;

/// A scenario that needs an image of the project, because the name of the image is in the data of an object. No
/// container runs the image.
const SLOW: &str = "name: slow
summary: An object that names an image of the project
flow:
  - id: made
    apply: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { image: slow } }] }
  - { id: seen, resource: { api-version: v1, kind: ConfigMap, name: a }, expect: { object: { kind: ConfigMap } } }
";

#[tokio::test]
async fn a_build_that_fails_shows_its_command_and_last_lines() {
    if no_engine() {
        return;
    }
    program(Tool::Go).await;
    let project = Project::held();
    project.change("images/pause/pause/main.go", "func main() {", "func main() {\n\tnonesuch()");
    let before = lists(&[]);
    let mut command = project.parallax(&["e2e", "--k3s", "built", "--lock", "project"]);
    command.env("PARALLAX_CACHE", project.own_cache());
    let run = Run::start(command, &project);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(3);
    let failure = ended.setup("image/pause").2.unwrap();
    assert_eq!(failure.what, "image pause: go build in pause failed with exit status 1");
    assert!(failure.evidence[0].starts_with("$ go build "), "{:?}", failure.evidence);
    assert!(failure.evidence.iter().any(|line| line.contains("undefined: nonesuch")), "{:?}", failure.evidence);
    ended.assert_says(&["undefined: nonesuch", "the harness, the engine or the machine failed (exit 3,"]);
    assert_eq!(lists(&[&id]), before);
}

#[test]
fn an_image_that_is_built_only_on_request_is_built_for_a_filter_alone() {
    if no_engine() {
        return;
    }
    let project = Project::new();
    let mut lock = fs::read_to_string(project.path("images/images.lock")).unwrap();
    lock.push_str("  - { name: slow, for: a test, recipe: slow, on-request: true }\n");
    // The path of the project is a part of the image's content, and so of its tag. Therefore no earlier run of this
    // test has built the image.
    let text = project.path("").display().to_string();
    for (file, text) in [
        ("images/images.lock", lock.as_str()),
        ("images/slow/recipe.yaml", "summary: a test\nlayers: [{ files: files }]\n"),
        ("images/slow/files/a.txt", &text),
    ] {
        let path = project.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    project.scenario("slow", SLOW);
    let e2e = |filters: &[&str]| {
        project.e2e(&[&["--k3s", "built", "--lock", "project", "--allow-skips"], filters].concat()).end()
    };

    let without = e2e(&[]);
    without.assert_code(0);
    let outcome = without.outcome("slow");
    let Outcome::Skipped { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("`parallax images build slow`"), "{reason}");

    let _reserved = reserve(1);
    let with = e2e(&["slow"]);
    with.assert_code(0);
    assert_eq!(*with.outcome("slow"), Outcome::AsExpected);
}

/// A small file system that is unmounted when this value is dropped.
struct Small(PathBuf);

impl Small {
    /// Mounts the file system. Returns `None` if this process is not allowed to mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let status =
            Command::new(Tool::Mount.command()).args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(at).status().ok()?;
        status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_reported_and_leaves_nothing_behind() {
    if no_engine() {
        return;
    }
    let project = Project::held();
    // The harness writes each file of the cache in the folder `tmp` first. In this test, `tmp` is a small disk, which
    // becomes full. The folders for finished files are on another disk, which has enough space.
    let cache = project.own_cache();
    let Some(small) = Small::mount(&cache.join("tmp"), "size=4m,mode=700") else {
        eprintln!("NOT TESTED: the test needs a small tmpfs, and this process is not allowed to mount one");
        return;
    };
    project.change("images/agent/recipe.yaml", "workdir: /tmp", "workdir: /");
    let before = lists(&[]);
    let mut command = project.parallax(&["e2e", "--k3s", "built", "--lock", "project"]);
    command.env("PARALLAX_CACHE", &cache);
    let run = Run::start(command, &project);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(3);
    let failure = ended.setup("image/agent").2.unwrap();
    assert!(failure.what.starts_with("image cache: cannot write "), "{}", failure.what);
    assert!(failure.what.contains("No space left on device"), "{}", failure.what);
    assert!(failure.fix.as_ref().is_some_and(|fix| fix.contains("PARALLAX_CACHE")), "{:?}", failure.fix);
    assert_eq!(fs::read_dir(cache.join("tmp")).unwrap().count(), 0, "unfinished files were left");
    assert_eq!(lists(&[&id]), before);
    drop(small);
}
