//! Imports the image archives in k3s's image folder before the kubelet starts, as k3s does.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures::{StreamExt, TryStreamExt};
use tokio::process::Command;

use crate::error::NodeError;
use crate::paths;
use crate::settings::Snapshotter;

/// The file name endings of image archives that containerd can read.
const ENDINGS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];
/// The number of archives that are imported at the same time. More would not be faster, because unpacking is limited by
/// the processor.
const CONCURRENT_IMPORTS: usize = 3;

/// Imports every image archive in k3s's image folder, and returns the number of archives. A failed import is an error,
/// because a pod that waits for a missing image gives a much less clear message.
pub(crate) async fn import_all(snapshotter: Snapshotter) -> Result<usize, NodeError> {
    let archives = archives(Path::new(paths::IMAGES)).map_err(NodeError::file("list", paths::IMAGES))?;
    let count = archives.len();
    futures::stream::iter(archives)
        .map(|archive| import(archive, snapshotter))
        .buffer_unordered(CONCURRENT_IMPORTS)
        .try_collect::<()>()
        .await?;
    Ok(count)
}

/// The paths of the image archives in a folder, sorted.
fn archives(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

async fn import(archive: PathBuf, snapshotter: Snapshotter) -> Result<(), NodeError> {
    let output = Command::new("ctr")
        .args(["--address", paths::CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import"])
        .args(["--snapshotter", snapshotter.name()])
        .arg(&archive)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let reason = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(NodeError::Import { path: archive, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_archives_are_imported() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["b.tar", "a.tar.gz", "c.tar.zst", "d.tgz", "notes.txt", "e.tar.part"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = archives(folder.path()).expect("listed");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.tar.gz", "b.tar", "c.tar.zst", "d.tgz"]);
    }
}
