//! Tests that images pass from one machine to another. The first machine obtains and bundles the images. The second
//! machine loads the bundle and obtains the images from it. Both machines have a fake engine.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::bundle::bundle;
use crate::obtain::tests::{ANOTHER, LOCK, Machine, OF_THE_REGISTRY, Registry, wants};
use crate::supply::K3s;

/// An `images.lock` that pins the published images of MinIO and of the node by this digest.
fn pinned(digest: &str) -> String {
    ["'quay/minio:1'", "'rancher/k3s:1'"].iter().fold(LOCK.to_owned(), |lock, reference| {
        let from = format!("reference: {reference}, recipe");
        assert!(lock.contains(&from), "{from}");
        lock.replace(&from, &format!("reference: {reference}, digest: '{digest}', recipe"))
    })
}

fn machine(registry: Registry, lock: &str) -> Machine {
    let mut machine = Machine::new(registry);
    machine.lock = Lock::parse(machine.folder.path(), lock).expect("valid");
    machine
}

/// Bundles the images with the given names, and returns the path of the bundle.
async fn bundled(machine: &Machine, names: &[&str]) -> PathBuf {
    let wanted = wants().into_iter().filter(|want| names.contains(&want.name.as_str()));
    let wanted: Vec<Want> = wanted.map(|want| Want { engine: false, archive: true, ..want }).collect();
    let obtained = machine.obtain_these(K3s::Auto, &wanted).await.expect("obtained");
    let out = machine.folder.path().join("bundle.tar");
    let (sink, cancel) = (Sink::silent(), CancellationToken::new());
    let written = bundle(&machine.lock, &machine.cache, &obtained, &out, &sink, cancel).await.expect("written");
    assert_eq!(written.sha256, digest::of_file(&out).expect("read"));
    assert_eq!(written.bytes, out.metadata().expect("there").len());
    out
}

async fn loaded(machine: &Machine, file: &Path, all: bool) -> Result<Loaded, ImageError> {
    let binaries = machine.binaries();
    let here = Here { lock: &machine.lock, binaries: &binaries, cache: &machine.cache, store: &machine.engine };
    load(&here, file, &wants(), all, &Sink::silent(), CancellationToken::new()).await
}

#[track_caller]
fn assert_nothing_is_there(machine: &Machine) {
    assert_eq!(machine.asked(), [""; 0]);
    for folder in ["images", "tmp"] {
        assert_eq!(fs::read_dir(machine.cache.root().join(folder)).expect("listed").count(), 0, "{folder}");
    }
}

const ALL: [&str; 4] = ["k3s", "pause", "minio", "agent"];

#[tokio::test]
async fn a_machine_without_a_network_has_what_another_one_bundled() {
    let built = [
        "agent: built, from engine",
        "k3s: built, from engine",
        "minio: built, from cache",
        "pause: built, from cache",
    ];
    let published = [
        "agent: built, from engine",
        "k3s: published, from engine",
        "minio: published, from engine",
        "pause: published, comes with k3s",
    ];
    let pinned = pinned(OF_THE_REGISTRY);
    for (registry, lock, expected) in [
        (Registry::IsAway, LOCK, built),
        (Registry::Serves, LOCK, published),
        (Registry::Serves, pinned.as_str(), published),
    ] {
        let there = machine(registry, lock);
        let file = bundled(&there, &ALL).await;
        let here = machine(Registry::IsAway, lock);
        let loaded = loaded(&here, &file, true).await.expect("loaded");
        assert_eq!((loaded.unused.len(), loaded.lacking.len()), (0, 0), "{loaded:?}");
        assert_eq!(loaded.images.len(), if expected == built { 4 } else { 3 });
        assert!(here.asked().iter().all(|asked| asked.starts_with("load ")), "no registry is asked");
        assert_eq!(here.obtain(K3s::Auto).await.expect("at hand"), expected);
        let asked = here.asked();
        assert!(asked.iter().all(|asked| asked.starts_with("save ")), "{asked:?}");
        assert_eq!(fs::read_dir(here.cache.root().join("layers")).expect("listed").count(), 0, "nothing is built");
        // Loading the same bundle again must not send any call to the engine.
        loaded_again(&here, &file).await;
    }
}

async fn loaded_again(here: &Machine, file: &Path) {
    loaded(here, file, true).await.expect("loaded");
    assert_eq!(here.asked(), [""; 0]);
}

#[tokio::test]
async fn an_image_that_was_loaded_has_the_digest_that_the_lock_states() {
    let there = machine(Registry::Serves, &pinned(OF_THE_REGISTRY));
    let file = bundled(&there, &ALL).await;
    // The archive of MinIO is removed from the cache. Then nothing shows that the image in the engine has the digest in
    // `images.lock`: another user could have given the name of MinIO's image to another image. So a run must not use
    // the image in the engine.
    let here = machine(Registry::IsAway, &pinned(OF_THE_REGISTRY));
    loaded(&here, &file, true).await.expect("loaded");
    fs::remove_file(here.cache.bundled("minio", OF_THE_REGISTRY)).expect("there");
    let sources = here.obtain(K3s::Auto).await.expect("obtained");
    assert!(sources.contains(&"minio: built, built".to_owned()), "{sources:?}");
    assert!(sources.contains(&"k3s: published, from engine".to_owned()), "{sources:?}");

    // The `images.lock` of the second machine pins another digest, so the bundle must be refused.
    let here = machine(Registry::IsAway, &pinned(ANOTHER));
    let said = loaded(&here, &file, false).await.expect_err("refused").to_string();
    assert!(said.contains(&format!("minio as quay/minio:1@{ANOTHER} or parallax.local/minio:")), "{said}");
    assert!(said.contains(&format!(" (it has quay/minio:1@{OF_THE_REGISTRY})")), "{said}");
    assert_nothing_is_there(&here);
}

#[tokio::test]
async fn an_image_that_the_bundle_lacks_is_named() {
    let there = machine(Registry::IsAway, LOCK);
    let file = bundled(&there, &["minio", "agent"]).await;
    let here = machine(Registry::IsAway, LOCK);
    let error = loaded(&here, &file, true).await.expect_err("refused");
    let said = error.to_string();
    assert!(said.starts_with(&format!("image bundle {}: it lacks k3s as rancher/k3s:1 or ", file.display())), "{said}");
    assert!(said.contains("; pause as rancher/pause:1 or parallax.local/pause:") && !said.contains("minio"), "{said}");
    assert!(error.is_usage() && error.failure().fix.is_some_and(|fix| fix.contains("images bundle")));
    assert_nothing_is_there(&here);

    let some = loaded(&here, &file, false).await.expect("loaded");
    assert_eq!(some.lacking, ["k3s", "pause"]);
    assert_eq!(some.images.len(), 2);

    // The bundle contains all images, but the run needs only one.
    let file = bundled(&there, &ALL).await;
    let here = machine(Registry::IsAway, LOCK);
    let only = [Want { name: "minio".to_owned(), engine: false, archive: true }];
    let binaries = here.binaries();
    let machine = Here { lock: &here.lock, binaries: &binaries, cache: &here.cache, store: &here.engine };
    let some = load(&machine, &file, &only, true, &Sink::silent(), CancellationToken::new()).await.expect("loaded");
    assert_eq!((some.images.len(), some.unused.len()), (1, 3), "{some:?}");
}

#[tokio::test]
async fn a_build_by_another_recipe_is_refused_whatever_is_asked_for() {
    let there = machine(Registry::IsAway, LOCK);
    let file = bundled(&there, &["minio", "agent"]).await;
    let here = machine(Registry::IsAway, LOCK);
    let recipe = here.folder.path().join("minio/recipe.yaml");
    let text = fs::read_to_string(&recipe).expect("read").replace("target", "elsewhere");
    fs::write(&recipe, text).expect("written");
    let said = loaded(&here, &file, false).await.expect_err("refused").to_string();
    assert!(said.contains("it lacks minio as quay/minio:1 or parallax.local/minio:"), "{said}");
    assert!(said.contains(" (it has parallax.local/minio:") && !said.contains("k3s"), "{said}");
    let all = loaded(&here, &file, true).await.expect_err("refused").to_string();
    assert!(all.contains("(it has parallax.local/minio:") && all.contains("k3s as "), "{all}");
    assert_nothing_is_there(&here);
}

#[tokio::test]
async fn of_a_damaged_bundle_nothing_is_loaded() {
    let there = machine(Registry::IsAway, LOCK);
    let file = bundled(&there, &ALL).await;
    let mut bytes = fs::read(&file).expect("read");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("not empty");
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    let here = machine(Registry::IsAway, LOCK);
    let error = loaded(&here, &file, true).await.expect_err("refused");
    let said = error.to_string();
    assert!(said.starts_with(&format!("image bundle {}: the blob blobs/sha256/", file.display())), "{said}");
    assert!(said.contains(" is damaged: expected the digest sha256:") && said.contains(", found sha256:"), "{said}");
    assert!(error.failure().fix.is_some_and(|fix| fix.contains("`sha256sum`")));
    assert_nothing_is_there(&here);
    let none = loaded(&here, &there.folder.path().join("none.tar"), true).await.expect_err("no such file");
    assert!(none.is_usage() && none.to_string().starts_with("cannot read "), "{none}");
}
