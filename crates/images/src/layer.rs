//! Hashes of everything from which a layer or an image is built. If the hash is unchanged, the layer or image is not
//! built again.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::binaries::Binaries;
use super::cache::Cache;
use super::digest::{self, Fields};
use super::error::ImageError;
use super::java;
use super::lock::Entry as Listed;
use super::nodejs;
use super::recipe::{Layer, Recipe, parse_mode};
use super::tree::{self, Entry};

/// The version of the layer format. Raise it when this crate writes other bytes for the same recipe, so that old layers
/// in caches are not used.
const LAYER_DOMAIN: &str = "parallax layer 1";
const IMAGE_DOMAIN: &str = "parallax image 1";
/// The registry in the tags of images that are built here. This host does not exist. So an engine that lacks an image
/// cannot pull somebody else's image of the same name.
pub(super) const REGISTRY: &str = "parallax.local";

/// The recipe of an image, with all hashes and names that are computed from it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) recipe: Recipe,
    /// The path of each layer in the cache, in the order of the recipe.
    pub(super) layers: Vec<PathBuf>,
    /// The recipe's name and the first 16 digits of its hash.
    pub(super) title: (String, String),
    /// The image reference of the built image. It contains the recipe's hash.
    pub(super) tag: String,
    /// Other names of the image, by which software in a node refers to the image (`also` in images.lock).
    pub(super) also: Vec<String>,
    cache: Cache,
}

/// Who loads an image archive: the engine or a node. They need different names of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The engine. The archive contains only the image's own tag. The other names of the image (`also`) are names of a
    /// published image. Under these names, the engine would take the built image for the published one.
    Engine,
    /// The image folder of a node. The archive contains all names of the image.
    Node,
}

impl Prepared {
    /// Reads the recipe of an image and hashes its inputs. `None` if the image has no recipe.
    pub(super) fn new(listed: &Listed, binaries: &Binaries, cache: &Cache) -> Result<Option<Self>, ImageError> {
        let Some(name) = listed.recipe.as_ref().map(|recipe| recipe.value.as_str()) else { return Ok(None) };
        let recipe = Recipe::load(&listed.folder.join(name))?;
        let mut fields = Fields::new(IMAGE_DOMAIN);
        fields.add("architecture", std::env::consts::ARCH.as_bytes());
        let mut layers = Vec::new();
        for layer in &recipe.layers {
            let hash = hash(&layer.value, &recipe, (binaries, cache), &listed.name.value)?;
            fields.add(layer.value.kind(), hash.as_bytes());
            layers.push(cache.layer(layer.value.kind(), &hash));
        }
        fields.add("config", &json(&recipe.config));
        for also in &listed.also {
            fields.add("also", also.value.as_bytes());
        }
        let mut hash = fields.finish();
        hash.truncate(16);
        let tag = format!("{REGISTRY}/{name}:{hash}");
        let also = listed.also.iter().map(|also| also.value.clone()).collect();
        Ok(Some(Self { recipe, layers, title: (name.to_owned(), hash), tag, also, cache: cache.clone() }))
    }

    /// Does the same as [`Self::new`], on a thread for blocking work. Hashing the inputs reads megabytes, and must not
    /// delay other tasks.
    pub(super) async fn of(listed: &Listed, binaries: &Binaries, cache: &Cache) -> Result<Option<Self>, ImageError> {
        let (listed, binaries, cache) = (listed.clone(), binaries.clone(), cache.clone());
        let prepared = tokio::task::spawn_blocking(move || Self::new(&listed, &binaries, &cache)).await;
        prepared.unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic()))
    }

    /// The path in the cache of the image's archive for the engine or for a node.
    pub(super) fn archive(&self, of: For) -> PathBuf {
        let (name, hash) = &self.title;
        match of {
            For::Node if !self.also.is_empty() => self.cache.image(&format!("{name}-as-published"), hash),
            For::Engine | For::Node => self.cache.image(name, hash),
        }
    }

    /// The names that the image has in the archive for the engine or for a node.
    pub(super) fn tags(&self, of: For) -> Vec<String> {
        let also: &[String] = if of == For::Node { &self.also } else { &[] };
        std::iter::once(&self.tag).chain(also).cloned().collect()
    }
}

fn unreadable(file: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    let file = file.to_owned();
    move |source| ImageError::Unreadable { file, source }
}

/// Adds files to a hash: the path of each file within its folder, and the hash of its content.
fn add(fields: &mut Fields, files: impl IntoIterator<Item = (String, PathBuf)>) -> Result<(), ImageError> {
    for (path, file) in files {
        fields.add(&path, digest::of_file(&file).map_err(unreadable(&file))?.as_bytes());
    }
    Ok(())
}

/// The hash of everything from which a layer is built.
fn hash(
    layer: &Layer,
    recipe: &Recipe,
    (binaries, cache): (&Binaries, &Cache),
    image: &str,
) -> Result<String, ImageError> {
    let mut fields = Fields::new(LAYER_DOMAIN);
    fields.add("recipe", &json(layer));
    match layer {
        Layer::Debian(_) | Layer::Crate(_) | Layer::Pypi(_) => {
            fields.add("architecture", std::env::consts::ARCH.as_bytes());
        }
        Layer::Go(go) => {
            fields.add("architecture", std::env::consts::ARCH.as_bytes());
            if let Some(module) = &go.module {
                let folder = recipe.folder.join(module);
                add(&mut fields, tree::files_below(&folder).map_err(unreadable(&folder))?)?;
            }
        }
        Layer::Cargo(cargo) => {
            let program = binaries.find(&cargo.binary, image, cache)?;
            add(&mut fields, [("program".to_owned(), program)])?;
        }
        Layer::Npm(npm) => {
            add(&mut fields, nodejs::inputs(&recipe.folder.join(&npm.folder)))?;
        }
        Layer::Maven(maven) => {
            let folder = recipe.folder.join(&maven.folder);
            add(&mut fields, java::inputs(&folder).map_err(unreadable(&folder))?)?;
        }
        Layer::Files(name) => {
            let folder = recipe.folder.join(name);
            for (path, file) in tree::files_below(&folder).map_err(unreadable(&folder))? {
                let mode: &[u8] = if tree::is_executable(&file).map_err(unreadable(&file))? { b"x" } else { b"-" };
                fields.add(&path, mode);
                fields.add("content", digest::of_file(&file).map_err(unreadable(&file))?.as_bytes());
            }
        }
        Layer::GoFiles(_) | Layer::Links(_) | Layer::Directories(_) => {}
    }
    // In an image with a merged /usr, a file `bin/x` is written to `usr/bin/x`. So the bytes of this layer depend on
    // the other layers of the recipe.
    if !matches!(layer, Layer::Debian(_)) && recipe.merged_usr() {
        fields.add("merged-usr", b"");
    }
    Ok(fields.finish())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with text keys serialise")
}

/// The entries of a layer that needs only the recipe's own files. `None` for a layer with a program of this workspace,
/// and for a layer that a tool such as `go` or `npm` makes.
pub(super) fn entries(layer: &Layer, recipe: &Recipe) -> std::io::Result<Option<Vec<Entry>>> {
    Ok(Some(match layer {
        Layer::Debian(_)
        | Layer::Go(_)
        | Layer::GoFiles(_)
        | Layer::Cargo(_)
        | Layer::Crate(_)
        | Layer::Pypi(_)
        | Layer::Npm(_)
        | Layer::Maven(_) => {
            return Ok(None);
        }
        Layer::Links(links) => {
            links.iter().map(|(path, target)| Entry::Link { path: path.clone(), target: target.clone() }).collect()
        }
        Layer::Files(name) => {
            let mut entries = Vec::new();
            for (path, source) in tree::files_below(&recipe.folder.join(name))? {
                let executable = tree::is_executable(&source)?;
                entries.push(Entry::File { path, source, executable });
            }
            entries
        }
        Layer::Directories(directories) => directories
            .iter()
            .map(|(path, mode)| Entry::Directory {
                path: path.clone(),
                mode: parse_mode(mode).expect("checked when the recipe was read"),
            })
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const RECIPE: &str = "\
summary: a test
layers:
  - go: { module: main, to: bin/main, tags: [a] }
  - links: { bin/other: main }
  - files: files
  - npm: { folder: node, to: opt }
  - maven: { folder: java, to: opt }
config: { entrypoint: [/bin/main] }
";

    struct Repository {
        folder: TempDir,
        cache: Cache,
    }

    impl Repository {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            for (path, text) in [
                ("images.lock", "images: [{ name: x, for: tests, recipe: x, also: ['known/as:1'] }]"),
                ("x/recipe.yaml", RECIPE),
                ("x/main/go.mod", "module main\n"),
                ("x/main/main.go", "package main\n"),
                ("x/files/etc/conf", "a = 1\n"),
                ("x/java/pom.xml", "<project>maven-dependency-plugin</project>\n"),
                ("x/java/jars.sha256", &format!("{}  a.jar\n", "0".repeat(64))),
                ("x/java/Main.java", "class Main {}\n"),
                ("x/node/package.json", "{}\n"),
                ("x/node/package-lock.json", "{}\n"),
                ("x/node/main.mjs", "1;\n"),
            ] {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                fs::write(path, text).expect("written");
            }
            let cache = Cache::at(folder.path().join("cache")).expect("opens");
            Self { folder, cache }
        }

        fn prepare(&self) -> Prepared {
            let lock = crate::lock::Lock::alone(self.folder.path()).expect("valid");
            let listed = lock.entry("x").expect("listed");
            Prepared::new(listed, &Binaries::beside(self.folder.path()), &self.cache)
                .expect("prepared")
                .expect("a recipe")
        }

        /// Writes `text` to `file` of the recipe. Returns for each layer whether its hash has changed, and whether the
        /// image's hash has changed.
        fn change(&self, file: &str, text: &str) -> (Vec<bool>, bool) {
            let before = self.prepare();
            let file = self.folder.path().join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, text).expect("written");
            let after = self.prepare();
            let layers = before.layers.iter().zip(&after.layers).map(|(a, b)| a != b).collect();
            (layers, before.tag != after.tag)
        }
    }

    #[test]
    fn only_what_changed_is_made_again() {
        let change = |file: &str, text: &str| Repository::new().change(file, text);
        let recipe = |from: &str, to: &str| change("x/recipe.yaml", &RECIPE.replace(from, to));
        assert_eq!(recipe("", ""), (vec![false, false, false, false, false], false), "nothing");
        assert_eq!(
            recipe("summary: a test", "summary: words # and a comment"),
            (vec![false, false, false, false, false], false)
        );
        assert_eq!(recipe("tags: [a]", "tags: [b]"), (vec![true, false, false, false, false], true));
        assert_eq!(recipe("bin/other: main", "bin/other: man"), (vec![false, true, false, false, false], true));
        assert_eq!(recipe("[/bin/main]", "[/bin/main, x]"), (vec![false, false, false, false, false], true));
        assert_eq!(
            change("x/main/main.go", "package main // changed\n"),
            (vec![true, false, false, false, false], true)
        );
        assert_eq!(change("x/main/new.go", "package main\n"), (vec![true, false, false, false, false], true));
        assert_eq!(change("x/files/etc/conf", "a = 2\n"), (vec![false, false, true, false, false], true));
        assert_eq!(change("x/node/package-lock.json", "{ }\n"), (vec![false, false, false, true, false], true));
        assert_eq!(
            change("x/node/main.mjs", "2;\n"),
            (vec![false, false, false, false, false], false),
            "npm does not read it"
        );
        let java = (vec![false, false, false, false, true], true);
        assert_eq!(change("x/java/pom.xml", "maven-dependency-plugin\n"), java);
        assert_eq!(change("x/java/jars.sha256", &format!("{}  b.jar\n", "0".repeat(64))), java);
        assert_eq!(change("x/java/Main.java", "class Main { }\n"), java);
        assert_eq!(change("x/java/more/More.java", "class More {}\n"), java);
        assert_eq!(
            change("x/java/notes", "x"),
            (vec![false, false, false, false, false], false),
            "neither Maven nor javac reads it"
        );
        let also = "images: [{ name: x, for: tests, recipe: x, also: ['known/as:2'] }]";
        assert_eq!(change("images.lock", also), (vec![false, false, false, false, false], true));
    }

    #[test]
    fn an_executable_bit_is_part_of_a_file() {
        use std::os::unix::fs::PermissionsExt;
        let repository = Repository::new();
        let before = repository.prepare();
        let file = repository.folder.path().join("x/files/etc/conf");
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("set");
        assert_ne!(repository.prepare().layers[2], before.layers[2]);
    }

    #[test]
    fn only_a_node_gets_an_image_under_the_name_of_the_published_one() {
        let prepared = Repository::new().prepare();
        assert_eq!(prepared.tags(For::Node), [prepared.tag.as_str(), "known/as:1"]);
        assert_eq!(prepared.tags(For::Engine), [prepared.tag.as_str()]);
        assert_ne!(prepared.archive(For::Node), prepared.archive(For::Engine));
        let hash = prepared.tag.strip_prefix("parallax.local/x:").expect("the registry and the recipe's name");
        assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    }
}
