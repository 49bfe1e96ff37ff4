//! Builds images. Layers are built in parallel, as far as the machine allows. Each layer is built once and then kept in
//! the cache.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::future::{FutureExt as _, join_all};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::archive::{self, Content};
use super::binaries::Binaries;
use super::cache::{Cache, Temporary};
use super::crates::{self, CrateBuild};
use super::debian::DebianBuild;
use super::error::ImageError;
use super::golang::{GoBuild, GoFilesBuild};
use super::java::MavenBuild;
use super::layer::{self, For, Prepared};
use super::nodejs::NpmBuild;
use super::recipe::{Go, Layer};
use super::tool::Tools;
use super::tree;
use super::wheels::PypiBuild;
use parallax_provision::Tool;
use parallax_record::Setup;

/// The number of compilations with Go or Cargo that run at the same time. Each of them may use all cores. With two,
/// the cores stay busy while one compilation downloads or links. More than two would need too much memory.
const COMPILATIONS: usize = 2;
/// The size of the buffer with which an archive is written. It is large enough that only the disk limits the speed.
const BUFFER_BYTES: usize = 1024 * 1024;

/// What all builds of one call share: the cache, Parallax's own programs, and the tools.
pub(super) struct Workshop<'a> {
    pub(super) cache: &'a Cache,
    pub(super) binaries: &'a Binaries,
    /// Cancels every build that shares this value. It is cancelled by the user, or after a build has failed.
    pub(super) cancel: CancellationToken,
    tools: &'a dyn Tools,
    found: AsyncMutex<BTreeMap<Tool, Result<PathBuf, String>>>,
    slots: Semaphore,
    cores: usize,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        cache: &'a Cache,
        binaries: &'a Binaries,
        tools: &'a dyn Tools,
        cancel: CancellationToken,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = Semaphore::new(COMPILATIONS.min(cores));
        Self { cache, binaries, cancel, tools, found: AsyncMutex::default(), slots, cores }
    }

    /// Builds an image: first the layers that the cache lacks, and then the archives in `wanted`. When this function
    /// returns, the builds of all layers of the image have ended, successfully or not.
    pub(super) async fn build(
        &self,
        image: &str,
        prepared: &Prepared,
        wanted: &[For],
        setup: &Setup,
    ) -> Result<(), ImageError> {
        let progress = Progress::new(setup);
        let progress = &progress;
        let layers = (0..prepared.layers.len()).map(|index| async move {
            let built = self.layer(image, prepared, index, progress).await;
            progress.end(index);
            if built.is_err() {
                self.cancel.cancel();
            }
            built
        });
        first_fault(join_all(layers).await)?;
        for of in wanted {
            self.archive(prepared, *of, progress).await?;
        }
        Ok(())
    }

    async fn archive(&self, prepared: &Prepared, of: For, progress: &Progress<'_>) -> Result<(), ImageError> {
        let path = prepared.archive(of);
        let _lock = self.cache.lock(&file_name(&path), || progress.waits(), &self.cancel).await?;
        if self.cache.has(&path).await {
            return Ok(());
        }
        progress.setup.progress("writing the image archive");
        let temporary = self.cache.temporary()?;
        let (layers, tags) = (prepared.layers.clone(), prepared.tags(of));
        let (config, title) = (prepared.recipe.config.clone(), prepared.title.clone());
        self.write(&temporary, &path, move |out, cancel| {
            let title = (title.0.as_str(), title.1.as_str());
            let content = Content { tags: &tags, config: &config, title, layers: &layers };
            archive::write(&content, out, cancel).map(drop)
        })
        .await
    }

    async fn layer(
        &self,
        image: &str,
        prepared: &Prepared,
        index: usize,
        progress: &Progress<'_>,
    ) -> Result<(), ImageError> {
        let path = &prepared.layers[index];
        if self.cache.has(path).await {
            return Ok(());
        }
        let _lock = self.cache.lock(&file_name(path), || progress.waits(), &self.cancel).await?;
        if self.cache.has(path).await {
            return Ok(());
        }
        let temporary = self.cache.temporary()?;
        let merged_usr = prepared.recipe.merged_usr();
        let layer = &prepared.recipe.layers[index].value;
        let entries = match layer {
            Layer::Debian(debian) => {
                let program = self.tool(image, Tool::Mmdebstrap).await?;
                let finished = temporary.path().join("layer.tar");
                let build =
                    DebianBuild { image, debian, program: &program, scratch: temporary.path(), etc: Path::new("/etc") };
                build.run(&finished, &|line| progress.say(index, "debian", line), &self.cancel).await?;
                return Cache::keep(&finished, path).await;
            }
            Layer::Go(go) => {
                let program = self.go(image, go, prepared, &temporary, index, progress).await?;
                vec![tree::Entry::File { path: go.to.clone(), source: program, executable: true }]
            }
            Layer::GoFiles(files) => {
                let program = self.tool(image, Tool::Go).await?;
                let build = GoFilesBuild { image, files, program: &program, scratch: temporary.path() };
                build.run(&|line| progress.say(index, "go", line), &self.cancel).await?
            }
            Layer::Crate(of) => {
                let program = self.tool(image, Tool::Cargo).await?;
                // Some crates contain C libraries that are built with make.
                self.tool(image, Tool::Make).await?;
                let _slot = self.slot(index, layer.kind(), progress).await?;
                let build = CrateBuild { image, of, program: &program, scratch: temporary.path(), jobs: self.cores };
                let say = |line: &str| progress.say(index, &format!("cargo {}", of.name), line);
                let program = build.run(&crates::home()?, &say, &self.cancel).await?;
                vec![tree::Entry::File { path: of.to.clone(), source: program, executable: true }]
            }
            Layer::Pypi(pypi) => {
                let program = self.tool(image, Tool::Pip).await?;
                let build = PypiBuild { image, pypi, program: &program, scratch: temporary.path() };
                build.run(&|line| progress.say(index, "pip", line), &self.cancel).await?
            }
            Layer::Npm(npm) => {
                let program = self.tool(image, Tool::Npm).await?;
                let (recipe, scratch) = (prepared.recipe.folder.as_path(), temporary.path());
                let build = NpmBuild { image, npm, recipe, program: &program, scratch };
                build.run(&|line| progress.say(index, "npm", line), &self.cancel).await?
            }
            Layer::Maven(maven) => {
                let program = self.tool(image, Tool::Maven).await?;
                let compiler = self.tool(image, Tool::Javac).await?;
                let (recipe, scratch) = (prepared.recipe.folder.as_path(), temporary.path());
                let build = MavenBuild { image, maven, recipe, program: &program, compiler: &compiler, scratch };
                build.run(&|line| progress.say(index, "maven", line), &self.cancel).await?
            }
            Layer::Cargo(cargo) => {
                let source = self.binaries.find(&cargo.binary, image, self.cache)?;
                vec![tree::Entry::File { path: cargo.to.clone(), source, executable: true }]
            }
            other => layer::entries(other, &prepared.recipe)
                .map_err(ImageError::cache("read the input of", path))?
                .expect("every other kind of layer was made above"),
        };
        progress.say(index, layer.kind(), "writing the layer");
        self.write(&temporary, path, move |out, cancel| tree::write(entries, merged_usr, out, cancel)).await
    }

    async fn go(
        &self,
        image: &str,
        go: &Go,
        prepared: &Prepared,
        temporary: &Temporary,
        index: usize,
        progress: &Progress<'_>,
    ) -> Result<PathBuf, ImageError> {
        let program = self.tool(image, Tool::Go).await?;
        let _slot = self.slot(index, "go", progress).await?;
        let build = GoBuild {
            image,
            go,
            recipe: &prepared.recipe.folder,
            program: &program,
            scratch: temporary.path(),
            jobs: self.cores,
        };
        let what = go.module.as_deref().or(go.install.as_deref()).unwrap_or_default();
        build.run(&|line| progress.say(index, &format!("go {what}"), line), &self.cancel).await
    }

    /// Waits until this layer may compile. The layer may compile as long as the returned permit exists.
    async fn slot(&self, index: usize, what: &str, progress: &Progress<'_>) -> Result<SemaphorePermit<'_>, ImageError> {
        let mut slot = std::pin::pin!(self.slots.acquire());
        let free = slot.as_mut().now_or_never();
        let slot = if let Some(slot) = free {
            slot
        } else {
            progress.say(index, what, "waiting for another compilation");
            tokio::select! {
                () = self.cancel.cancelled() => return Err(ImageError::Cancelled),
                slot = slot => slot,
            }
        };
        progress.end(index);
        Ok(slot.expect("the semaphore is never closed"))
    }

    /// Finds a tool on the machine, or installs it. The mutex allows one installation at a time, because all
    /// installations use the machine's package manager.
    async fn tool(&self, image: &str, tool: Tool) -> Result<PathBuf, ImageError> {
        let mut found = self.found.lock().await;
        if self.cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        let program = match found.entry(tool) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => unknown.insert(self.tools.ensure(tool).await).clone(),
        };
        program.map_err(|why| ImageError::Tool { image: image.to_owned(), tool, why })
    }

    /// Writes a file of the cache on a thread for blocking work. The file gets the name `name` only when it is
    /// complete.
    async fn write(
        &self,
        temporary: &Temporary,
        name: &Path,
        write: impl FnOnce(&mut dyn Write, &CancellationToken) -> io::Result<()> + Send + 'static,
    ) -> Result<(), ImageError> {
        let finished = temporary.path().join("finished.tar");
        let (path, cancel) = (finished.clone(), self.cancel.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&path)?);
            write(&mut out, &cancel)?;
            out.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
        });
        let written = written.await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
        match written {
            Err(_) if self.cancel.is_cancelled() => Err(ImageError::Cancelled),
            Err(error) => Err(ImageError::cache("write", name)(error)),
            Ok(()) => Cache::keep(&finished, name).await,
        }
    }
}

/// Returns all values, or the error that the user must see. After a failure, the other builds are cancelled and end
/// with [`ImageError::Cancelled`]. Therefore the first error that is not `Cancelled` is the cause.
pub(super) fn first_fault<T>(results: Vec<Result<T, ImageError>>) -> Result<Vec<T>, ImageError> {
    let mut good = Vec::new();
    let mut fault = None;
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(error) if fault.is_none() || matches!(fault, Some(ImageError::Cancelled)) => fault = Some(error),
            Err(_) => {}
        }
    }
    fault.map_or(Ok(good), Err)
}

fn file_name(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What the builds of an image's layers are doing now, shown to the user as one line.
struct Progress<'a> {
    setup: &'a Setup,
    layers: Mutex<BTreeMap<usize, (Instant, String)>>,
}

impl<'a> Progress<'a> {
    fn new(setup: &'a Setup) -> Self {
        Self { setup, layers: Mutex::default() }
    }

    fn waits(&self) {
        self.setup.progress("another run is building it; waiting for that");
    }

    fn say(&self, layer: usize, what: &str, line: &str) {
        /// The largest number of characters of a progress line. If a line is longer, its end is kept, because the end
        /// of a long package path says more than the beginning.
        const WIDTH: usize = 60;
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, text) = layers.entry(layer).or_insert_with(|| (Instant::now(), String::new()));
        let skip = line.chars().count().saturating_sub(WIDTH);
        let line: String = line.chars().skip(skip).collect();
        *text = format!("{what} ({} s): {line}", began.elapsed().as_secs());
        let all: Vec<&str> = layers.values().map(|(_, text)| text.as_str()).collect();
        self.setup.progress(all.join(" | "));
    }

    fn end(&self, layer: usize) {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer);
    }
}
