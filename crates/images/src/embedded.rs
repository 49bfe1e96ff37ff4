//! The shipped images.lock and the shipped recipes. Both are embedded in the program `parallax`, which therefore also
//! works outside this repository.
//!
//! If a project has its own `images/images.lock`, a run uses only the images that this file lists, so that one file
//! shows which images run. With the key `extends`, the project's file adds its images to the shipped list instead.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::cache::Cache;
use super::digest::Fields;
use super::error::ImageError;
use super::lock::Lock;
use super::tree::files_below;
use parallax_vocab::Versions;

static IMAGES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../images");

/// Each embedded file: its path below `images/`, and its text.
fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut folders = vec![&IMAGES];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        files.extend(folder.files());
        folders.extend(folder.dirs());
    }
    files.into_iter().filter_map(|it| Some((it.path().to_str()?, it.contents_utf8()?)))
}

/// Where the images.lock and the recipes of a run come from. A build from a recipe runs programs as the user, and
/// images can run privileged. So the user must decide whose recipes a run may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipes {
    /// The root folder of the project whose recipes in its folder `images` are used. If the project has no
    /// `images/images.lock`, the shipped recipes are used. `None` for the recipes that Parallax ships.
    project: Option<PathBuf>,
    /// The versions that are used in place of the defaults.
    versions: Versions,
}

impl Recipes {
    /// The recipes of the project with this root folder, or the shipped ones if it has none.
    pub fn of(project: impl Into<PathBuf>) -> Self {
        Self { project: Some(project.into()), versions: Versions::default() }
    }

    /// The recipes that Parallax ships.
    pub fn shipped() -> Self {
        Self { project: None, versions: Versions::default() }
    }

    /// These recipes with other versions in place of the defaults.
    #[must_use]
    pub fn at(self, versions: Versions) -> Self {
        Self { versions, ..self }
    }

    /// The versions that are used in place of the defaults.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The folder `images` of the project, if the project has a list of images.
    fn own(&self) -> Option<PathBuf> {
        let images = self.project.as_ref()?.join("images");
        images.join("images.lock").exists().then_some(images)
    }

    /// Whether the recipes belong to a project and differ from the shipped ones, so that the user has to allow them.
    pub fn are_foreign(&self) -> bool {
        let Some(project) = &self.project else { return false };
        let own = project.join("images");
        match own.symlink_metadata() {
            Err(_) => return false,
            Ok(what) if !what.is_dir() => return true,
            Ok(_) => {}
        }
        let shipped: BTreeMap<&str, &str> = files().collect();
        let is_shipped = |(path, file): &(String, PathBuf)| {
            shipped.get(path.as_str()).is_some_and(|text| fs::read(file).is_ok_and(|own| own == text.as_bytes()))
        };
        // If the recipes cannot be read, they cannot be compared and count as foreign.
        files_below(&own).map_or(true, |files| files.len() != shipped.len() || !files.iter().all(is_shipped))
    }
}

impl Lock {
    /// Loads the list of images (images.lock) that belongs to these recipes.
    pub fn of(recipes: &Recipes, cache: &Cache) -> Result<Self, ImageError> {
        Self::below(recipes, || Self::alone(&unpacked(cache)?))
    }

    /// Loads only the list of images, and does not unpack the shipped recipes. Therefore this function needs no cache
    /// and writes nothing. Such a list shows which images exist; no image can be built from it. If `images` of a
    /// project is a symbolic link, the shipped list is returned, because the link may lead to a folder of somebody
    /// else.
    pub fn listed(recipes: &Recipes) -> Result<Self, ImageError> {
        let is_link = |it: &PathBuf| it.join("images").symlink_metadata().is_ok_and(|it| it.is_symlink());
        let shipped = Recipes::shipped().at(recipes.versions.clone());
        let recipes = if recipes.project.as_ref().is_some_and(is_link) { &shipped } else { recipes };
        let text = || files().find_map(|(path, text)| (path == "images.lock").then_some(text));
        Self::below(recipes, || Self::parse(Path::new("images"), text().unwrap_or_default()))
    }

    fn below(recipes: &Recipes, shipped: impl FnOnce() -> Result<Self, ImageError>) -> Result<Self, ImageError> {
        let lock = match recipes.own() {
            Some(images) => Self::load(&images, shipped)?,
            None => shipped()?,
        };
        lock.at(&recipes.versions)
    }
}

/// Unpacks the shipped files into a folder of the cache, and returns the folder. The name of the folder contains the
/// hash of the files.
fn unpacked(cache: &Cache) -> Result<PathBuf, ImageError> {
    let mut fields = Fields::new("shipped images 1");
    for (path, text) in files() {
        fields.add(path, text.as_bytes());
    }
    let folder = cache.recipes(&fields.finish()[..16]);
    if folder.is_dir() {
        return Ok(folder);
    }
    let temporary = cache.temporary()?;
    let whole = temporary.path().join("images");
    for (path, text) in files() {
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
        // Another process has created the folder in the meantime. The folder's name contains the hash, so its content
        // is the same.
        Err(_) if folder.is_dir() => Ok(folder),
        settled => settled.map(|()| folder),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tree;

    /// The text of each file, and whether the file is executable. An image contains the text and the permission, so
    /// the test compares them both.
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
        let own = Recipes::of(home.path().to_owned());
        let first = Lock::of(&own, &cache).expect("valid");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
        let folder = first.images[0].folder.clone();
        assert_eq!(texts(&folder), texts(&repository));
        for again in [&own, &Recipes::shipped()] {
            let again = Lock::of(again, &cache).expect("valid");
            assert!(again.images.iter().all(|it| it.folder == folder));
        }
    }

    #[test]
    fn a_project_with_images_uses_them_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(home.path().join("cache")).expect("opens");
        fs::create_dir(home.path().join("images")).expect("made");
        let text = "images: [{ name: own, for: x, reference: 'x/own:1' }]";
        fs::write(home.path().join("images/images.lock"), text).expect("written");
        let lock = |recipes| Lock::of(&recipes, &cache).expect("valid");
        let own = lock(Recipes::of(home.path().to_owned()));
        assert_eq!(own.images.iter().map(|it| it.name.value.as_str()).collect::<Vec<_>>(), ["own"]);
        assert!(lock(Recipes::shipped()).images.len() > 1);
    }

    #[test]
    fn a_project_adds_to_the_shipped_images_and_replaces_one() {
        let home = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(home.path().join("cache")).expect("opens");
        let images = home.path().join("images");
        fs::create_dir(&images).expect("made");
        let text = "extends: shipped\nimages:\n  - { name: app, for: x, reference: 'x/app:1' }\n  - { name: minio, for: x, recipe: minio }";
        fs::write(images.join("images.lock"), text).expect("written");
        let lock = Lock::of(&Recipes::of(home.path().to_owned()), &cache).expect("valid");
        let shipped = Lock::of(&Recipes::shipped(), &cache).expect("valid");
        assert_eq!(lock.images.len(), shipped.images.len() + 1);
        assert_eq!(lock.entry("app").expect("added").published(), Some("x/app:1"));
        assert_eq!(lock.entry("minio").expect("replaced").folder, images);
        assert_eq!(lock.entry("k3s").expect("shipped").folder, shipped.images[0].folder);
        fs::write(images.join("images.lock"), "extends: other\nimages: []").expect("written");
        let wrong = Lock::of(&Recipes::of(home.path().to_owned()), &cache).expect_err("no such list").to_string();
        assert!(wrong.contains("images.lock:1:") && wrong.contains("shipped"), "{wrong}");
    }

    #[test]
    fn what_a_project_says_of_images_is_foreign_unless_it_is_what_is_shipped() {
        let home = tempfile::tempdir().expect("a folder");
        let own = Recipes::of(home.path().to_owned());
        assert!(!own.are_foreign(), "no images/");
        assert!(!Recipes::shipped().are_foreign());
        for (path, text) in files() {
            let file = home.path().join("images").join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, text).expect("written");
        }
        assert!(!own.are_foreign(), "the very files");
        let lock = home.path().join("images/images.lock");
        let shipped = fs::read_to_string(&lock).expect("text");
        for (what, text) in
            [("another image", shipped.replacen("rancher/k3s", "evil.example/k3s", 1)), ("none", String::new())]
        {
            fs::write(&lock, text).expect("written");
            assert!(own.are_foreign(), "{what}");
        }
        fs::write(&lock, shipped).expect("written");
        fs::write(home.path().join("images/pause/more.go"), "package main").expect("written");
        assert!(own.are_foreign(), "one more file");
        fs::remove_dir_all(home.path().join("images")).expect("removed");
        std::os::unix::fs::symlink("/", home.path().join("images")).expect("linked");
        assert!(own.are_foreign(), "a link");
    }
}
