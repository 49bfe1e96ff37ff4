//! `images/NAME/recipe.yaml`: the description of how an image is built from package registries and files of this
//! repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::error::ImageError;
use super::yaml;

/// A recipe: the layers, the lowest first, and the configuration that says how a container of the image starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The content of the image, in one line.
    pub summary: String,
    /// The layers, the lowest first. Each is cached by the hash of its own part of the recipe and of its input files.
    pub layers: Vec<Spanned<Layer>>,
    /// The configuration with which a container of the image starts.
    #[serde(default)]
    pub config: Config,
    /// The recipe's folder. It also contains the input files.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A Debian root file system.
    Debian(Debian),
    /// A program built by the Go toolchain.
    Go(Go),
    /// Files of a published Go module.
    GoFiles(GoFiles),
    /// A static program of this workspace.
    Cargo(Cargo),
    /// Wheels of a Python package index.
    Pypi(Pypi),
    /// Packages of an npm registry.
    Npm(Npm),
    /// Jars of a Maven repository, and classes that use them.
    Maven(Maven),
    /// Symbolic links: path in the image → target.
    Links(BTreeMap<String, String>),
    /// A folder in the recipe's folder, copied to `/`.
    Files(String),
    /// Directories: path in the image → mode, octal.
    Directories(BTreeMap<String, String>),
}

/// A Debian root file system, from the machine's own apt sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Code name, for example `trixie`.
    pub suite: String,
    /// Packages in addition to Debian's essential ones.
    pub packages: Vec<String>,
    /// The extent of the Debian system in the layer.
    #[serde(default, skip_serializing_if = "DebianVariant::is_default")]
    pub variant: DebianVariant,
}

/// The extent of a Debian system, with mmdebstrap's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DebianVariant {
    /// The essential packages and the named ones, installed.
    #[default]
    Minbase,
    /// The variant has only the named packages and their dependencies. The packages are unpacked, and their scripts do
    /// not run.
    Extract,
}

impl DebianVariant {
    /// The name that mmdebstrap uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minbase => "minbase",
            Self::Extract => "extract",
        }
    }

    // The argument is a reference because serde passes one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A program built by the Go toolchain, static, without debug information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// A module in the recipe's folder: `go build` of its root. Exactly one of this and `install` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The package for `go install`, as `package@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
    /// The module that contains the package of `install`, if the package is not the module's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The hash (`h1:…`) of the module of `install`. It is checked before the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// The path of the program in the image.
    pub to: String,
    /// The build tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Linker flags in addition to `-s -w`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ldflags: Vec<String>,
}

/// The files of one folder of a published Go module, such as the manifests that belong to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoFiles {
    /// The module, as `module@version`.
    pub module: String,
    /// The hash (`h1:…`) of the module. It is checked before a file is used.
    pub sum: String,
    /// The folder in the module.
    pub from: String,
    /// The folder in the image.
    pub to: String,
}

/// A static program of this workspace, built by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cargo {
    /// The Cargo package of the program.
    pub package: String,
    /// The name of the program.
    pub binary: String,
    /// The path of the program in the image.
    pub to: String,
}

/// Wheels of exact versions from the machine's own Python package index: libraries, or programs that wheels contain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pypi {
    /// Maps `name==version` to the hashes (`sha256:…`) of its wheels, one for each architecture. Dependencies must be
    /// listed too.
    pub packages: BTreeMap<String, Vec<String>>,
    /// The version of Python in the image, for wheels that are made for one version.
    #[serde(default = "debians_python")]
    pub python: String,
    /// For libraries: the folder in the image into which they are unpacked, without their scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// For programs: maps a path in a wheel to a path in the image. Without `to`, no other file of the wheels is used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
}

/// The packages of a `package-lock.json`, from the machine's own npm registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npm {
    /// A folder in the recipe's folder, with `package.json` and `package-lock.json`.
    pub folder: String,
    /// The folder in the image that gets `node_modules`.
    pub to: String,
}

/// The jars of a `pom.xml`, from the Maven repository of the machine's own settings, and classes compiled against them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maven {
    /// A folder in the recipe's folder, with `pom.xml`, `jars.sha256` (every jar, in the format of `sha256sum`) and
    /// Java sources.
    pub folder: String,
    /// The folder in the image that gets the jars in `lib` and the classes in `classes`.
    pub to: String,
}

/// The configuration that says how a container of the image starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// The default arguments of the program.
    pub cmd: Vec<String>,
    /// The environment variables.
    pub env: BTreeMap<String, String>,
    /// The working directory of the program.
    pub workdir: Option<String>,
    /// The user of the program, as `uid[:gid]`.
    pub user: Option<String>,
    /// The signal that asks the container to stop.
    pub stop_signal: Option<String>,
    /// Labels. Containers of the image inherit them.
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

    /// Whether `/bin`, `/sbin` and `/lib` are links into `/usr`, as in Debian. If a layer of such an image wrote to
    /// `bin/x`, it would replace the link by a directory and hide every program behind the link. Packages that are only
    /// unpacked do not create these links.
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
    /// The kind of the layer, as recipes name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Debian(_) => "debian",
            Self::Go(_) => "go",
            Self::GoFiles(_) => "go-files",
            Self::Cargo(_) => "cargo",
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

/// The version of Python in Debian trixie.
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

/// Checks a path inside an image: it must be relative to `/`, without `.`, `..` and empty parts.
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
mod tests {
    use super::*;

    const SHA: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn a_lock_file_of_npm_that_names_a_host_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("node")).expect("made");
        let text = "summary: x\nlayers: [{ npm: { folder: node, to: a } }]";
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join("node").join(name), text).expect("written");
        let says = |part: &str| {
            let message = Recipe::parse(folder.path(), text).expect_err("refused").to_string();
            assert!(message.contains(part), "{message}");
        };
        says("folder \"node\" holds no package.json");
        write("package.json", "{}");
        says("holds no package-lock.json; write it with `npm install --package-lock-only");
        write("package-lock.json", r#"{ "packages": { "a": { "resolved": "https://registry.example/a.tgz" } } }"#);
        says("names a registry's host");
        write("package-lock.json", "{}");
        assert!(Recipe::parse(folder.path(), text).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let install = "sum: 'h1:x', to: a";
        let table = [
            ("layers: []".to_owned(), "recipe.yaml: the recipe has no layers"),
            ("layers: [{ debain: { suite: trixie, packages: [] } }]".to_owned(), "recipe.yaml:2:"),
            ("layers: [{ debian: { suite: trixie, package: [] } }]".to_owned(), "unknown field `package`"),
            (
                "layers:\n  - links: { a: b }\n  - debian: { suite: trixie, packages: [] }".to_owned(),
                "recipe.yaml:4:5: a debian layer is a whole root file system",
            ),
            ("layers: [{ debian: { suite: trixie, packages: ['a b'] } }]".to_owned(), "\"a b\" is not the name"),
            ("layers: [{ debian: { suite: trixie, packages: ['--x'] } }]".to_owned(), "\"--x\" is not the name"),
            ("layers: [{ go: { to: a } }]".to_owned(), "either `module`"),
            ("layers: [{ go: { module: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
            ("layers: [{ go: { module: ../x, to: a } }]".to_owned(), "is not a folder beside the recipe"),
            (format!("layers: [{{ go: {{ install: x/y, {install} }} }}]"), "does not pin a version"),
            (format!("layers: [{{ go: {{ install: x/y@latest, {install} }} }}]"), "does not pin a version"),
            (
                "layers: [{ go: { install: x/y/z@v1.0.0, of: x/y, to: a } }]".to_owned(),
                "`sum` is missing: the Sum that `go mod download -json x/y@v1.0.0` prints",
            ),
            (
                "layers: [{ go-files: { module: x/y, sum: 'h1:x', from: a, to: b } }]".to_owned(),
                "\"x/y\" does not pin a version",
            ),
            (
                "layers: [{ go-files: { module: x/y@v1.0.0, sum: '', from: a, to: b } }]".to_owned(),
                "`sum` is missing: the Sum that `go mod download -json x/y@v1.0.0` prints",
            ),
            (
                "layers: [{ go-files: { module: x/y@v1.0.0, sum: 'h1:x', from: ../a, to: b } }]".to_owned(),
                "\"../a\" is not a path",
            ),
            ("layers: [{ cargo: { package: p, binary: b, to: /bin/b } }]".to_owned(), "\"/bin/b\" is not a path"),
            ("layers: [{ pypi: { packages: {}, to: a } }]".to_owned(), "a pypi layer has no packages"),
            ("layers: [{ pypi: { packages: { boto3: [] }, to: a } }]".to_owned(), "\"boto3\" is not name==version"),
            ("layers: [{ pypi: { packages: { a==: [] }, to: a } }]".to_owned(), "does not pin a version"),
            ("layers: [{ pypi: { packages: { a==1.*: [] }, to: a } }]".to_owned(), "does not pin a version"),
            ("layers: [{ pypi: { packages: { a==1: [] }, to: a } }]".to_owned(), "a==1 needs the hash of its wheel"),
            ("layers: [{ pypi: { packages: { a==1: ['sha256:ab'] }, to: a } }]".to_owned(), "needs the hash"),
            (format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }} }} }}]"), "says `to`"),
            (format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }}, to: /a }} }}]"), "\"/a\" is not a path"),
            (
                format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }}, python: 2.7, to: a }} }}]"),
                "is not a version",
            ),
            ("layers: [{ npm: { folder: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
            ("layers: [{ maven: { folder: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
            ("layers: [{ maven: { folder: nowhere, to: /a } }]".to_owned(), "\"/a\" is not a path"),
            ("layers: [{ links: { a/../b: c } }]".to_owned(), "\"a/../b\" is not a path"),
            ("layers: [{ directories: { tmp: \"999\" } }]".to_owned(), "\"999\" is not a mode"),
            ("layers: [{ directories: { tmp: \"1777\" } }]\nconfig: { entrypiont: [] }".to_owned(), "recipe.yaml:3:"),
        ];
        for (text, part) in table {
            let text = format!("summary: x\n{text}");
            let message = Recipe::parse(Path::new("images/x"), &text).expect_err(&text).to_string();
            assert!(message.contains(part), "{text}\n  says: {message}\n  want: {part}");
        }
    }

    #[test]
    fn a_recipe_with_every_kind_of_layer_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["files", "kube", "node", "java"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        std::fs::write(folder.path().join("kube/go.mod"), "module kube\n").expect("written");
        std::fs::write(folder.path().join("node/package.json"), "{}\n").expect("written");
        std::fs::write(folder.path().join("node/package-lock.json"), "{}\n").expect("written");
        std::fs::write(folder.path().join("java/pom.xml"), "maven-dependency-plugin\n").expect("written");
        std::fs::write(folder.path().join("java/jars.sha256"), format!("{}  a.jar\n", &SHA[7..])).expect("written");
        std::fs::write(folder.path().join("java/Main.java"), "class Main {}\n").expect("written");
        let text = "\
summary: everything
layers:
  - debian: { suite: trixie, packages: [containerd, g++] }
  - go: { module: kube, to: usr/local/bin/kube, tags: [providerless], ldflags: [-X, a.b=c] }
  - go: { install: x/y@v1.0.0, sum: 'h1:abc=', to: y }
  - go-files: { module: x/y@v1.0.0, sum: 'h1:abc=', from: deploy/crds, to: kinds }
  - cargo: { package: parallax-node, binary: parallax-node, to: bin/k3s }
  - pypi: { packages: { a==1.0.post1: ['SHA'] }, to: lib, programs: { a/b: usr/bin/b } }
  - npm: { folder: node, to: opt/clients }
  - maven: { folder: java, to: opt/java }
  - links: { usr/local/bin/kubelet: kube }
  - files: files
  - directories: { data: \"0755\" }
config: { entrypoint: [/bin/k3s], cmd: [server], env: { PATH: /bin }, workdir: /, labels: { a: b } }
";
        let recipe = Recipe::parse(folder.path(), &text.replace("SHA", SHA)).expect("valid");
        let kinds: Vec<_> = recipe.layers.iter().map(|layer| layer.value.kind()).collect();
        let all = ["debian", "go", "go", "go-files", "cargo", "pypi", "npm", "maven", "links", "files", "directories"];
        assert_eq!(kinds, all);
        assert!(recipe.merged_usr());
    }
}
