//! Writes a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parallax_record::Sink;
use tar::Builder;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::format::{self, INDEX, Image, LAYOUT};
use super::saved;
use crate::archive::{append, append_layer};
use crate::cache::Cache;
use crate::digest::{self, CHUNK_BYTES};
use crate::error::ImageError;
use crate::lock::Lock;
use crate::obtain::Obtained;

/// The description of a bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// The reference of each image, by the name of the image in images.lock.
    pub images: BTreeMap<String, String>,
    /// The size of the bundle in bytes.
    pub bytes: u64,
    /// The SHA-256 of the bundle, in lower-case hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
}

/// Writes the obtained images to the file `out`. An image without an archive is left out, because another image, which
/// is published, already contains it. The file gets the name `out` only when it is complete.
pub async fn bundle(
    lock: &Lock,
    cache: &Cache,
    obtained: &BTreeMap<String, Obtained>,
    out: &Path,
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<Bundled, ImageError> {
    let setup = sink.setup("bundle", "the image bundle");
    let temporary = cache.temporary()?;
    let mut wanted = Vec::new();
    for image in obtained.values() {
        let Some(archive) = &image.archive else { continue };
        let digest = lock.entry(&image.name)?.digest.as_ref().map(|digest| digest.value.clone());
        let pinned = digest.filter(|_| image.published);
        wanted.push((image.reference.clone(), pinned, archive.clone()));
    }
    let images = obtained.values().filter(|it| it.archive.is_some());
    let images = images.map(|it| (it.name.clone(), it.reference.clone())).collect();
    setup.progress(format!("writing {} images", wanted.len()));
    let (to, scratch, stop) = (out.to_owned(), temporary.path().to_owned(), cancel.clone());
    let written = tokio::task::spawn_blocking(move || {
        let read = read_all(wanted, &scratch, &stop)?;
        let (bytes, sha256) = to_file(&read, &to, &stop).map_err(unwritten(&to))?;
        Ok((bytes, sha256))
    });
    let written = written.await.unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic()));
    let written = if cancel.is_cancelled() { Err(ImageError::Cancelled) } else { written };
    match written {
        Ok((bytes, sha256)) => {
            setup.done(format!("{} MB in {}", bytes.div_ceil(1_000_000), out.display()));
            Ok(Bundled { images, bytes, sha256 })
        }
        Err(error) => {
            setup.failed(error.failure());
            Err(error)
        }
    }
}

/// Reads the config and the layers of each archive. `wanted` contains, for each image, its reference, its digest in the
/// registry if it is known, and its archive.
fn read_all(
    wanted: Vec<(String, Option<String>, PathBuf)>,
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<Image>, ImageError> {
    let mut images = Vec::new();
    for (index, (reference, pinned, archive)) in wanted.into_iter().enumerate() {
        let folder = scratch.join(index.to_string());
        fs::create_dir(&folder).map_err(ImageError::cache("make", &folder))?;
        let read = saved::read(&archive, &folder, cancel);
        let (config, layers) = read.map_err(ImageError::cache("read", &archive))?;
        images.push(Image { reference, pinned, config, layers });
    }
    // The images are sorted by their references. A bundle does not contain the names in images.lock. Therefore the
    // order of these names must not influence the bytes of the bundle.
    images.sort_by(|a, b| a.reference.cmp(&b.reference));
    Ok(images)
}

/// Writes a bundle to a temporary file beside `out`, and then renames it. Returns its size and its SHA-256.
fn to_file(images: &[Image], out: &Path, cancel: &CancellationToken) -> io::Result<(u64, String)> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    let mut buffer = BufWriter::with_capacity(CHUNK_BYTES, file.as_file_mut());
    write(images, &mut buffer, cancel)?;
    buffer.flush()?;
    drop(buffer);
    fs::set_permissions(file.path(), Permissions::from_mode(0o644))?;
    let sha256 = digest::of_file(file.path())?;
    let file: File = file.persist(out).map_err(|error| error.error)?;
    Ok((file.metadata()?.len(), sha256))
}

/// Writes a bundle: the layout, the index, and for each image in the order of the index its manifest, its config and
/// its layers. A blob that occurs twice is written once.
pub(super) fn write(images: &[Image], out: impl Write, cancel: &CancellationToken) -> io::Result<()> {
    let mut tar = Builder::new(out);
    append(&mut tar, LAYOUT.0, LAYOUT.1)?;
    append(&mut tar, INDEX, &format::index(images))?;
    let mut written = BTreeSet::new();
    for image in images {
        for blob in [&image.manifest(), &image.config] {
            let sha256 = digest::of_bytes(blob);
            if written.insert(sha256.clone()) {
                append(&mut tar, &format::blob(&sha256), blob)?;
            }
        }
        for layer in &image.layers {
            if written.insert(layer.digest.clone()) {
                append_layer(&mut tar, &format::blob(&layer.digest), layer, cancel)?;
            }
        }
    }
    tar.finish()
}

fn unwritten(file: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let file = file.to_owned();
    move |source| ImageError::Unwritten { file, source }
}
