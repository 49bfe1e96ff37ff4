//! The user's commands for images: list them, build them, and prune the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Pruned};
use super::error::ImageError;
use super::layer::{For, Prepared, REGISTRY};
use super::lock::Lock;
use super::obtain::{Obtained, Request, Want, obtain};
use super::store::ImageStore;
use super::supply::K3s;
use parallax_record::Sink;

/// An image of `images.lock`, with its state on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of the image.
    pub name: String,
    /// The purpose of the image.
    pub purpose: String,
    /// The reference under which the image is published.
    pub reference: Option<String>,
    /// The path of the recipe's folder.
    pub recipe: Option<String>,
    /// The tag of the image that the present recipe builds.
    pub built: Option<String>,
    /// The reason why that tag is not known: a program of this workspace is not built yet.
    pub unknown: Option<String>,
    /// The places that have the image now.
    pub at: Vec<Place>,
}

/// The place where an image is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The published image is in the engine.
    EnginePublished,
    /// The built image is in the engine.
    EngineBuilt,
    /// The built image's archive is in the cache.
    Cache,
}

/// Lists every image and the places that have it. Without an engine, only the cache is examined.
pub async fn list(
    lock: &Lock,
    binaries: &Path,
    cache: &Cache,
    store: Option<&dyn ImageStore>,
) -> Result<Vec<Row>, ImageError> {
    let mut rows = Vec::new();
    for entry in &lock.images {
        let name = entry.name.value.clone();
        let inputs = (entry.clone(), binaries.to_owned(), cache.clone());
        // This runs on a thread for blocking work, because it hashes megabytes and must not delay other tasks.
        let prepared = tokio::task::spawn_blocking(move || {
            let (entry, binaries, cache) = inputs;
            Prepared::new(&entry, &binaries, &cache)
        });
        let (prepared, unknown) =
            match prepared.await.unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic())) {
                Ok(prepared) => (prepared, None),
                Err(error @ ImageError::Binary { .. }) => (None, Some(error.to_string())),
                Err(error) => return Err(error),
            };
        let built = prepared.as_ref().map(|prepared| prepared.tag.clone());
        let mut at = Vec::new();
        if let Some(store) = store {
            for (reference, place) in
                [(entry.published(), Place::EnginePublished), (built.as_deref(), Place::EngineBuilt)]
            {
                let Some(reference) = reference else { continue };
                let id = store.image_id(reference).await;
                let fault = |message| ImageError::Engine { image: name.clone(), doing: "be asked for it", message };
                if id.map_err(fault)?.is_some() {
                    at.push(place);
                }
            }
        }
        if prepared.is_some_and(|prepared| [For::Engine, For::Node].iter().any(|of| prepared.archive(*of).is_file())) {
            at.push(Place::Cache);
        }
        rows.push(Row {
            name,
            purpose: entry.purpose.clone(),
            reference: entry.published().map(str::to_owned),
            recipe: entry.recipe.as_ref().map(|recipe| recipe.value.clone()),
            built,
            unknown,
            at,
        });
    }
    Ok(rows)
}

/// Builds images from their recipes without contacting an image registry. If `names` is empty, builds all images that
/// have a recipe. Images that are up to date are not built again.
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

/// The layers and images that the present recipes produce. This value is computed only once, because the computation
/// hashes megabytes.
#[derive(Debug, Default)]
pub struct Present {
    /// The references of the built images.
    tags: BTreeSet<String>,
    /// The files of these images in the cache.
    files: BTreeSet<PathBuf>,
    /// The images whose recipe cannot be hashed now, because a program for them is not built.
    unknown: BTreeSet<String>,
}

impl Present {
    /// Reads and hashes all recipes.
    pub fn of(lock: &Lock, binaries: &Path, cache: &Cache) -> Self {
        let mut present = Self::default();
        for entry in &lock.images {
            match Prepared::new(entry, binaries, cache) {
                Ok(Some(prepared)) => {
                    present.files.extend([For::Engine, For::Node].map(|of| prepared.archive(of)));
                    present.files.extend(prepared.layers);
                    present.tags.insert(prepared.tag);
                }
                Ok(None) => {}
                Err(_) => drop(present.unknown.insert(entry.name.value.clone())),
            }
        }
        present
    }

    /// A pattern that matches the references of built images in the engine.
    pub fn pattern() -> String {
        format!("{REGISTRY}/*")
    }

    /// The references in `all` of built images that no present recipe produces, because their inputs have changed. An
    /// image whose recipe cannot be hashed is never among them.
    pub fn outdated(&self, all: &[String]) -> Vec<String> {
        let name = |reference: &str| {
            let path = reference.rsplit('/').next().unwrap_or_default();
            path.split(':').next().unwrap_or_default().to_owned()
        };
        all.iter().filter(|it| !self.tags.contains(*it) && !self.unknown.contains(&name(it))).cloned().collect()
    }

    /// Removes files from the cache that no present recipe produces, the oldest first, until at most `spare_bytes` of
    /// such files remain. If a recipe cannot be hashed, only their age protects its files.
    pub fn prune(&self, cache: &Cache, spare_bytes: u64) -> Result<Pruned, ImageError> {
        cache.prune(&self.files, spare_bytes)
    }
}
