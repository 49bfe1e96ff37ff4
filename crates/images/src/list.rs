//! The functions behind the user's commands for images (`parallax images`): list them, build them, and prune the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::binaries::Binaries;
use super::cache::{Cache, Pruned};
use super::error::ImageError;
use super::layer::{For, Prepared, REGISTRY};
use super::lock::Lock;
use super::obtain::{Obtained, Request, Want, obtain};
use super::store::ImageStore;
use super::supply::K3s;
use parallax_record::Sink;

/// One image of `images.lock`, with its state on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The name of the image.
    pub name: String,
    /// The version by which a user can choose the image; `None` if it has no such name.
    pub version: Option<String>,
    /// The purpose of the image, in one sentence.
    pub purpose: String,
    /// The reference under which the image is published; `None` if it is not published.
    pub reference: Option<String>,
    /// The digest (`sha256:…`) by which `images.lock` pins the published image; `None` if only the tag pins it.
    pub digest: Option<String>,
    /// The digests of the published image that is in the engine. Empty if the engine does not have the image, or if
    /// the image came from an archive.
    pub held: Vec<String>,
    /// The path of the recipe's folder; `None` if the image has no recipe.
    pub recipe: Option<String>,
    /// The tag of the image that the present recipe builds; `None` if the image has no recipe, or the tag is not known.
    pub built: Option<String>,
    /// The reason why the tag in `built` is not known: a program of this workspace, which is part of the image, is not
    /// built yet. Otherwise `None`.
    pub unknown: Option<String>,
    /// The places that have the image now; empty if it must be pulled or built.
    pub at: Vec<Place>,
}

/// A place that has an image now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The published image is in the engine.
    EnginePublished,
    /// The built image is in the engine.
    EngineBuilt,
    /// The archive of the built image is in the cache.
    Cache,
}

/// Lists every image, with the places that have it. Without an engine (`store` is `None`), only the cache is examined.
pub async fn list(
    lock: &Lock,
    binaries: &Binaries,
    cache: &Cache,
    store: Option<&dyn ImageStore>,
) -> Result<Vec<Row>, ImageError> {
    let mut rows = Vec::new();
    for entry in &lock.images {
        let name = entry.name.value.clone();
        let (prepared, unknown) = match Prepared::of(entry, binaries, cache).await {
            Ok(prepared) => (prepared, None),
            Err(error @ ImageError::Binary { .. }) => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        let built = prepared.as_ref().map(|prepared| prepared.tag.clone());
        let (mut at, mut held) = (Vec::new(), Vec::new());
        if let Some(store) = store {
            let fault = |message| ImageError::Engine { image: name.clone(), doing: "be asked for it", message };
            for (reference, place) in
                [(entry.published(), Place::EnginePublished), (built.as_deref(), Place::EngineBuilt)]
            {
                let Some(reference) = reference else { continue };
                let id = store.image_id(reference).await;
                if id.map_err(fault)?.is_none() {
                    continue;
                }
                at.push(place);
                if place == Place::EnginePublished {
                    held = store.digests(reference).await.map_err(fault)?;
                }
            }
        }
        if prepared.is_some_and(|prepared| [For::Engine, For::Node].iter().any(|of| prepared.archive(*of).is_file())) {
            at.push(Place::Cache);
        }
        rows.push(Row {
            name,
            version: entry.named_version().map(str::to_owned),
            purpose: entry.purpose.clone(),
            reference: entry.published().map(str::to_owned),
            digest: entry.digest.as_ref().map(|digest| digest.value.clone()),
            held,
            recipe: entry.recipe.as_ref().map(|recipe| recipe.value.clone()),
            built,
            unknown,
            at,
        });
    }
    Ok(rows)
}

/// Builds images from their recipes, without a request to an image registry. If `names` is empty, builds every image
/// that has a recipe. An image that is up to date is not built again.
pub async fn build(
    request: &Request<'_>,
    names: &[String],
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, Obtained>, ImageError> {
    let mut chosen = Vec::new();
    for name in names {
        let entry = request.lock.entry(name)?;
        if entry.recipe.is_none() {
            return Err(ImageError::NoRecipe { image: name.clone() });
        }
        chosen.push(entry);
    }
    if names.is_empty() {
        chosen.extend(request.lock.images.iter().filter(|entry| entry.recipe.is_some()));
    }
    let wants: Vec<Want> =
        chosen.into_iter().map(|entry| Want { name: entry.name.value.clone(), engine: false, archive: true }).collect();
    let request = Request { policy: K3s::Built, ..*request };
    obtain(&request, &wants, sink, cancel).await
}

/// All layers and images that the present recipes produce. Keep the value instead of computing it again, because the
/// computation hashes megabytes.
#[derive(Debug, Default)]
pub struct Present {
    /// The references of the images that the recipes build.
    tags: BTreeSet<String>,
    /// The paths of the images' archives and layers in the cache, and of the programs that were unpacked there.
    files: BTreeSet<PathBuf>,
    /// The names of the recipes that cannot be hashed now, because their images contain a program of this workspace that
    /// is not built. The tag of an image contains the name of its recipe.
    unknown: BTreeSet<String>,
}

impl Row {
    /// Whether the image is published, and `images.lock` pins it only by its tag. The registry can then change the
    /// image.
    pub fn is_pinned_by_tag_only(&self) -> bool {
        self.reference.is_some() && self.digest.is_none()
    }
}

impl Present {
    /// Reads all recipes, and hashes their inputs.
    pub fn of(lock: &Lock, binaries: &Binaries, cache: &Cache) -> Self {
        let mut present = Self::default();
        present.files.extend(binaries.unpacked(cache));
        for entry in lock.images.iter().chain(&lock.others) {
            present.files.extend(entry.digest.as_ref().map(|digest| cache.bundled(&entry.name.value, &digest.value)));
            match Prepared::new(entry, binaries, cache) {
                Ok(Some(prepared)) => {
                    present.files.extend([For::Engine, For::Node].map(|of| prepared.archive(of)));
                    present.files.extend(prepared.layers);
                    present.tags.insert(prepared.tag);
                }
                Ok(None) => {}
                Err(_) => present.unknown.extend(entry.recipe.as_ref().map(|recipe| recipe.value.clone())),
            }
        }
        present
    }

    /// A pattern (as in `docker images PATTERN`) that matches the references of all built images in the engine.
    pub fn pattern() -> String {
        format!("{REGISTRY}/*")
    }

    /// Returns the references in `all` that no present recipe produces, because the recipe or its inputs have changed.
    /// `all` contains only references of built images. An image whose recipe cannot be hashed now is never returned,
    /// because it may be up to date.
    pub fn outdated(&self, all: &[String]) -> Vec<String> {
        let name = |reference: &str| {
            let path = reference.rsplit('/').next().unwrap_or_default();
            path.split(':').next().unwrap_or_default().to_owned()
        };
        all.iter().filter(|it| !self.tags.contains(*it) && !self.unknown.contains(&name(it))).cloned().collect()
    }

    /// The files that [`Self::prune`] would remove.
    pub fn prunable(&self, cache: &Cache, spare_bytes: u64) -> Result<Pruned, ImageError> {
        cache.prunable(&self.files, spare_bytes).map(|files| Pruned::of(&files))
    }

    /// Removes files of the cache that no present recipe produces. The files that were not used for the longest time
    /// are removed first. The function stops when at most `spare_bytes` of such files remain. The files of a recipe
    /// that cannot be hashed now count as files that no recipe produces.
    pub fn prune(&self, cache: &Cache, spare_bytes: u64) -> Result<Pruned, ImageError> {
        cache.prune(&self.files, spare_bytes)
    }
}
