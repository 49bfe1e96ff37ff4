//! Layers that Parallax writes itself: files, links and directories in a tar file. The bytes of the tar file depend
//! only on the recipe, and not on the machine or the time.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use super::error::ImageError;

/// One entry of a layer. All paths in the image are relative to `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A regular file. Its content is that of the file `source` on this machine.
    File { path: String, source: PathBuf, executable: bool },
    /// A symbolic link.
    Link { path: String, target: String },
    /// A directory with its mode.
    Directory { path: String, mode: u32 },
}

impl Entry {
    /// The path of the entry in the image.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } | Self::Directory { path, .. } => path,
        }
    }
}

/// Writes the tar file of a layer. The entries are sorted by path, belong to root, and have the date 1970. A parent
/// directory gets no entry of its own, because such an entry could change the mode of the directory in a lower layer.
pub(super) fn write(
    mut entries: Vec<Entry>,
    merged_usr: bool,
    out: impl Write,
    cancel: &CancellationToken,
) -> io::Result<()> {
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    let mut tar = Builder::new(out);
    for entry in entries {
        let path = if merged_usr { through_usr(entry.path()) } else { entry.path().to_owned() };
        match entry {
            Entry::File { source, executable, .. } => {
                let file = File::open(&source)?;
                let mode = if executable { 0o755 } else { 0o644 };
                let mut header = header(EntryType::Regular, mode, file.metadata()?.len());
                tar.append_data(&mut header, path, Interruptible { inner: file, cancel })?;
            }
            Entry::Link { target, .. } => {
                tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?;
            }
            Entry::Directory { mode, .. } => {
                tar.append_data(&mut header(EntryType::Directory, mode, 0), path, io::empty())?;
            }
        }
    }
    tar.finish()
}

/// Copies files into a folder. Each pair has the path below `folder` and the source file.
pub(super) fn copy(files: &[(String, PathBuf)], folder: &Path) -> Result<(), ImageError> {
    for (path, from) in files {
        let to = folder.join(path);
        let parent = to.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(ImageError::cache("make", parent))?;
        fs::copy(from, &to).map_err(ImageError::cache("copy", from))?;
    }
    Ok(())
}

/// A tar header that contains nothing about this machine or the present time.
pub(super) fn header(kind: EntryType, mode: u32, size_bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes);
    header
}

/// The real path of a file in an image in which `/bin`, `/lib` and similar directories are links into `/usr`:
/// `usr/bin/x` for `bin/x`.
fn through_usr(path: &str) -> String {
    match path.split('/').next() {
        Some("bin" | "sbin" | "lib" | "lib32" | "lib64" | "libx32") => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// Every regular file below a folder, with its path relative to the folder, sorted. Two things are errors: a name that
/// is not UTF-8, and an entry that is neither a file nor a folder. Such an entry would not be the same on every
/// machine.
pub(super) fn files_below(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1) {
        let entry = entry?;
        let refuse = |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", entry.path().display()));
        let path = entry.path().strip_prefix(folder).ok().and_then(Path::to_str);
        let path = path.ok_or_else(|| refuse("the name is not UTF-8"))?.to_owned();
        let kind = entry.file_type();
        if kind.is_file() {
            found.push((path, entry.into_path()));
        } else if !kind.is_dir() {
            return Err(refuse("neither a file nor a folder; links are written as a `links` layer"));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the owner of a file may execute it.
pub(super) fn is_executable(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o100 != 0)
}

/// A reader that returns an error when the run is interrupted. A blocking task does not end when its future is dropped,
/// so the reader must end the task.
pub(super) struct Interruptible<'a, R> {
    pub(super) inner: R,
    pub(super) cancel: &'a CancellationToken,
}

impl<R: Read> Read for Interruptible<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other(Cancelled));
        }
        self.inner.read(buffer)
    }
}

/// The error that an interrupted reader returns. It does not use the kind `ErrorKind::Interrupted`, because `io::copy`
/// tries again after an error of this kind.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Cancelled;

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().expect("a tar");
        entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                let header = entry.header();
                assert_eq!((header.uid().ok(), header.gid().ok(), header.mtime().ok()), (Some(0), Some(0), Some(0)));
                let link = entry.link_name().expect("a name").map(|to| format!(" -> {}", to.display()));
                format!(
                    "{:o} {} {}{}",
                    header.mode().expect("a mode"),
                    entry.size(),
                    entry.path().expect("a path").display(),
                    link.unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn a_layer_is_sorted_owned_by_root_and_dated_1970() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("source");
        fs::write(&source, "hello").expect("written");
        let long = format!("opt/{}/end", "x".repeat(150));
        let entries = vec![
            Entry::Link { path: "usr/local/bin/kubelet".into(), target: "kube".into() },
            Entry::File { path: "bin/k3s".into(), source: source.clone(), executable: true },
            Entry::File { path: long.clone(), source, executable: false },
            Entry::Directory { path: "tmp".into(), mode: 0o1777 },
        ];
        let write_once = |entries: Vec<Entry>, merged| {
            let mut bytes = Vec::new();
            write(entries, merged, &mut bytes, &CancellationToken::new()).expect("written");
            bytes
        };
        let plain = write_once(entries.clone(), false);
        let long_line = format!("644 5 {long}");
        let expected = ["755 5 bin/k3s", long_line.as_str(), "1777 0 tmp", "777 0 usr/local/bin/kubelet -> kube"];
        assert_eq!(listing(&plain), expected);
        let mut shuffled = entries.clone();
        shuffled.reverse();
        assert_eq!(write_once(shuffled, false), plain, "the order of the recipe does not matter");
        assert_eq!(listing(&write_once(entries, true))[0], "755 5 usr/bin/k3s");
    }

    #[test]
    fn an_interrupted_layer_ends_in_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("source");
        fs::write(&source, "hello").expect("written");
        let cancel = CancellationToken::new();
        cancel.cancel();
        let entries = vec![Entry::File { path: "a".into(), source, executable: true }];
        assert!(write(entries, false, Vec::new(), &cancel).is_err());
    }

    #[test]
    fn files_below_a_folder_are_found_and_links_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("etc/deep")).expect("made");
        fs::write(folder.path().join("etc/deep/b"), "").expect("written");
        fs::write(folder.path().join("a"), "").expect("written");
        let paths: Vec<_> = files_below(folder.path()).expect("found").into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "etc/deep/b"]);
        std::os::unix::fs::symlink("a", folder.path().join("link")).expect("linked");
        assert!(files_below(folder.path()).is_err());
    }
}
