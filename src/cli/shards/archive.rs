//! Packs the folders `scenarios`, `fixtures` and `images` of a project into one archive, and the charts and kustomizations
//! of the run with the objects that were made of them. Fails if the archive is too large for a `ConfigMap`.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};
use walkdir::WalkDir;

use crate::cli::wiring::ReadyMade;

/// The folders of a project that the archive contains.
const FOLDERS: [&str; 3] = ["scenarios", "fixtures", "images"];
/// The folder of the archive with the objects that were made of charts on this machine.
pub(super) const OBJECTS: &str = "ready-made-objects";
/// The largest size of the archive, in bytes. The apiserver refuses a `ConfigMap` with more than 1 MiB of data.
const BYTES_LIMIT: usize = 1024 * 1024;

/// The reason why the archive of a project could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// A file could not be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The path of the file that could not be read.
        path: PathBuf,
        /// The I/O error that caused the failure.
        source: io::Error,
    },
    /// The archive is too large, so the apiserver would refuse it.
    #[error(
        "the project's files have {bytes} bytes, compressed, and a ConfigMap holds {BYTES_LIMIT}; put the project into the image and name its folder with --project-in-image"
    )]
    TooLarge {
        /// The size of the archive, in bytes.
        bytes: usize,
    },
}

/// Returns a compressed tar archive of the project's regular files. The same files always give the same bytes, so that
/// the manifest does not change without a reason.
pub(super) fn of_project(root: &Path, made: &ReadyMade) -> Result<Vec<u8>, ArchiveError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| ArchiveError::Read { path, source }
    };
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut packed = BTreeSet::new();
    for folder in FOLDERS.map(|name| root.join(name)).iter().filter(|folder| folder.is_dir()) {
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(|error| failed(folder)(error.into()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let path = entry.path();
            let content = std::fs::read(path).map_err(failed(path))?;
            let executable = entry.metadata().is_ok_and(|about| about.permissions().mode() & 0o100 != 0);
            let name = path.strip_prefix(root).unwrap_or(path);
            append(&mut archive, name, &content, executable).map_err(failed(path))?;
            packed.insert(name.to_owned());
        }
    }
    // A file of a chart may also be a symbolic link, which the loop above does not pack.
    for (path, content) in made.files.iter().filter(|(path, _)| !packed.contains(Path::new(path))) {
        append(&mut archive, Path::new(path), content, false).map_err(failed(Path::new(path)))?;
    }
    for (name, output) in &made.outputs {
        let path = Path::new(OBJECTS).join(name);
        append(&mut archive, &path, output.as_bytes(), false).map_err(failed(&path))?;
    }
    let whole = archive.into_inner().and_then(GzEncoder::finish).map_err(failed(root))?;
    if whole.len() > BYTES_LIMIT {
        return Err(ArchiveError::TooLarge { bytes: whole.len() });
    }
    Ok(whole)
}

fn append(archive: &mut Builder<impl io::Write>, path: &Path, content: &[u8], executable: bool) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
    header.set_mode(if executable { 0o755 } else { 0o644 });
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_projects_files_come_back_and_nothing_else() {
        let home = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("scenarios/a/scenario.yaml", "name: a");
        write("scenarios/a/look", "#!/bin/sh");
        write("fixtures/b/fixture.yaml", "name: b");
        write("target/e2e/r1/record.jsonl", "{}");
        write("secret.env", "KEY=1");
        let look = home.path().join("scenarios/a/look");
        fs::set_permissions(&look, fs::Permissions::from_mode(0o755)).expect("executable");
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("scenarios/link")).expect("linked");
        let files = [
            ("scenarios/a/look", "not twice"),
            ("charts/app/Chart.yaml", "name: app"),
            ("scenarios/link", "of a chart"),
        ];
        let made = ReadyMade {
            outputs: [("0a.yaml".to_owned(), "kind: ConfigMap".to_owned())].into(),
            files: files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into(),
        };
        let bytes = of_project(home.path(), &made).expect("an archive");
        assert_eq!(bytes, of_project(home.path(), &made).expect("an archive"), "the same bytes each time");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let entries = archive.entries().expect("an archive").map(|entry| {
            let entry = entry.expect("an entry");
            (entry.path().expect("a path").display().to_string(), entry.header().mode().expect("a mode"))
        });
        let expected = [
            ("scenarios/a/look", 0o755),
            ("scenarios/a/scenario.yaml", 0o644),
            ("fixtures/b/fixture.yaml", 0o644),
            ("charts/app/Chart.yaml", 0o644),
            ("scenarios/link", 0o644),
            ("ready-made-objects/0a.yaml", 0o644),
        ];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn a_project_that_is_too_large_is_refused_with_the_way_out() {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("scenarios")).expect("made");
        // The content of the file is pseudo-random, because such bytes cannot be compressed. Therefore the archive
        // exceeds the limit.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(BYTES_LIMIT + 1)
        .collect();
        fs::write(home.path().join("scenarios/data"), noise).expect("written");
        let said = of_project(home.path(), &ReadyMade::default()).expect_err("too large").to_string();
        assert!(said.contains("--project-in-image"), "{said}");
    }
}
