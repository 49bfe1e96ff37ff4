//! `images/images.lock`: the list of every image that a run may need. The file is checked strictly.

use std::path::{Path, PathBuf};

use parallax_vocab::System;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::ImageError;
use super::yaml;

/// The name of the node's image in images.lock. The published node image contains some other images of the list, such
/// as `pause`. If the published node image is used, these images are not built.
pub const NODE: &str = System::K8s.image();

/// The list of images from `images.lock`.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// The images, in the order of the file. Of an image with several versions, this is the chosen one, or else the
    /// default.
    pub images: Vec<Entry>,
    /// The versions of images that are not chosen. Each has the name of its image.
    pub others: Vec<Entry>,
}

/// One image that `images.lock` lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name by which the rest of Parallax refers to the image.
    pub name: Spanned<String>,
    /// The purpose of the image: one sentence.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The reference under which the image is published, with its tag; absent if the image is not published.
    #[serde(default)]
    pub reference: Option<Spanned<String>>,
    /// The digest (`sha256:…`) of the published image's manifest. `None` if only the tag pins the image.
    #[serde(default)]
    pub digest: Option<Spanned<String>>,
    /// The name of the folder with `recipe.yaml`, within the folder of images.lock. `None` if the image has no recipe.
    #[serde(default)]
    pub recipe: Option<Spanned<String>>,
    /// The folder of the images.lock file that lists the image. The folder of the image's recipe is a subfolder of this
    /// folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Further names of the built image, for example the name by which Kubernetes refers to its pause image.
    #[serde(default)]
    pub also: Vec<Spanned<String>>,
    /// The name of the image whose published form contains this image. If the published form of that image is used,
    /// this image need not be obtained.
    #[serde(default)]
    pub within: Option<Spanned<String>>,
    /// Whether the image is built only on request: the user selects what to run, for example by a filter or a label,
    /// and a selected scenario needs the image. The build of such an image takes many minutes.
    #[serde(default, rename = "on-request")]
    pub on_request: bool,
    /// The version of the software in the image, by which a user can choose it. It is absent if the image has one
    /// version only, or if its published and its built form have different versions.
    #[serde(default)]
    pub version: Option<Spanned<String>>,
    /// Further versions of the image that a user can choose. When the list is loaded, each becomes an entry of its own
    /// in [`Lock::others`], and this list is empty.
    #[serde(default)]
    versions: Vec<Offer>,
}

/// A version of an image that a user can choose. Everything else is as for the image itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer {
    version: Spanned<String>,
    #[serde(default)]
    reference: Option<Spanned<String>>,
    #[serde(default)]
    digest: Option<Spanned<String>>,
    #[serde(default)]
    recipe: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The list of images that this file extends. If the key is absent, this file itself lists all images.
    #[serde(default)]
    extends: Option<Extends>,
    images: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Extends {
    /// The list that Parallax ships. An image of this file replaces the shipped image of the same name. If there is no
    /// such shipped image, the image is added.
    Shipped,
}

impl Lock {
    /// Reads and checks `images.lock` in `folder`. If the file extends the shipped list, `shipped` is called to load
    /// that list.
    pub fn load(folder: &Path, shipped: impl FnOnce() -> Result<Self, ImageError>) -> Result<Self, ImageError> {
        let file = folder.join("images.lock");
        let read: File = yaml::read(&file)?;
        let base = match read.extends {
            Some(Extends::Shipped) => shipped()?,
            None => Self::default(),
        };
        base.with(&file, read.images, folder)
    }

    /// Reads and checks an `images.lock` that extends no other list of images.
    pub(crate) fn alone(folder: &Path) -> Result<Self, ImageError> {
        Self::load(folder, || Ok(Self::default()))
    }

    /// Parses and checks the text of `folder/images.lock`. The text must not extend another list of images.
    pub fn parse(folder: &Path, text: &str) -> Result<Self, ImageError> {
        let file = folder.join("images.lock");
        let read: File = yaml::parse(&file, text)?;
        Self::default().with(&file, read.images, folder)
    }

    /// The image with this name. A name that is not in the list is an error.
    pub fn entry(&self, name: &str) -> Result<&Entry, ImageError> {
        self.images.iter().find(|entry| entry.name.value == name).ok_or_else(|| ImageError::Unknown {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// The names of all images, in the order of the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|entry| entry.name.value.as_str())
    }

    /// Returns this list with the images that `file` lists. An image of `file` replaces the image of the same name, if
    /// there is one. All other images of `file` are added.
    fn with(mut self, file: &Path, entries: Vec<Entry>, folder: &Path) -> Result<Self, ImageError> {
        let mut names: Vec<String> = Vec::new();
        for mut entry in entries {
            let name = entry.name.value.clone();
            if names.contains(&name) {
                return Err(yaml::invalid(file, &entry.name, format!("image {name:?} is listed twice")));
            }
            entry.check(file)?;
            let offers = entry.offers(file)?;
            if let Some(within) = &entry.within
                && !self.images.iter().any(|other| other.name.value == within.value && other.within.is_none())
            {
                let message = format!("`within` names {:?}, which no image above is called", within.value);
                return Err(yaml::invalid(file, within, message));
            }
            folder.clone_into(&mut entry.folder);
            self.others.retain(|other| other.name.value != name);
            self.others.extend(offers.into_iter().map(|offer| Entry { folder: folder.to_owned(), ..offer }));
            match self.images.iter_mut().find(|other| other.name.value == name) {
                Some(other) => *other = entry,
                None => self.images.push(entry),
            }
            names.push(name);
        }
        Ok(self)
    }
}

impl Entry {
    /// The reference under which the image is published; `None` if it is not published.
    pub fn published(&self) -> Option<&str> {
        self.reference.as_ref().map(|reference| reference.value.as_str())
    }

    /// The version by which a user can choose this image; `None` if it has no such name.
    pub fn named_version(&self) -> Option<&str> {
        self.version.as_ref().map(|version| version.value.as_str())
    }

    /// Takes the further versions of this image, each as an entry of its own.
    fn offers(&mut self, file: &Path) -> Result<Vec<Self>, ImageError> {
        let mut seen: Vec<String> = self.named_version().map(str::to_owned).into_iter().collect();
        let mut offers = Vec::new();
        for offer in std::mem::take(&mut self.versions) {
            let version = offer.version.value.clone();
            if seen.contains(&version) {
                let message = format!("version {version:?} of image {} is listed twice", self.name.value);
                return Err(yaml::invalid(file, &offer.version, message));
            }
            let entry = Self {
                // A version without a recipe is never built, so it gets no further names.
                also: if offer.recipe.is_some() { self.also.clone() } else { Vec::new() },
                reference: offer.reference,
                digest: offer.digest,
                recipe: offer.recipe,
                version: Some(offer.version),
                on_request: false,
                ..self.clone()
            };
            entry.check(file)?;
            offers.push(entry);
            seen.push(version);
        }
        Ok(offers)
    }

    fn check(&self, file: &Path) -> Result<(), ImageError> {
        let name = &self.name.value;
        let wrong = |at: &Spanned<String>, message: String| Err(yaml::invalid(file, at, message));
        if !is_plain(name) {
            return wrong(&self.name, format!("{name:?} is not a name: use a-z, 0-9, - and ."));
        }
        if let Some(version) = self.version.as_ref().filter(|it| !is_version(&it.value)) {
            return wrong(version, format!("{:?} is not a version: use letters, digits, - and .", version.value));
        }
        for reference in self.reference.iter().chain(&self.also) {
            if let Err(message) = check_reference(&reference.value) {
                return wrong(reference, message);
            }
        }
        if let Some(digest) = &self.digest {
            if !is_digest(&digest.value) {
                return wrong(digest, format!("{:?} is not a digest: sha256: and 64 hexadecimal digits", digest.value));
            }
            if self.reference.is_none() {
                return wrong(digest, format!("image {name} has a digest and no reference that it could belong to"));
            }
        }
        if self.on_request && self.recipe.is_none() {
            return wrong(&self.name, format!("image {name} is `on-request` and has no recipe that would build it"));
        }
        match &self.recipe {
            Some(recipe) if !is_plain(&recipe.value) => {
                wrong(recipe, format!("{:?} is not a folder beside images.lock: use a-z, 0-9, - and .", recipe.value))
            }
            None if self.reference.is_none() => wrong(
                self.version.as_ref().unwrap_or(&self.name),
                format!("image {name} has neither a reference nor a recipe; it needs one of them"),
            ),
            None if !self.also.is_empty() => {
                wrong(&self.also[0], format!("image {name} has `also` names and no recipe that would build it"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a name is safe as a part of a path, of an image tag and of a file name.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 40
        && !name.starts_with(['-', '.'])
        && !name.contains("..")
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

/// Whether a version is safe in the id of a variant, which separates versions by other characters.
fn is_version(version: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    (1..=60).contains(&version.len()) && version.bytes().all(good)
}

pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// Checks that a reference has a fixed tag, so that it always means the same image. With a floating tag such as
/// `latest`, a run could get another image although no file of the project has changed.
fn check_reference(reference: &str) -> Result<(), String> {
    if reference.contains(|c: char| c.is_whitespace() || c == '@') || reference.is_empty() {
        return Err(format!("{reference:?} is not an image reference of the form name:tag"));
    }
    let last = reference.rsplit('/').next().unwrap_or(reference);
    match last.split_once(':') {
        None | Some((_, "")) => Err(format!("{reference} has no tag: pin one, a missing tag means `latest`")),
        Some((_, tag)) if tag == "latest" || tag.ends_with("-latest") => {
            Err(format!("{reference} floats: pin a tag that names one release"))
        }
        Some(("", _)) => Err(format!("{reference:?} has a tag and no name")),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Lock::parse(Path::new("images"), text).expect_err(text).to_string()
    }

    #[test]
    fn the_lock_of_this_repository_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
        let lock = Lock::alone(&folder).expect("valid");
        assert!(lock.entry(NODE).is_ok());
        assert!(lock.entry("agent").is_ok_and(|agent| agent.reference.is_none() && agent.recipe.is_some()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let table = [
            ("images:\n  - { name: a, for: x, reference: 'x/a:latest' }", "images.lock:2:35: x/a:latest floats"),
            ("images:\n  - { name: a, for: x, reference: x/a }", "images.lock:2:35: x/a has no tag"),
            ("images:\n  - { name: a, for: x, reference: 'host:5000/a' }", "host:5000/a has no tag"),
            ("images:\n  - { name: a, for: x }", "images.lock:2:13: image a has neither"),
            ("images:\n  - { name: A, for: x, recipe: a }", "\"A\" is not a name"),
            ("images:\n  - { name: a, for: x, recipe: ../a }", "\"../a\" is not a folder"),
            ("images:\n  - { name: a..b, for: x, recipe: a }", "\"a..b\" is not a name"),
            ("images:\n  - { name: .a, for: x, recipe: a }", "\".a\" is not a name"),
            (
                "images:\n  - { name: a, for: x, recipe: a }\n  - { name: a, for: x, recipe: a }",
                ":3:13: image \"a\" is",
            ),
            ("images:\n  - { name: a, for: x, recipe: a, within: b }", "`within` names \"b\""),
            ("images:\n  - { name: a, for: x, recipe: a, digest: 'sha256:12' }", "is not a digest"),
            ("images:\n  - { name: a, for: x, recipe: a, also: [b] }", "b has no tag"),
            (
                "images:\n  - { name: a, for: x, reference: 'x/a:1', on-request: true }",
                "a is `on-request` and has no recipe",
            ),
            ("images:\n  - { name: a, for: x, recip: a }", "images.lock:2:"),
            ("images:\n  - { name: a, recipe: a }", "missing field `for`"),
            ("images:\n  - { name: a, name: b, for: x, recipe: a }", "duplicate"),
            (
                "images:\n  - { name: a, for: x, recipe: a, versions: [{ version: 1.0.1 }] }",
                ":2:57: image a has neither a reference nor a recipe",
            ),
            (
                "images:\n  - { name: a, for: x, recipe: a, version: 1.0.1, versions: [{ version: 1.0.1, recipe: b }] }",
                "version \"1.0.1\" of image a is listed twice",
            ),
            (
                "images:\n  - { name: a, for: x, recipe: a, versions: [{ version: 'a,b', recipe: b }] }",
                "\"a,b\" is not a version",
            ),
            ("images:\n  - { name: a, for: x, recipe: a, version: '' }", "\"\" is not a version"),
            ("images:\n  - { name: a, for: x, recipe: a, versions: [{ recipe: b }] }", "missing field `version`"),
            ("images:\n  - { name: a, for: x, recipe: a, versions: [{ version: 1.0.1, recip: b }] }", "images.lock:2:"),
            (
                "images:\n  - { name: a, for: x, recipe: a, versions: [{ version: 1.0.1, reference: 'x/a:latest' }] }",
                "x/a:latest floats",
            ),
            ("imagez: []", "images.lock:1:"),
        ];
        for (text, part) in table {
            let message = error(text);
            assert!(message.contains(part), "{text}\n  says: {message}\n  want: {part}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let lock = Lock::parse(Path::new("images"), "images: [{ name: a, for: x, recipe: a }]").expect("valid");
        let message = lock.entry("b").expect_err("not listed").to_string();
        assert_eq!(message, "no image is called \"b\" in images.lock; it lists a");
    }
}
