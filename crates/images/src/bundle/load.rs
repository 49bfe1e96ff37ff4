//! Loads a bundle: the built images into the cache, and what containers need into the engine.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use parallax_record::{Setup, Sink};
use tokio_util::sync::CancellationToken;

use super::fault::BundleFault;
use super::format::Image;
use super::read::{self, Unread, Verified};
use crate::archive::{self, Identity};
use crate::binaries::Binaries;
use crate::cache::Cache;
use crate::digest::{self, CHUNK_BYTES};
use crate::error::ImageError;
use crate::layer::{For, Prepared};
use crate::lock::{Entry, Lock, NODE};
use crate::obtain::Want;
use crate::store::ImageStore;

/// What [`load`] needs from this machine.
pub struct Here<'a> {
    /// The list of images from `images.lock`.
    pub lock: &'a Lock,
    /// The static programs of Parallax.
    pub binaries: &'a Binaries,
    /// The cache of layers and archives.
    pub cache: &'a Cache,
    /// Access to the images of the engine.
    pub store: &'a dyn ImageStore,
}

/// What was loaded from a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The references of the images that were loaded, or that this machine had already.
    pub images: Vec<String>,
    /// The size of the bundle in bytes.
    pub bytes: u64,
    /// The references of the images in the bundle that are not in the caller's list of wanted images.
    pub unused: Vec<String>,
    /// The names of the wanted images that the bundle lacks. Always empty if the caller demanded all images (parameter
    /// `all` of [`load`]).
    pub lacking: Vec<String>,
}

/// Loads the images in `wanted` from a bundle, so that a run finds them without a network. The whole bundle is verified
/// before anything is loaded.
///
/// If the bundle lacks a wanted image, `all` decides: with true, this is an error, and nothing is loaded; with false,
/// the image is reported in [`Loaded::lacking`]. Two cases are always errors: the bundle has another build of a wanted
/// image, or it has none of the wanted images.
pub async fn load(
    here: &Here<'_>,
    file: &Path,
    wanted: &[Want],
    all: bool,
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<Loaded, ImageError> {
    let setup = sink.setup("bundle", "the image bundle");
    let read = async {
        let verified = verified(file, &setup, &cancel).await?;
        let (found, lacking) = chosen(here, (file, &verified), wanted, all).await?;
        Ok((verified, found, lacking))
    };
    let (verified, found, lacking) = match read.await {
        Ok(read) => read,
        Err(error) => {
            setup.failed(ImageError::failure(&error));
            return Err(error);
        }
    };
    let megabytes = verified.bytes.div_ceil(1_000_000);
    setup.done(format!("{} images, {megabytes} MB, each blob as its digest says", verified.images.len()));
    let is_used = |image: &&Image| found.iter().any(|it| it.image.reference == image.reference);
    let unused = verified.images.iter().filter(|it| !is_used(it)).map(|it| it.reference.clone()).collect();
    let mut images = Vec::new();
    for one in &found {
        let name = &one.want.name;
        let setup = sink.setup(format!("image/{name}"), one.entry.purpose.clone());
        match one.load(here, &setup, &cancel).await {
            Ok(()) => setup.done(format!("from the bundle: {}", one.image.reference)),
            Err(error) => {
                setup.failed(error.failure());
                return Err(error);
            }
        }
        images.push(one.image.reference.clone());
    }
    Ok(Loaded { images, bytes: verified.bytes, unused, lacking })
}

async fn verified(file: &Path, setup: &Setup, cancel: &CancellationToken) -> Result<Verified, ImageError> {
    setup.progress(format!("verifying {}", file.display()));
    let (path, stop) = (file.to_owned(), cancel.clone());
    let read = tokio::task::spawn_blocking(move || read::read(&path, &stop)).await;
    let read = read.unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic()));
    if cancel.is_cancelled() {
        return Err(ImageError::Cancelled);
    }
    read.map_err(|error| match error {
        Unread::Io(source) => ImageError::Unreadable { file: file.to_owned(), source },
        Unread::Fault(fault) => ImageError::Bundle { file: file.to_owned(), fault },
    })
}

/// A wanted image that is in the bundle and that is loaded.
struct Found<'a> {
    want: &'a Want,
    entry: &'a Entry,
    image: Image,
    /// The recipe of the image with its hashes. `None` if the bundle has the published image.
    built: Option<Prepared>,
}

/// Finds each wanted image in the bundle. Also returns the names of the wanted images that the bundle lacks.
async fn chosen<'a>(
    here: &Here<'a>,
    (file, bundle): (&Path, &Verified),
    wanted: &'a [Want],
    all: bool,
) -> Result<(Vec<Found<'a>>, Vec<String>), ImageError> {
    let (mut found, mut lacking, mut others, mut absent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let node = here.lock.entry(NODE).ok();
    let has_published_node = node.is_some_and(|node| published_in(bundle, node).is_some());
    for want in wanted {
        let entry = here.lock.entry(&want.name)?;
        if let Some(image) = published_in(bundle, entry) {
            found.push(Found { want, entry, image: image.clone(), built: None });
            continue;
        }
        let prepared = Prepared::of(entry, here.binaries, here.cache).await?;
        let tag = prepared.as_ref().map(|it| it.tag.clone());
        if let Some(image) = bundle.images.iter().find(|it| Some(&it.reference) == tag.as_ref()) {
            found.push(Found { want, entry, image: image.clone(), built: prepared });
            continue;
        }
        if has_published_node && entry.within.as_ref().is_some_and(|within| within.value == NODE) {
            continue;
        }
        let other = entry.published().and_then(|it| other_of(bundle, it));
        let other = other.or_else(|| other_of(bundle, tag.as_deref()?));
        let digest = entry.digest.as_ref().map(|digest| format!("@{}", digest.value)).unwrap_or_default();
        let published = entry.published().map(|reference| format!("{reference}{digest}"));
        let expected: Vec<String> = [published, tag].into_iter().flatten().collect();
        lacking.push(want.name.clone());
        let words = format!("{} as {}", want.name, expected.join(" or "));
        match other {
            Some(other) => others.push(format!("{words} (it has {other})")),
            None => absent.push(words),
        }
    }
    if all && !lacking.is_empty() || !others.is_empty() || found.is_empty() {
        // Without `all`, the bundle may be made for some of the scenarios only, so a missing image is not an error.
        // Another build of an image is always an error, and so is a bundle with no wanted image.
        let words = if all || others.is_empty() { [others, absent].concat() } else { others };
        return Err(ImageError::Bundle { file: file.to_owned(), fault: BundleFault::Lacks(words) });
    }
    Ok((found, lacking))
}

/// Finds the published image of an entry of `images.lock` in the bundle. If the entry has a digest, the image must have
/// this digest. `None` if there is no such image.
fn published_in<'a>(bundle: &'a Verified, entry: &Entry) -> Option<&'a Image> {
    let digest = entry.digest.as_ref().map(|digest| &digest.value);
    let is_it = |it: &&Image| {
        Some(it.reference.as_str()) == entry.published() && digest.is_none_or(|_| it.pinned.as_ref() == digest)
    };
    bundle.images.iter().find(is_it)
}

/// The name of an image in the bundle that is another version or another build of the image `reference`: both have the
/// same repository. The caller has already searched for `reference` itself and has not found it.
fn other_of(bundle: &Verified, reference: &str) -> Option<String> {
    let repository = |reference: &str| reference.rsplit_once(':').map_or(reference, |(it, _)| it).to_owned();
    bundle.images.iter().find(|it| repository(&it.reference) == repository(reference)).map(Image::name)
}

impl Found<'_> {
    async fn load(&self, here: &Here<'_>, setup: &Setup, cancel: &CancellationToken) -> Result<(), ImageError> {
        match &self.built {
            Some(prepared) => {
                if self.want.archive {
                    self.keep(here, prepared, For::Node, setup, cancel).await?;
                }
                if self.want.engine {
                    let archive = self.keep(here, prepared, For::Engine, setup, cancel).await?;
                    self.give_to_engine(here, &archive, setup, cancel).await?;
                }
                Ok(())
            }
            None => self.load_published(here, setup, cancel).await,
        }
    }

    /// Writes the archive of a built image to the cache, unless the cache already has the archive. Returns the path of
    /// the archive.
    async fn keep(
        &self,
        here: &Here<'_>,
        prepared: &Prepared,
        of: For,
        setup: &Setup,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, ImageError> {
        let path = prepared.archive(of);
        let what = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let waits = || setup.progress("another run is building it; waiting for that");
        let _lock = here.cache.lock(&what, waits, cancel).await?;
        if here.cache.has(&path).await {
            return Ok(path);
        }
        setup.progress("writing it to the cache");
        let temporary = here.cache.temporary()?;
        let finished = temporary.path().join("finished.tar");
        self.write(prepared.tags(of), &finished, cancel).await?;
        Cache::keep(&finished, &path).await?;
        Ok(path)
    }

    /// Loads a published image into the engine. If `images.lock` states its digest, the archive is also kept in the
    /// cache. The engine knows no digest of an image that was loaded from an archive, so a later run compares the image
    /// with the archive in the cache.
    async fn load_published(
        &self,
        here: &Here<'_>,
        setup: &Setup,
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        let temporary = here.cache.temporary()?;
        let finished = temporary.path().join("finished.tar");
        setup.progress("writing it to the cache");
        self.write(vec![self.image.reference.clone()], &finished, cancel).await?;
        self.give_to_engine(here, &finished, setup, cancel).await?;
        match &self.image.pinned {
            Some(digest) => Cache::keep(&finished, &here.cache.bundled(&self.want.name, digest)).await,
            None => Ok(()),
        }
    }

    async fn write(&self, tags: Vec<String>, to: &Path, cancel: &CancellationToken) -> Result<(), ImageError> {
        let (image, path, stop) = (self.image.clone(), to.to_owned(), cancel.clone());
        let written = tokio::task::spawn_blocking(move || -> io::Result<()> {
            let mut out = BufWriter::with_capacity(CHUNK_BYTES, File::create(&path)?);
            archive::assemble(&tags, &image.config, &image.layers, &mut out, &stop)?;
            out.flush()
        });
        let written = written.await.unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic()));
        if cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        written.map_err(ImageError::cache("write", to))
    }

    /// Loads an archive into the engine, unless the engine already has the image. Returns an error if the engine does
    /// not have the image afterwards.
    async fn give_to_engine(
        &self,
        here: &Here<'_>,
        archive: &Path,
        setup: &Setup,
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        let fault = |doing, message| ImageError::Engine { image: self.want.name.clone(), doing, message };
        let reference = &self.image.reference;
        let Identity { id, layers } = self.identity();
        let has = async || {
            let asked = here.store.is_built(reference, &id, &layers).await;
            asked.map_err(|message| fault("be asked what it is made of", message))
        };
        if has().await? {
            return Ok(());
        }
        setup.progress("loading it into the engine");
        tokio::select! {
            () = cancel.cancelled() => return Err(ImageError::Cancelled),
            loaded = here.store.load(archive) => loaded.map_err(|message| fault("load it", message))?,
        }
        if has().await? {
            return Ok(());
        }
        Err(fault("load it", format!("{reference} is not there afterwards, or is another image")))
    }

    fn identity(&self) -> Identity {
        let layers = self.image.layers.iter().map(|it| format!("sha256:{}", it.digest)).collect();
        Identity { id: format!("sha256:{}", digest::of_bytes(&self.image.config)), layers }
    }
}

#[cfg(test)]
mod tests;
