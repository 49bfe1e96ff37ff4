//! Obtains all images of a run in parallel, each from the first source that has the image.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::archive;
use super::binaries::Binaries;
use super::build::{Workshop, first_fault};
use super::cache::{Cache, SPARE_BYTES};
use super::error::ImageError;
use super::layer::{For, Prepared};
use super::lock::{Entry, Lock, NODE};
use super::store::{ImageStore, Registries, registry_has_none};
use super::supply::{Form, K3s, Known, Move, Rule, Source, next, rule};
use super::tool::Tools;
use parallax_record::{Setup, Sink};

/// What all images of one call of [`obtain()`] share.
pub struct Request<'a> {
    /// The list of images from `images.lock`.
    pub lock: &'a Lock,
    /// Which form of the k3s images the user allows: published or built.
    pub policy: K3s,
    /// The static programs of Parallax.
    pub binaries: &'a Binaries,
    /// The cache of layers and archives.
    pub cache: &'a Cache,
    /// Access to the images of the engine.
    pub store: &'a dyn ImageStore,
    /// Finds the programs that builds need, and installs missing ones.
    pub tools: &'a dyn Tools,
    /// What the run has learned about registries so far, for example that none can be reached.
    pub registries: &'a Registries,
}

/// One image that a run needs, and where the run needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The name of the image in `images.lock`.
    pub name: String,
    /// Whether the image must be in the engine, to run as a container.
    pub engine: bool,
    /// Whether an archive of the image is needed, for a node's image folder.
    pub archive: bool,
}

/// An image that was obtained, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// The name of the image in `images.lock`.
    pub name: String,
    /// The reference by which containers use the image.
    pub reference: String,
    /// Whether this is the published image. If not, it was built from its recipe.
    pub published: bool,
    /// The source that the image came from.
    pub source: Source,
    /// The path of the image's archive. `None` if no archive was requested. Also `None` if another image that was
    /// pulled from a registry already contains this one: for example, the published k3s contains CoreDNS.
    pub archive: Option<PathBuf>,
    /// The id of the image in the engine or, if only an archive was requested, the digest of the image's config. Empty
    /// if neither was requested, or if another image already contains this one.
    pub id: String,
}

/// The text of the note that says which node image the run's clusters use. `published` is the reference of the
/// published image, if `images.lock` has one.
fn node_image(form: Form, published: Option<&str>) -> String {
    match (form, published) {
        (Form::Published, published) => format!("clusters run the published {}", published.unwrap_or("node image")),
        (Form::Built, None) => "clusters run a node image built from k3s's upstream parts".to_owned(),
        (Form::Built, Some(published)) => {
            format!("clusters run a node image built from k3s's upstream parts, not the published {published}")
        }
    }
}

/// Obtains images in parallel. If an image cannot be obtained, the work on the other images is cancelled, and the error
/// of this image is returned.
///
/// If `cancel` is cancelled, the function ends early. Running tools are stopped, and their incomplete output is
/// removed.
pub async fn obtain(
    request: &Request<'_>,
    wanted: &[Want],
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, Obtained>, ImageError> {
    let workshop = Workshop::new(request.cache, request.binaries, request.tools, cancel.child_token());
    let (node_sender, node) = watch::channel(None);
    let mut node_sender = wanted.iter().any(|want| want.name == NODE).then_some(node_sender);
    let mut images = Vec::new();
    for want in wanted {
        let entry = request.lock.entry(&want.name)?;
        let prepared = prepare(request, entry).await?;
        let decided = (want.name == NODE).then(|| node_sender.take()).flatten();
        images.push(Image { request, want, entry, prepared, workshop: &workshop, sink, decided, node: node.clone() });
    }
    drop(node_sender);
    let obtained = first_fault(join_all(images.into_iter().map(Image::obtain)).await);
    for refused in request.cache.refused() {
        sink.warn(refused);
    }
    let obtained = obtained?;
    if obtained.iter().any(|image| matches!(image.source, Source::Built { .. })) {
        tidy(request, sink);
    }
    Ok(obtained.into_iter().map(|image| (image.name.clone(), image)).collect())
}

/// The images among `wanted` that would have to be built, and that are built only on request.
pub async fn unbuilt_on_request(request: &Request<'_>, wanted: &[Want]) -> Result<Vec<String>, ImageError> {
    let sink = Sink::silent();
    let workshop = Workshop::new(request.cache, request.binaries, request.tools, CancellationToken::new());
    let (_, node) = watch::channel(None);
    let mut unbuilt = Vec::new();
    for want in wanted {
        let entry = request.lock.entry(&want.name)?;
        if !entry.on_request {
            continue;
        }
        let prepared = prepare(request, entry).await?;
        let image = Image {
            request,
            want,
            entry,
            prepared,
            workshop: &workshop,
            sink: &sink,
            decided: None,
            node: node.clone(),
        };
        let published = match entry.published() {
            Some(reference) => image.as_locked(reference).await?.is_some(),
            None => false,
        };
        let built = match &image.prepared {
            Ok(Some(prepared)) => image.built_at_hand(prepared).await?.is_some(),
            _ => false,
        };
        if !published && !built {
            unbuilt.push(want.name.clone());
        }
    }
    Ok(unbuilt)
}

/// Reads the recipe of an image, and hashes its inputs. The outer error is a mistake in the recipe. The inner error
/// says that a program of this workspace is missing, which matters only if the image has to be built.
async fn prepare(request: &Request<'_>, entry: &Entry) -> Result<Result<Option<Prepared>, ImageError>, ImageError> {
    match Prepared::of(entry, request.binaries, request.cache).await {
        Err(error) if error.is_usage() => Err(error),
        other => Ok(other),
    }
}

/// Removes old files from the cache. This function is called after a build has added new files.
fn tidy(request: &Request<'_>, sink: &Sink) {
    let present = super::Present::of(request.lock, request.binaries, request.cache);
    match present.prune(request.cache, SPARE_BYTES) {
        Ok(pruned) if pruned.files > 0 => {
            sink.note(format!("removed {} MB of unused layers from the image cache", pruned.bytes / 1_000_000));
        }
        Ok(_) => {}
        // The run has its images, so a failed removal of old files is only a warning.
        Err(error) => sink.warn(format!("the image cache could not be tidied: {error}")),
    }
}

/// One image while it is being obtained.
struct Image<'a> {
    request: &'a Request<'a>,
    want: &'a Want,
    entry: &'a Entry,
    prepared: Result<Option<Prepared>, ImageError>,
    workshop: &'a Workshop<'a>,
    sink: &'a Sink,
    /// Tells the other images which form of the node's image (published or built) is used. `None` for an image other
    /// than the node's.
    decided: Option<watch::Sender<Option<Form>>>,
    /// Receives the form of the node's image, published or built. The value is `None` until the form is decided.
    node: watch::Receiver<Option<Form>>,
}

impl Image<'_> {
    async fn obtain(self) -> Result<Obtained, ImageError> {
        let name = &self.want.name;
        let setup = self.sink.setup(format!("image/{name}"), self.entry.purpose.clone());
        let cancel = self.workshop.cancel.clone();
        let workshop = self.workshop;
        let obtained = self.take_first_source(&setup).await;
        match &obtained {
            Ok(image) if matches!(image.source, Source::Within(_)) => setup.done(image.source.to_string()),
            Ok(image) => setup.done(format!("{}: {}", image.source, image.reference)),
            Err(error) => {
                // `Cancelled` means that another image failed or that the user interrupted the run. The image that
                // failed, or the interrupt, is reported elsewhere, and must not be reported twice.
                if !matches!(error, ImageError::Cancelled) {
                    setup.failed(error.failure());
                }
                workshop.cancel.cancel();
                cancel.cancel();
            }
        }
        obtained
    }

    async fn take_first_source(mut self, setup: &Setup) -> Result<Obtained, ImageError> {
        let rule = match self.rule().await? {
            Ok(rule) => rule,
            Err(within) => return Ok(within),
        };
        let published = match self.entry.published() {
            Some(reference) if rule != Rule::Built => self.as_locked(reference).await?,
            _ => None,
        };
        let built = match &self.prepared {
            Ok(Some(prepared)) if rule != Rule::Published => self.built_at_hand(prepared).await?,
            _ => None,
        };
        let mut known = Known { published: published.is_some(), built: built.is_some(), pull_failed: false };
        let mut why = String::new();
        loop {
            match next(rule, known) {
                Move::UsePublished => {
                    self.decide(Form::Published);
                    return self.published(Source::Engine, setup).await;
                }
                Move::UseBuilt => {
                    self.decide(Form::Built);
                    return self.built(built.unwrap_or(Source::Cache), setup).await;
                }
                Move::Pull => match self.pull(setup).await? {
                    Ok(source) => {
                        self.decide(Form::Published);
                        return self.published(source, setup).await;
                    }
                    Err(refusal) => (known.pull_failed, why) = (true, refusal),
                },
                Move::Build => {
                    self.decide(Form::Built);
                    let source = self.build(setup).await?;
                    return self.built(source, setup).await;
                }
                Move::GiveUp => {
                    let image = self.want.name.clone();
                    let reference = self.entry.published().unwrap_or_default().to_owned();
                    return Err(if registry_has_none(&why) {
                        ImageError::NotPublished { image, reference, why }
                    } else {
                        ImageError::Unreachable { image, reference, why }
                    });
                }
            }
        }
    }

    /// Returns which forms of this image are allowed. If the node's published image is used and contains this image,
    /// there is nothing to obtain. In this case the inner `Err` is not an error, but the finished result.
    async fn rule(&mut self) -> Result<Result<Rule, Obtained>, ImageError> {
        let plain = rule(self.request.policy, self.entry.reference.is_some(), self.entry.recipe.is_some());
        let Some(within) = self.entry.within.as_ref().filter(|within| within.value == NODE) else {
            return Ok(Ok(plain));
        };
        let cancel = self.workshop.cancel.clone();
        let form = tokio::select! {
            () = cancel.cancelled() => return Err(ImageError::Cancelled),
            form = self.node.wait_for(Option::is_some) => form.ok().and_then(|form| *form),
        };
        Ok(match form {
            Some(Form::Built) => Ok(Rule::Built),
            Some(Form::Published) => Err(Obtained {
                name: self.want.name.clone(),
                reference: self.entry.published().unwrap_or_default().to_owned(),
                published: true,
                source: Source::Within(within.value.clone()),
                archive: None,
                id: String::new(),
            }),
            None => Ok(plain),
        })
    }

    fn decide(&mut self, form: Form) {
        let Some(decided) = self.decided.take() else { return };
        self.sink.note(node_image(form, self.entry.published()));
        decided.send_replace(Some(form));
    }

    /// The engine's id of the published image. `None` if the engine does not have the image, or has an image with
    /// another digest than `images.lock` states. If `images.lock` states no digest, any image with this reference is
    /// accepted.
    async fn as_locked(&self, reference: &str) -> Result<Option<String>, ImageError> {
        let Some(id) = self.in_engine(reference).await? else { return Ok(None) };
        let Some(digest) = self.entry.digest.as_ref().map(|digest| digest.value.as_str()) else { return Ok(Some(id)) };
        let asked = self.unless_cancelled(self.request.store.digests(reference)).await?;
        let digests = asked.map_err(|message| self.engine_fault("be asked for its digest", message))?;
        if digests.iter().any(|it| it == digest) || self.is_bundled(reference, digest).await? {
            return Ok(Some(id));
        }
        self.sink.warn(format!("the engine's {reference} is not the image {digest} of images.lock; it is not used"));
        Ok(None)
    }

    /// Whether the engine's image was loaded from an image bundle and is the image with this digest. In this case, the
    /// cache has the archive of the image. So this function compares the engine's image with the archive.
    async fn is_bundled(&self, reference: &str, digest: &str) -> Result<bool, ImageError> {
        let path = self.request.cache.bundled(&self.want.name, digest);
        if !self.request.cache.has(&path).await {
            return Ok(false);
        }
        let Ok(archive) = archive::identity(&path) else { return Ok(false) };
        let asked = self.unless_cancelled(self.request.store.is_built(reference, &archive.id, &archive.layers)).await?;
        asked.map_err(|message| self.engine_fault("be asked what it is made of", message))
    }

    /// The id of an image in the engine; `None` if the engine does not have the image.
    async fn in_engine(&self, reference: &str) -> Result<Option<String>, ImageError> {
        let asked = self.unless_cancelled(self.request.store.image_id(reference)).await?;
        asked.map_err(|message| self.engine_fault("be asked for it", message))
    }

    /// The engine's id of the built image. `None` if the engine does not have the image, or has an image that differs
    /// from the archive in the cache. The comparison is needed because every user of the engine can give the tag to
    /// another image, and the node's image runs privileged.
    async fn as_built(&self, prepared: &Prepared) -> Result<Option<String>, ImageError> {
        let Some(id) = self.in_engine(&prepared.tag).await? else { return Ok(None) };
        // If the cache has no archive of this image, nothing shows whether the engine's image is the right one. The
        // image is then built again.
        let Ok(archive) = archive::identity(&prepared.archive(For::Engine)) else { return Ok(None) };
        let asked = self.request.store.is_built(&prepared.tag, &archive.id, &archive.layers);
        let asked = self.unless_cancelled(asked).await?;
        if asked.map_err(|message| self.engine_fault("be asked what it is made of", message))? {
            return Ok(Some(id));
        }
        let tag = &prepared.tag;
        self.sink.warn(format!("the engine's {tag} is not the image that was built here; it is loaded again"));
        Ok(None)
    }

    /// The source of the built image, if the image already exists where the run needs it (engine, archive or both).
    /// Otherwise `None`.
    async fn built_at_hand(&self, prepared: &Prepared) -> Result<Option<Source>, ImageError> {
        if self.want.archive && !self.request.cache.has(&prepared.archive(For::Node)).await {
            return Ok(None);
        }
        if !self.want.engine {
            return Ok(self.want.archive.then_some(Source::Cache));
        }
        if self.as_built(prepared).await?.is_some() {
            return Ok(Some(Source::Engine));
        }
        Ok(self.request.cache.has(&prepared.archive(For::Engine)).await.then_some(Source::Cache))
    }

    async fn pull(&self, setup: &Setup) -> Result<Result<Source, String>, ImageError> {
        let reference = self.entry.published().unwrap_or_default();
        if let Some(why) = self.request.registries.out_of_reach() {
            return Ok(Err(why));
        }
        setup.progress(format!("pulling {reference}"));
        let began = Instant::now();
        let digest = self.entry.digest.as_ref().map(|digest| digest.value.as_str());
        let progress = |line: &str| setup.progress(format!("pulling {reference}: {line}"));
        let pulled = self.unless_cancelled(self.request.store.pull(reference, digest, &progress)).await?;
        Ok(match pulled {
            Ok(()) => Ok(Source::Pulled { took: began.elapsed() }),
            Err(why) => {
                if self.request.registries.learn(&why) {
                    self.sink.note(format!("no image registry is in reach ({why}); none is asked again in this run"));
                }
                Err(why)
            }
        })
    }

    async fn build(&mut self, setup: &Setup) -> Result<Source, ImageError> {
        let began = Instant::now();
        match std::mem::replace(&mut self.prepared, Ok(None)) {
            Ok(Some(prepared)) => {
                let wanted = [(self.want.engine, For::Engine), (self.want.archive, For::Node)];
                let wanted: Vec<For> = wanted.into_iter().filter_map(|(wanted, of)| wanted.then_some(of)).collect();
                self.workshop.build(&self.want.name, &prepared, &wanted, setup).await?;
                self.prepared = Ok(Some(prepared));
                Ok(Source::Built { took: began.elapsed() })
            }
            Ok(None) => unreachable!("the rule allows a build only where there is a recipe"),
            Err(error) => Err(error),
        }
    }

    async fn published(&self, source: Source, setup: &Setup) -> Result<Obtained, ImageError> {
        let reference = self.entry.published().unwrap_or_default().to_owned();
        let id = self.in_engine(&reference).await?;
        let id = id.ok_or_else(|| self.engine_fault("keep it", format!("{reference} is gone again")))?;
        if self.entry.digest.is_none() {
            self.say_unpinned(&reference).await?;
        }
        let mut saved = None;
        if self.want.archive {
            let path = self.request.cache.saved(&self.want.name, &id);
            self.save(&reference, &path, setup).await?;
            saved = Some(path);
        }
        Ok(Obtained { name: self.want.name.clone(), reference, published: true, source, archive: saved, id })
    }

    /// Reports that this image is pinned only by its tag, so nothing shows whether it is the right image. The report
    /// also has the digest that the engine states for the image, so that the user can write this digest into
    /// `images.lock`.
    async fn say_unpinned(&self, reference: &str) -> Result<(), ImageError> {
        let asked = self.unless_cancelled(self.request.store.digests(reference)).await?;
        let digests = asked.map_err(|message| self.engine_fault("be asked for its digest", message))?;
        let seen = if digests.is_empty() { "has none".to_owned() } else { format!("is {}", digests.join(", ")) };
        self.sink.note(format!("{reference} is pinned by its tag only; its digest in the engine {seen}"));
        Ok(())
    }

    /// Saves a published image from the engine as an archive in the cache, unless the cache has the archive already.
    async fn save(&self, reference: &str, path: &Path, setup: &Setup) -> Result<(), ImageError> {
        let what = path.file_stem().unwrap_or_default().to_string_lossy();
        let waits = || setup.progress("another run is saving it; waiting for that");
        let _lock = self.request.cache.lock(&what, waits, &self.workshop.cancel).await?;
        if self.request.cache.has(path).await {
            return Ok(());
        }
        setup.progress("saving it for the cluster's nodes");
        let temporary = self.request.cache.temporary()?;
        let finished = temporary.path().join("saved.tar");
        let saved = self.unless_cancelled(self.request.store.save(reference, &finished)).await?;
        saved.map_err(|message| self.engine_fault("save it", message))?;
        Cache::keep(&finished, path).await
    }

    async fn built(&self, source: Source, setup: &Setup) -> Result<Obtained, ImageError> {
        let Ok(Some(prepared)) = &self.prepared else { unreachable!("only a prepared image can be at hand or built") };
        let reference = prepared.tag.clone();
        let archive = self.want.archive.then(|| prepared.archive(For::Node));
        let id = match &archive {
            _ if self.want.engine => self.loaded(prepared, setup).await?,
            Some(path) => archive::identity(path).map_err(ImageError::cache("read", path))?.id,
            None => String::new(),
        };
        Ok(Obtained { name: self.want.name.clone(), reference, published: false, source, archive, id })
    }

    /// Loads a built image into the engine, unless the engine has it already. Returns the image's id.
    async fn loaded(&self, prepared: &Prepared, setup: &Setup) -> Result<String, ImageError> {
        if let Some(id) = self.as_built(prepared).await? {
            return Ok(id);
        }
        setup.progress("loading it into the engine");
        let loaded = self.unless_cancelled(self.request.store.load(&prepared.archive(For::Engine))).await?;
        loaded.map_err(|message| self.engine_fault("load it", message))?;
        let id = self.in_engine(&prepared.tag).await?;
        id.ok_or_else(|| self.engine_fault("load it", format!("{} is not there afterwards", prepared.tag)))
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, ImageError> {
        tokio::select! {
            () = self.workshop.cancel.cancelled() => Err(ImageError::Cancelled),
            done = work => Ok(done),
        }
    }

    fn engine_fault(&self, doing: &'static str, message: String) -> ImageError {
        ImageError::Engine { image: self.want.name.clone(), doing, message }
    }
}

#[cfg(test)]
pub(crate) mod tests;
