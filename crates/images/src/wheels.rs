//! Python layers: wheels of exact versions from a package index, checked against the recipe's hashes and unpacked
//! without changes.
//!
//! pip fetches the wheels, because pip has the machine's settings of package index, proxies, authorities and
//! credentials. This repository contains no index's address. pip does not run code of the wheels. Parallax unpacks the
//! wheels itself for two reasons: packages that pip installs contain paths of the machine, and the image may have
//! another version of Python than the machine.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zip::ZipArchive;

use super::error::ImageError;
use super::process::Step;
use super::recipe::{Pypi, check_name, check_path};
use super::tree::{Entry, Interruptible};

/// The time limit for downloading the wheels. A wheel may have several dozen megabytes.
const LIMIT: Duration = Duration::from_mins(10);
/// The minor version of the newest glibc (2.41) whose wheels are accepted. This is the glibc of the newest Debian that
/// recipes use.
const GLIBC_MINOR: u32 = 41;
/// The oldest glibc minor version for which platform tags of the form `manylinux_2_N` are used.
const GLIBC_MINOR_FIRST: u32 = 5;

impl Pypi {
    /// Checks a Python layer of a recipe. The error is a sentence about the mistake.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.packages.is_empty() {
            return Err("a pypi layer has no packages".to_owned());
        }
        for (package, hashes) in &self.packages {
            let (name, version) = package.split_once("==").unwrap_or_default();
            check_name("package as name==version", name).map_err(|_| format!("{package:?} is not name==version"))?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+!".contains(&byte);
            if version.is_empty() || !version.bytes().all(plain) {
                return Err(format!("{package:?} does not pin a version: name==1.2.3"));
            }
            let good = |hash: &String| {
                let digits = hash.strip_prefix("sha256:").unwrap_or_default();
                digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            if hashes.is_empty() || !hashes.iter().all(good) {
                let what = "`sha256:` and 64 digits, as `pip hash FILE.whl` prints them after `pip download`";
                return Err(format!("{package} needs the hash of its wheel: {what}"));
            }
        }
        if !self.python.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || !self.python.starts_with("3.") {
            return Err(format!("python {:?} is not a version such as \"3.13\"", self.python));
        }
        if self.to.is_none() && self.programs.is_empty() {
            return Err("a pypi layer says `to` (libraries: a folder) or `programs` (path in a wheel: path)".to_owned());
        }
        self.to.iter().chain(self.programs.values()).try_for_each(|path| check_path(path))
    }
}

/// The build of one layer with wheels.
pub(super) struct PypiBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer of the recipe that this build makes.
    pub(super) pypi: &'a Pypi,
    /// The path of a `python3` program that has pip.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
}

impl PypiBuild<'_> {
    /// Fetches and unpacks the wheels, and returns the layer's entries.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, ImageError> {
        let (requirements, wheels) = (self.scratch.join("requirements.txt"), self.scratch.join("wheels"));
        fs::write(&requirements, self.requirements()).map_err(ImageError::cache("write", &requirements))?;
        fs::create_dir_all(&wheels).map_err(ImageError::cache("make", &wheels))?;
        self.download(&requirements, &wheels).run(say, cancel).await?;
        let (pypi, scratch) = (self.pypi.clone(), self.scratch.to_owned());
        let stop = cancel.clone();
        let unpacked =
            tokio::task::spawn_blocking(move || unpack_all(&pypi, &wheels, &scratch.join("unpacked"), &stop));
        match unpacked.await.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
            Err(_) if cancel.is_cancelled() => Err(ImageError::Cancelled),
            Err(error) => Err(ImageError::Step {
                image: self.image.to_owned(),
                command: "unpacking wheels".to_owned(),
                how: format!("failed: {error}"),
                lines: Vec::new(),
            }),
            Ok(entries) => Ok(entries),
        }
    }

    fn requirements(&self) -> String {
        let mut text = String::new();
        for (package, hashes) in &self.pypi.packages {
            text.push_str(package);
            for hash in hashes {
                text.extend([" --hash=", hash]);
            }
            text.push('\n');
        }
        text
    }

    fn download(&self, requirements: &Path, wheels: &Path) -> Step<'_> {
        let names: Vec<&str> = self.pypi.packages.keys().map(String::as_str).collect();
        let names = names.join(" ");
        // With these options, pip fetches only packages that the recipe pins by hash, no further dependencies, and no
        // package that would have to be compiled.
        let plain = ["-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"];
        let quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar=off"];
        let mut arguments: Vec<OsString> = plain.into_iter().chain(quiet).map(OsString::from).collect();
        arguments.push(format!("--python-version={}", self.pypi.python).into());
        arguments.push("--implementation=cp".into());
        arguments.extend(platforms().into_iter().map(|platform| OsString::from(format!("--platform={platform}"))));
        arguments.extend(["--dest".into(), wheels.into(), "--requirement".into(), requirements.into()]);
        Step {
            image: self.image,
            title: format!("pip download {names}"),
            shown: format!("python3 {} {names}", plain.join(" ")),
            program: self.program.to_owned(),
            arguments,
            // On some machines, pip refuses to work outside a virtual environment. This download installs nothing, so
            // the setting is switched off.
            environment: vec![("PIP_REQUIRE_VIRTUALENV", "0".into())],
            folder: Some(self.scratch.to_owned()),
            output: None,
            limit: LIMIT,
        }
    }
}

/// The platform tags of the wheels that can run in an image. A wheel can run if it was built for the image's glibc or
/// for an older one. All tags are listed, because pip does not derive the older tags from the newest one.
fn platforms() -> Vec<String> {
    let arch = std::env::consts::ARCH;
    let newest_first = (GLIBC_MINOR_FIRST..=GLIBC_MINOR).rev().map(|minor| format!("manylinux_2_{minor}_{arch}"));
    newest_first.chain(["2014", "2010", "1"].map(|year| format!("manylinux{year}_{arch}"))).collect()
}

fn unpack_all(pypi: &Pypi, wheels: &Path, into: &Path, cancel: &CancellationToken) -> io::Result<Vec<Entry>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(wheels)?.map(|wheel| Ok(wheel?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    let mut entries = Vec::new();
    for (index, wheel) in paths.iter().enumerate() {
        entries.extend(unpack(pypi, wheel, &into.join(index.to_string()), cancel)?);
    }
    let missing = pypi.programs.iter().find(|(_, to)| !entries.iter().any(|entry| entry.path() == to.as_str()));
    match missing {
        Some((path, _)) => Err(io::Error::other(format!("no wheel of this layer holds {path:?}"))),
        None => Ok(entries),
    }
}

/// Unpacks those files of a wheel that belong to the layer, and returns their entries.
fn unpack(pypi: &Pypi, wheel: &Path, into: &Path, cancel: &CancellationToken) -> io::Result<Vec<Entry>> {
    let mut archive = ZipArchive::new(File::open(wheel)?).map_err(io::Error::other)?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(io::Error::other)?;
        // A path in the wheel may lead out of the target folder (`../x`). The wheel is then refused, although it has
        // the pinned hash.
        let path = file.enclosed_name().and_then(|path| path.to_str().map(str::to_owned));
        let Some(path) = path else {
            return Err(io::Error::other(format!("{:?} leads out of the wheel", file.name())));
        };
        if file.is_dir() {
            continue;
        }
        let Some((to, executable)) = place(pypi, &path) else { continue };
        let source = into.join(index.to_string());
        fs::create_dir_all(into)?;
        io::copy(&mut Interruptible { inner: file, cancel }, &mut File::create(&source)?)?;
        entries.push(Entry::File { path: to, source, executable });
    }
    Ok(entries)
}

/// Where a file of a wheel is in the image: its path, and whether the file is executable. `None` if the image does not
/// get the file.
fn place(pypi: &Pypi, path: &str) -> Option<(String, bool)> {
    if let Some(to) = pypi.programs.get(path) {
        return Some((to.clone(), true));
    }
    let root = pypi.to.as_deref()?;
    let mut parts = path.splitn(3, '/');
    let inside = match (parts.next(), parts.next(), parts.next()) {
        (Some(data), Some("purelib" | "platlib"), Some(rest)) if is_data(data) => rest,
        // The folders in `NAME.data` other than `purelib` and `platlib`, such as scripts and headers, are left out: the
        // image gets only the libraries.
        (Some(data), _, _) if is_data(data) => return None,
        _ => path,
    };
    Some((format!("{root}/{inside}"), false))
}

fn is_data(folder: &str) -> bool {
    folder.strip_suffix(".data").is_some_and(|name| name.contains('-'))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn pypi(text: &str) -> Pypi {
        super::super::yaml::parse(Path::new("recipe.yaml"), text).expect("valid")
    }

    fn wheel(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let mut zip = ZipWriter::new(File::create(folder.join(name)).expect("made"));
        for (path, text) in files {
            zip.start_file(*path, SimpleFileOptions::default()).expect("begun");
            zip.write_all(text.as_bytes()).expect("written");
        }
        zip.finish().expect("finished");
    }

    fn unpacked(text: &str, files: &[(&str, &str)]) -> io::Result<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let wheels = folder.path().join("wheels");
        fs::create_dir(&wheels).expect("made");
        wheel(&wheels, "a-1-py3-none-any.whl", files);
        let entries = unpack_all(&pypi(text), &wheels, &folder.path().join("unpacked"), &CancellationToken::new())?;
        let line = |entry: Entry| match entry {
            Entry::File { path, source, executable } => {
                let text = fs::read_to_string(source).expect("unpacked");
                format!("{path} {} {text}", if executable { "x" } else { "-" })
            }
            other => panic!("{other:?}"),
        };
        Ok(entries.into_iter().map(line).collect())
    }

    const FILES: [(&str, &str); 5] = [
        ("a/__init__.py", "one"),
        ("a-1.data/purelib/a/more.py", "two"),
        ("a-1.data/scripts/a", "three"),
        ("a-1.dist-info/METADATA", "four"),
        ("b.data/x", "five"),
    ];

    #[test]
    fn a_library_is_unpacked_below_its_folder_without_scripts() {
        let lines = unpacked("packages: { a==1: ['sha256:0'] }\nto: lib", &FILES).expect("unpacked");
        assert_eq!(
            lines,
            [
                "lib/a/__init__.py - one",
                "lib/a/more.py - two",
                "lib/a-1.dist-info/METADATA - four",
                "lib/b.data/x - five"
            ]
        );
    }

    #[test]
    fn a_program_is_taken_alone() {
        let text = "packages: { a==1: ['sha256:0'] }\nprograms: { a-1.data/scripts/a: usr/bin/a }";
        assert_eq!(unpacked(text, &FILES).expect("unpacked"), ["usr/bin/a x three"]);
        let missing = unpacked(text, &FILES[..2]).expect_err("it is not there");
        assert_eq!(missing.to_string(), "no wheel of this layer holds \"a-1.data/scripts/a\"");
    }

    #[test]
    fn a_wheel_that_leads_out_of_itself_is_refused() {
        for path in ["../../etc/passwd", "/etc/passwd/../../../x"] {
            let error = unpacked("packages: { a==1: ['sha256:0'] }\nto: lib", &[(path, "x")]);
            assert!(error.as_ref().is_err_and(|error| error.to_string().contains("leads out")), "{path}: {error:?}");
        }
    }

    #[test]
    fn pip_is_told_every_hash_and_no_index() {
        let pypi = pypi("packages: { b==2: ['sha256:1', 'sha256:2'], a==1.0: ['sha256:3'] }\npython: '3.13'\nto: lib");
        let (program, scratch) = (Path::new("python3"), Path::new("/s"));
        let build = PypiBuild { image: "clients", pypi: &pypi, program, scratch };
        assert_eq!(build.requirements(), "a==1.0 --hash=sha256:3\nb==2 --hash=sha256:1 --hash=sha256:2\n");
        let step = build.download(Path::new("/s/r"), Path::new("/s/w"));
        assert_eq!(step.shown, "python3 -m pip download --no-deps --require-hashes --only-binary=:all: a==1.0 b==2");
        let arguments: Vec<_> = step.arguments.iter().filter_map(|argument| argument.to_str()).collect();
        assert!(arguments.contains(&"--python-version=3.13"));
        assert!(!arguments.iter().any(|argument| argument.contains("index")), "{arguments:?}");
    }
}
