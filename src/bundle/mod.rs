//! A bundle is one file with the failed variants of a run. With this file, another machine can run these variants
//! again.
//!
//! The file is a tar archive with the description `bundle.json` and three folders. `project/` contains the project's
//! files that the variants need. `resolved/` contains the variants as they were run, with the values of the
//! scenario's `matrix` filled in and with their change applied. `run/` contains the run's record, reports and logs.
//! Everything in the archive is redacted. The archive is not compressed, so that any tool can search it.

mod files;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use parallax_vocab::{RunId, VariantId, Versions};
use serde::{Deserialize, Serialize};

pub use self::files::{Look, Packed, below, is_to_read, of_run};

/// The name of the bundle in the run's folder.
pub const FILE: &str = "repro.tar";
/// The path of the description (see [`Bundle`]) in the archive.
const ABOUT: &str = "bundle.json";
/// The folder in the archive that contains the project's files.
pub const PROJECT: &str = "project";
/// The version of the bundle format. It is incremented with each change that makes older bundles unreadable.
const FORMAT: u32 = 1;
/// The largest total size of the files that are unpacked, in bytes.
const BYTES_LIMIT: u64 = 256 * 1024 * 1024;
/// The largest number of bytes of the description that are read.
const ABOUT_LIMIT: u64 = 16 * 1024 * 1024;
/// The largest number of files that are unpacked.
const FILES_LIMIT: usize = 5_000;

/// The description of a bundle. It is the file `bundle.json` in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bundle {
    /// The version of the bundle format with which the bundle was written.
    pub format: u32,
    /// The version of Parallax with which the variants ran.
    pub parallax: String,
    /// The id of the run in which the variants failed.
    pub run: RunId,
    /// The kind of node image that the run used, as the value of the option `--k3s`.
    pub k3s: String,
    /// The versions that the run used in place of the defaults.
    #[serde(default, skip_serializing_if = "Versions::are_defaults")]
    pub versions: Versions,
    /// The variants that failed in the run.
    pub failed: Vec<Failed>,
    /// Maps the name of each image that the variants use to a text that identifies the image. The text contains its
    /// published reference and digest, and the tag of its build.
    pub images: BTreeMap<String, String>,
    /// The paths of the project's files in which a secret of the run was replaced. The scenario may behave differently
    /// when it runs with such a changed file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// A variant that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Failed {
    /// The id of the failed variant.
    pub variant: VariantId,
    /// The variant's first step that did not behave as the scenario says. `None` if the environment did not become
    /// ready, or if the harness, the engine or the machine failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The seed of the random delays in the variant's `repeat` steps. `None` if no round of a `repeat` ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The reason why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be read or written.
    #[error("failed to {doing} {path}: {source}")]
    File {
        /// The operation that failed, as a verb such as `write`.
        doing: &'static str,
        /// The path of the file or folder that could not be read or written.
        path: String,
        /// The I/O error that caused the failure.
        source: io::Error,
    },
    /// The file is not a bundle, or it contains something that must not be unpacked.
    #[error("{path} is no bundle of a failed run: {reason}")]
    Wrong {
        /// The path of the file that is refused.
        path: String,
        /// The reason why the file is refused, in words.
        reason: String,
    },
    /// The bundle has a format that this version of Parallax cannot read.
    #[error(
        "{path} has format {theirs}, made by parallax {version}, and this version reads {FORMAT}; use that version"
    )]
    Format {
        /// The path of the bundle.
        path: String,
        /// The version of the bundle format with which the bundle was written.
        theirs: u64,
        /// The version of Parallax that wrote the bundle.
        version: String,
    },
}

fn file_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> BundleError {
    let path = path.display().to_string();
    move |source| BundleError::File { doing, path: path.clone(), source }
}

impl Bundle {
    /// Creates the description of the failed variants of a run. The description names this version of Parallax as the
    /// version that ran the variants.
    pub fn new(
        run: RunId,
        (k3s, versions): (String, Versions),
        failed: Vec<Failed>,
        images: BTreeMap<String, String>,
    ) -> Self {
        let parallax = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, parallax, run, k3s, versions, failed, images, redacted: Vec::new() }
    }

    /// Writes the archive with permissions that allow only its owner to read it. `files` contains pairs of a path in
    /// the archive and the content, which is already redacted.
    pub fn write(&self, to: &Path, files: &[(String, Vec<u8>)]) -> Result<(), BundleError> {
        let failed = file_error("write", to);
        let about = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let folder = to.parent().unwrap_or(Path::new("."));
        let whole = tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(folder);
        let mut archive = tar::Builder::new(whole.map_err(&failed)?);
        let all = std::iter::once((ABOUT, about.as_slice()))
            .chain(files.iter().map(|(path, it)| (path.as_str(), it.as_slice())));
        for (path, content) in all {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
            header.set_mode(0o600);
            archive.append_data(&mut header, path, content).map_err(&failed)?;
        }
        let mut whole = archive.into_inner().map_err(&failed)?;
        whole.flush().map_err(&failed)?;
        whole.persist(to).map(drop).map_err(|error| failed(error.error))
    }

    /// Reads the description of a bundle. It is the first file in the archive.
    pub fn about(from: &Path) -> Result<Self, BundleError> {
        let wrong = |reason: String| BundleError::Wrong { path: from.display().to_string(), reason };
        let mut archive = tar::Archive::new(File::open(from).map_err(file_error("read", from))?);
        let first = archive.entries().map_err(file_error("read", from))?.next();
        let entry = first.ok_or_else(|| wrong("it is empty".to_owned()))?.map_err(|error| wrong(error.to_string()))?;
        if entry.path().ok().as_deref() != Some(Path::new(ABOUT)) {
            return Err(wrong(format!("it does not begin with {ABOUT}")));
        }
        let mut text = Vec::new();
        entry.take(ABOUT_LIMIT).read_to_end(&mut text).map_err(|error| wrong(error.to_string()))?;
        Self::parse(from, &text)
    }

    /// Unpacks an archive into a new folder. The archive may come from an untrusted source. Therefore only a limited
    /// number of regular files inside the folder is written.
    pub fn unpack(from: &Path, into: &Path) -> Result<(), BundleError> {
        Self::about(from)?;
        let wrong = |reason: String| BundleError::Wrong { path: from.display().to_string(), reason };
        let read = file_error("read", from);
        if into.symlink_metadata().is_ok() {
            let exists = io::Error::new(io::ErrorKind::AlreadyExists, "it is there already; name a new folder");
            return Err(file_error("unpack into", into)(exists));
        }
        let mut archive = tar::Archive::new(File::open(from).map_err(&read)?);
        let mut bytes = 0_u64;
        for (number, entry) in archive.entries().map_err(&read)?.enumerate() {
            let mut entry = entry.map_err(|error| wrong(error.to_string()))?;
            let path = entry.path().map_err(|error| wrong(error.to_string()))?.into_owned();
            bytes = bytes.saturating_add(entry.size());
            if number >= FILES_LIMIT || bytes > BYTES_LIMIT {
                return Err(wrong("it is too large".to_owned()));
            }
            if !entry.header().entry_type().is_file() || !path.components().all(|it| matches!(it, Component::Normal(_)))
            {
                return Err(wrong(format!("{} is no regular file in it", path.display())));
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(|error| wrong(error.to_string()))?;
            write_new(&into.join(&path), &content)?;
        }
        Ok(())
    }

    fn parse(from: &Path, text: &[u8]) -> Result<Self, BundleError> {
        let path = from.display().to_string();
        let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let theirs = value["format"].as_u64().unwrap_or_default();
        if theirs != u64::from(FORMAT) && theirs != 0 {
            let version = value["parallax"].as_str().unwrap_or("of an unknown version").to_owned();
            return Err(BundleError::Format { path, theirs, version });
        }
        serde_json::from_value(value).map_err(|error| BundleError::Wrong { path, reason: error.to_string() })
    }

    /// Returns the differences between the machine of the run and this machine, one sentence for each difference.
    /// `images` describes the images of this machine in the same form as the field `images` of the bundle.
    pub fn differences(&self, images: &BTreeMap<String, String>) -> Vec<String> {
        let mut all = Vec::new();
        let ours = env!("CARGO_PKG_VERSION");
        if self.parallax != ours {
            all.push(format!("parallax {} ran there, and this is {ours}", self.parallax));
        }
        for (name, then) in &self.images {
            match images.get(name) {
                Some(now) if now == then => {}
                Some(now) => all.push(format!("image {name} is another one: there {then}, here {now}")),
                None => all.push(format!("image {name} ({then}) is not known here")),
            }
        }
        for name in images.keys().filter(|name| !self.images.contains_key(*name)) {
            all.push(format!("image {name} was not needed there"));
        }
        for file in &self.redacted {
            all.push(format!(
                "{file} contained a secret of the run, which was replaced: the scenario may do something else"
            ));
        }
        all
    }
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let failed = file_error("write", path);
    let folder: PathBuf = path.parent().unwrap_or(Path::new(".")).to_owned();
    fs::create_dir_all(&folder).map_err(&failed)?;
    let mut file = File::create_new(path).map_err(&failed)?;
    file.write_all(content).map_err(&failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let failed = Failed { variant: "a/b+c".into(), step: Some("get".to_owned()), seed: Some(7) };
        let images = BTreeMap::from([("minio".to_owned(), "minio:1".to_owned())]);
        Bundle::new(RunId::new("r1"), ("auto".to_owned(), Versions::default()), vec![failed], images)
    }

    #[test]
    fn what_was_packed_is_unpacked_into_a_new_folder() {
        let home = tempfile::tempdir().expect("a folder");
        let (file, into) = (home.path().join(FILE), home.path().join("new"));
        // The path is longer than the 100 bytes of a name in a tar header, so the archive needs an extension for it.
        let long = format!("project/scenarios/{}/scenario.yaml", "deep/".repeat(60));
        bundle().write(&file, &[(long.clone(), b"name: b".to_vec())]).expect("written");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(Bundle::about(&file).expect("read"), bundle());
        Bundle::unpack(&file, &into).expect("unpacked");
        assert_eq!(fs::read(into.join(long)).expect("there"), b"name: b");
        let again = Bundle::unpack(&file, &into).expect_err("it is there").to_string();
        assert!(again.contains("it is there already"), "{again}");
    }

    #[test]
    fn a_strangers_archive_writes_nothing_outside_its_folder() {
        let home = tempfile::tempdir().expect("a folder");
        let about = serde_json::to_vec(&bundle()).expect("JSON");
        let entry = |path: &str, kind: tar::EntryType| {
            let mut header = tar::Header::new_gnu();
            // The method `set_path` of the tar library refuses paths that leave the folder. So the test writes the
            // bytes of the path itself, as an attacker could do.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o600);
            if kind == tar::EntryType::Symlink {
                header.set_link_name("/etc").expect("a name");
            }
            header.set_cksum();
            header
        };
        for (name, header) in [
            ("up", entry("../outside", tar::EntryType::Regular)),
            ("root", entry("/tmp/parallax-outside", tar::EntryType::Regular)),
            ("link", entry("project", tar::EntryType::Symlink)),
        ] {
            let file = home.path().join(format!("{name}.tar"));
            let mut archive = tar::Builder::new(File::create(&file).expect("made"));
            let mut first = tar::Header::new_gnu();
            first.set_size(about.len() as u64);
            first.set_mode(0o600);
            archive.append_data(&mut first, ABOUT, about.as_slice()).expect("written");
            archive.append(&header, io::empty()).expect("written");
            archive.finish().expect("written");
            let error = Bundle::unpack(&file, &home.path().join(name)).expect_err("refused").to_string();
            assert!(error.contains("is no regular file in it"), "{name}: {error}");
        }
        assert!(!home.path().join("outside").exists());
        fs::write(home.path().join("text"), "no archive at all".repeat(100)).expect("written");
        assert!(Bundle::unpack(&home.path().join("text"), &home.path().join("text-out")).is_err());
    }

    #[test]
    fn another_version_or_image_is_said() {
        let images = |minio: &str| BTreeMap::from([("minio".to_owned(), minio.to_owned())]);
        assert_eq!(bundle().differences(&images("minio:1")), Vec::<String>::new());
        assert_eq!(
            bundle().differences(&images("minio:2")),
            ["image minio is another one: there minio:1, here minio:2"]
        );
        assert_eq!(bundle().differences(&BTreeMap::new()), ["image minio (minio:1) is not known here"]);
        let old = Bundle { parallax: "0.0.1".to_owned(), redacted: vec!["f".to_owned()], ..bundle() };
        let all = old.differences(&images("minio:1"));
        assert!(all[0].contains("parallax 0.0.1 ran there") && all[1].starts_with("f contained a secret"), "{all:?}");
    }
}
