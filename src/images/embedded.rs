//! The shipped images.lock and recipes, carried in the binary so that it works outside this repository.
//!
//! A project with an `images/` of its own uses that alone: which images a run takes must be plain from one file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::digest::Fields;
use super::error::ImageError;
use super::lock::Lock;

macro_rules! shipped {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../images/", $path)))),+]
    };
}

/// Path below `images/`, and text.
const FILES: &[(&str, &str)] = shipped![
    "agent/recipe.yaml",
    "browser/npm/package-lock.json",
    "browser/npm/package.json",
    "browser/programs/opt/parallax/browser/chromium.mjs",
    "browser/programs/opt/parallax/browser/main.mjs",
    "browser/programs/opt/parallax/browser/visit.mjs",
    "browser/recipe.yaml",
    "clients/go/go.mod",
    "clients/go/go.sum",
    "clients/go/main.go",
    "clients/java/Main.java",
    "clients/java/jars.sha256",
    "clients/java/pom.xml",
    "clients/js/package-lock.json",
    "clients/js/package.json",
    "clients/programs/clients/aws-cli",
    "clients/programs/clients/aws-sdk-java-v2",
    "clients/programs/clients/boto3",
    "clients/programs/clients/contract.py",
    "clients/programs/clients/curl",
    "clients/programs/clients/mc",
    "clients/programs/opt/parallax/js/main.mjs",
    "clients/recipe.yaml",
    "contour/recipe.yaml",
    "busybox/recipe.yaml",
    "coredns/recipe.yaml",
    "envoy/recipe.yaml",
    "images.lock",
    "litestream-0.3/recipe.yaml",
    "litestream-0.5.11/recipe.yaml",
    "litestream-0.5.5/recipe.yaml",
    "litestream/recipe.yaml",
    "minio/recipe.yaml",
    "node/kube/go.mod",
    "node/kube/go.sum",
    "node/kube/main.go",
    "node/kube/regenerate",
    "node/recipe.yaml",
    "pause/pause/go.mod",
    "pause/pause/go.sum",
    "pause/pause/main.go",
    "pause/recipe.yaml",
    "writer/recipe.yaml",
];

impl Lock {
    /// The project's own `images/images.lock`, or the shipped one where the project has none.
    pub fn of_project(project: &Path, cache: &Cache) -> Result<Self, ImageError> {
        let own = project.join("images");
        if own.join("images.lock").exists() {
            return Self::load(&own);
        }
        Self::load(&unpacked(cache)?)
    }
}

/// The shipped files as a folder in the cache, named by what is in it.
fn unpacked(cache: &Cache) -> Result<PathBuf, ImageError> {
    let mut fields = Fields::new("shipped images 1");
    for (path, text) in FILES {
        fields.add(path, text.as_bytes());
    }
    let folder = cache.recipes(&fields.finish()[..16]);
    if folder.is_dir() {
        return Ok(folder);
    }
    let temporary = cache.temporary()?;
    let whole = temporary.path().join("images");
    for (path, text) in FILES {
        let file = whole.join(path);
        let parent = file.parent().unwrap_or(&whole);
        fs::create_dir_all(parent).map_err(ImageError::cache("make", parent))?;
        fs::write(&file, text).map_err(ImageError::cache("write", &file))?;
        if text.starts_with("#!") {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&file, mode).map_err(ImageError::cache("make executable", &file))?;
        }
    }
    match Cache::settle(&whole, &folder) {
        // Another process was first; its folder has the same name, so it holds the same.
        Err(_) if folder.is_dir() => Ok(folder),
        settled => settled.map(|()| folder),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::images::tree;

    /// Each file's text, and whether it may be executed: both are part of an image.
    fn texts(folder: &Path) -> BTreeMap<String, (String, bool)> {
        let files = tree::files_below(folder).expect("readable");
        let read =
            |file: &Path| (fs::read_to_string(file).expect("text"), tree::is_executable(file).expect("readable"));
        files.into_iter().map(|(path, file)| (path, read(&file))).collect()
    }

    #[test]
    fn a_project_without_images_gets_the_repositorys_own() {
        let home = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(home.path().join("cache")).expect("opens");
        let first = Lock::of_project(home.path(), &cache).expect("valid");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
        assert_eq!(texts(&first.folder), texts(&repository));
        assert_eq!(Lock::of_project(home.path(), &cache).expect("valid").folder, first.folder);
    }

    #[test]
    fn a_project_with_images_uses_them_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(home.path().join("cache")).expect("opens");
        fs::create_dir(home.path().join("images")).expect("made");
        let text = "images: [{ name: own, for: x, reference: 'x/own:1' }]";
        fs::write(home.path().join("images/images.lock"), text).expect("written");
        let lock = Lock::of_project(home.path(), &cache).expect("valid");
        assert_eq!(lock.images.iter().map(|it| it.name.value.as_str()).collect::<Vec<_>>(), ["own"]);
    }
}
