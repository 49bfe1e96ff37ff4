//! `images/NAME/recipe.yaml`: how an image is built from package registries and from files of this repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::error::ImageError;
use super::yaml;

/// A recipe of an image. It lists the layers, and says how a container of the image starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the image contains, in one line.
    pub summary: String,
    /// The layers of the image, the lowest first. Each layer is cached by the hash of its part of the recipe and of its
    /// input files.
    pub layers: Vec<Spanned<Layer>>,
    /// The configuration with which a container of the image starts.
    #[serde(default)]
    pub config: Config,
    /// The folder of the recipe, which also contains its input files.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One layer of an image. The layer's key in the recipe is its kind, for example `debian`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A Debian root file system, or a part of one.
    Debian(Debian),
    /// A program that the Go toolchain builds.
    Go(Go),
    /// Files from a published Go module.
    GoFiles(GoFiles),
    /// A static program of this workspace.
    Cargo(Cargo),
    /// A static program that Cargo builds from a published crate.
    Crate(Crate),
    /// Wheels from a Python package index.
    Pypi(Pypi),
    /// Packages from an npm registry.
    Npm(Npm),
    /// Jars from a Maven repository, and classes that use them.
    Maven(Maven),
    /// Symbolic links. Maps the path of each link in the image to its target.
    Links(BTreeMap<String, String>),
    /// The name of a folder in the recipe's folder. Its content is copied to `/` in the image.
    Files(String),
    /// Directories. Maps the path of each directory in the image to its mode, an octal text such as `"0755"`.
    Directories(BTreeMap<String, String>),
}

/// A Debian root file system, made of packages from the apt sources that this machine is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// The code name of the Debian release, for example `trixie`.
    pub suite: String,
    /// The names of the packages in the layer. The variant decides whether Debian's essential packages are added.
    pub packages: Vec<String>,
    /// How complete the Debian system in the layer is.
    #[serde(default, skip_serializing_if = "DebianVariant::is_default")]
    pub variant: DebianVariant,
}

/// How complete a Debian system is. The names are mmdebstrap's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DebianVariant {
    /// Debian's essential packages and the packages of the recipe, all installed.
    #[default]
    Minbase,
    /// Only the packages of the recipe and their dependencies, without the essential packages. They are unpacked, but
    /// their installation scripts do not run.
    Extract,
}

impl DebianVariant {
    /// The name of the variant in the form that mmdebstrap reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minbase => "minbase",
            Self::Extract => "extract",
        }
    }

    // serde calls this function with a reference, so the argument cannot be a value.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A static program that the Go toolchain builds, without debug information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// The name of a folder with a Go module, in the recipe's folder. `go build` builds the root package of the module.
    /// A recipe gives either this key or `install`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The package that `go install` builds, as `package@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
    /// The Go module that contains the package of `install`. Needed only if the package is not the root of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The hash (`h1:…`) of the Go module of `install`, as in `go.sum`. The build checks it before it uses the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// The path of the program in the image.
    pub to: String,
    /// The Go build tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Flags for Go's linker, in addition to `-s -w`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ldflags: Vec<String>,
}

/// The files of one folder of a published Go module, for example the Kubernetes manifests that belong to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoFiles {
    /// The Go module, as `module@version`.
    pub module: String,
    /// The hash (`h1:…`) of the Go module, as in `go.sum`. The build checks it before it uses a file.
    pub sum: String,
    /// The path of the folder within the Go module.
    pub from: String,
    /// The path in the image of the folder that gets the files.
    pub to: String,
}

/// A static program of this workspace, which the caller of Parallax has built already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cargo {
    /// The name of the Cargo package that contains the program.
    pub package: String,
    /// The name of the program.
    pub binary: String,
    /// The path of the program in the image.
    pub to: String,
}

/// A static program that Cargo builds from a published crate of an exact version. Cargo's settings on this machine
/// decide from which registry the crate comes. The lock file in the crate decides the versions of the dependencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crate {
    /// The crate, as `name@version`.
    pub name: String,
    /// The hash (`sha256:…`) of the crate, as the registry's index contains it. The build checks it before it uses the
    /// crate.
    pub sum: String,
    /// The name of the program.
    pub binary: String,
    /// The path of the program in the image.
    pub to: String,
    /// The features of the crate with which the program is built. The crate's default features are switched off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Wheels of exact versions. pip's settings on this machine decide from which Python package index they come. The image
/// gets either libraries (`to`) or programs that wheels contain (`programs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pypi {
    /// Maps `name==version` of each package to the hashes (`sha256:…`) of its wheels, one for each architecture.
    /// Dependencies must be listed too, because nothing else is fetched.
    pub packages: BTreeMap<String, Vec<String>>,
    /// The version of Python in the image, for example `3.13`. pip selects wheels for this version.
    #[serde(default = "debians_python")]
    pub python: String,
    /// The folder in the image that gets the libraries. Scripts in the wheels are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Maps the path of a program in a wheel to its path in the image. Without `to`, the image gets no other file of
    /// the wheels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
}

/// The packages that a `package-lock.json` lists. npm's settings on this machine decide from which registry they come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npm {
    /// The name of a folder in the recipe's folder, with `package.json` and `package-lock.json`.
    pub folder: String,
    /// The path of the folder in the image that gets the content of `node_modules`.
    pub to: String,
}

/// The jars that a `pom.xml` needs, and Java classes that are compiled against these jars. Maven's settings on this
/// machine decide from which repository the jars come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maven {
    /// The name of a folder in the recipe's folder. It contains `pom.xml`, Java sources, and `jars.sha256`, which lists
    /// every jar in the format of `sha256sum`.
    pub folder: String,
    /// The path of a folder in the image. The jars are put into its subfolder `lib`, the classes into `classes`.
    pub to: String,
}

/// How a container of the image starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The program that a container runs, and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments of the program. A container can replace them.
    pub cmd: Vec<String>,
    /// The environment variables of the program.
    pub env: BTreeMap<String, String>,
    /// The working directory of the program.
    pub workdir: Option<String>,
    /// The user as which the program runs, in the form `uid[:gid]`.
    pub user: Option<String>,
    /// The signal that the engine sends to stop the container, for example `SIGTERM`.
    pub stop_signal: Option<String>,
    /// The labels of the image. Its containers have them too.
    pub labels: BTreeMap<String, String>,
}

impl Recipe {
    /// Reads and checks `FOLDER/recipe.yaml`.
    pub fn load(folder: &Path) -> Result<Self, ImageError> {
        let file = folder.join("recipe.yaml");
        yaml::read::<Self>(&file)?.checked(&file, folder)
    }

    /// Parses and checks the text of `FOLDER/recipe.yaml`.
    pub fn parse(folder: &Path, text: &str) -> Result<Self, ImageError> {
        let file = folder.join("recipe.yaml");
        yaml::parse::<Self>(&file, text)?.checked(&file, folder)
    }

    /// Whether `/bin`, `/sbin` and `/lib` of the image are links into `/usr`, as in an installed Debian. If a layer of
    /// such an image wrote to `bin/x`, it would replace the link `/bin` by a directory, and `/bin` would lack all other
    /// programs. If the packages are only unpacked (`extract`), these links do not exist.
    pub fn merged_usr(&self) -> bool {
        let installed = |debian: &Debian| debian.variant == DebianVariant::Minbase;
        self.layers.iter().any(|layer| matches!(&layer.value, Layer::Debian(debian) if installed(debian)))
    }

    fn checked(mut self, file: &Path, folder: &Path) -> Result<Self, ImageError> {
        folder.clone_into(&mut self.folder);
        if self.layers.is_empty() {
            return Err(ImageError::Invalid {
                file: file.to_owned(),
                line: None,
                column: None,
                message: "the recipe has no layers".to_owned(),
            });
        }
        for (index, layer) in self.layers.iter().enumerate() {
            layer.value.check(index, folder).map_err(|message| yaml::invalid(file, layer, message))?;
        }
        Ok(self)
    }
}

impl Layer {
    /// The name of the layer's kind, as recipes write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Debian(_) => "debian",
            Self::Go(_) => "go",
            Self::GoFiles(_) => "go-files",
            Self::Cargo(_) => "cargo",
            Self::Crate(_) => "crate",
            Self::Pypi(_) => "pypi",
            Self::Npm(_) => "npm",
            Self::Maven(_) => "maven",
            Self::Links(_) => "links",
            Self::Files(_) => "files",
            Self::Directories(_) => "directories",
        }
    }

    fn check(&self, index: usize, folder: &Path) -> Result<(), String> {
        match self {
            Self::Debian(debian) => debian.check(index),
            Self::Go(go) => go.check(folder),
            Self::GoFiles(files) => files.check(),
            Self::Cargo(cargo) => {
                check_name("package", &cargo.package)?;
                check_name("binary", &cargo.binary)?;
                check_path(&cargo.to)
            }
            Self::Crate(of) => of.check(),
            Self::Pypi(pypi) => pypi.check(),
            Self::Npm(npm) => npm.check(folder),
            Self::Maven(maven) => maven.check(folder),
            Self::Links(links) => links.iter().try_for_each(|(path, target)| {
                check_path(path)?;
                if target.is_empty() { Err(format!("link {path} has no target")) } else { Ok(()) }
            }),
            Self::Files(name) => check_folder(folder, name, None),
            Self::Directories(directories) => directories.iter().try_for_each(|(path, mode)| {
                check_path(path)?;
                parse_mode(mode).map(drop)
            }),
        }
    }
}

impl Debian {
    fn check(&self, index: usize) -> Result<(), String> {
        if index != 0 {
            return Err("a debian layer is a whole root file system: it must be the first layer".to_owned());
        }
        check_name("suite", &self.suite)?;
        self.packages.iter().try_for_each(|package| {
            let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
            if !package.is_empty() && package.bytes().all(good) && !package.starts_with('-') {
                Ok(())
            } else {
                Err(format!("{package:?} is not the name of a Debian package"))
            }
        })
    }
}

/// The version of Python in Debian trixie. It is the default of the key `python` in a recipe.
fn debians_python() -> String {
    "3.13".to_owned()
}

/// Parses an octal file mode.
pub(super) fn parse_mode(mode: &str) -> Result<u32, String> {
    u32::from_str_radix(mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("{mode:?} is not a mode: write it octal, as text, for example \"0755\""))
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && !name.starts_with('-') && name.bytes().all(good) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a {what}"))
    }
}

/// Checks a path inside an image. It must be relative to `/`, and must not have `.`, `..` or empty parts.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let plain = !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain {
        Ok(())
    } else {
        Err(format!("{path:?} is not a path in the image: write it without a leading /, `..` or empty parts"))
    }
}

pub(super) fn check_folder(folder: &Path, name: &str, holds: Option<&str>) -> Result<(), String> {
    check_name("folder beside the recipe", name)?;
    if !folder.join(name).is_dir() {
        return Err(format!("there is no folder {name:?} beside the recipe"));
    }
    match holds {
        Some(file) if !folder.join(name).join(file).is_file() => Err(format!("folder {name:?} holds no {file}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
