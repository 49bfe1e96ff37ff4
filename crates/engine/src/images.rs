//! Images in the engine: inspecting, loading, saving, pulling and removing them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use parallax_record::Present as _;
use testcontainers::bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use tokio::io::AsyncWriteExt as _;
use tokio_util::codec::{BytesCodec, FramedRead};

use super::connect::Engine;
use super::error::{EngineError, message, status};

/// The limits of a pull. A pull that makes progress may take any time.
#[derive(Clone, Copy, Debug)]
pub struct PullLimits {
    /// The time limit until the engine reports the first message of the registry.
    pub first_answer: Duration,
    /// The time limit between two messages about progress.
    pub silence: Duration,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self { first_answer: Duration::from_secs(10), silence: Duration::from_mins(1) }
    }
}

/// The id of an image, and the digests of its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageParts {
    /// The id (`sha256:…`) that the engine gave to the image.
    pub id: String,
    /// The digests of the uncompressed layers of the image (`sha256:…`), the lowest first.
    pub layers: Vec<String>,
}

impl Engine {
    /// The id (`sha256:…`) of an image; `None` if the engine does not have the image.
    pub async fn image_id(&self, reference: &str) -> Result<Option<String>, EngineError> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => Ok(image.id),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(source) => Err(EngineError::Call { doing: format!("look for image {reference}"), source }),
        }
    }

    /// The digests (`sha256:…`) of the image's manifests in registries. Empty if the image was not pulled from a
    /// registry.
    pub async fn image_digests(&self, reference: &str) -> Result<Vec<String>, EngineError> {
        let image = self.docker.inspect_image(reference).await;
        let image = image.map_err(EngineError::call(format!("look for image {reference}")))?;
        let digests = image.repo_digests.unwrap_or_default();
        Ok(digests.iter().filter_map(|it| it.split_once('@')).map(|(_, digest)| digest.to_owned()).collect())
    }

    /// The id and the layers of the image with this reference; `None` if the engine does not have the image.
    pub async fn image_parts(&self, reference: &str) -> Result<Option<ImageParts>, EngineError> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => Ok(Some(ImageParts {
                id: image.id.unwrap_or_default(),
                layers: image.root_fs.and_then(|it| it.layers).unwrap_or_default(),
            })),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(source) => Err(EngineError::Call { doing: format!("look for image {reference}"), source }),
        }
    }

    /// Loads an image archive (in the form of `docker save`, or an OCI layout). Returns the engine's messages about the
    /// loaded images.
    pub async fn load_image(&self, path: &Path) -> Result<Vec<String>, EngineError> {
        let file = tokio::fs::File::open(path).await.map_err(EngineError::file("read", path))?;
        let chunks = FramedRead::with_capacity(file, BytesCodec::new(), 256 * 1024).map_ok(bytes::BytesMut::freeze);
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut answers = Box::pin(self.patient().import_image_stream(options, chunks, None));
        let mut loaded = Vec::new();
        let doing = format!("load image archive {}", path.display());
        while let Some(answer) = answers.try_next().await.map_err(EngineError::call(doing.clone()))? {
            loaded.extend(answer.stream.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
        }
        Ok(loaded)
    }

    /// Writes an image to the file `path` as an archive. The data goes to a temporary file first, so that the file
    /// `path` is never incomplete.
    pub async fn save_image(&self, reference: &str, path: &Path) -> Result<(), EngineError> {
        let partial = path.with_extension("partial");
        let written = self.save_to(reference, &partial).await;
        if let Err(error) = written {
            // The incomplete file is useless. If its removal fails, the caller still gets the error of the write, which
            // is the more important one.
            tokio::fs::remove_file(&partial).await.present("remove an incomplete image archive");
            return Err(error);
        }
        tokio::fs::rename(&partial, path).await.map_err(EngineError::file("write", path))
    }

    async fn save_to(&self, reference: &str, path: &Path) -> Result<(), EngineError> {
        let mut file = tokio::fs::File::create(path).await.map_err(EngineError::file("create", path))?;
        let mut chunks = Box::pin(self.patient().export_image(reference));
        let doing = format!("save image {reference}");
        while let Some(chunk) = chunks.try_next().await.map_err(EngineError::call(doing.clone()))? {
            file.write_all(&chunk).await.map_err(EngineError::file("write", path))?;
        }
        file.flush().await.map_err(EngineError::file("write", path))
    }

    /// Gives an image a second name, `repository:tag`.
    pub async fn tag_image(&self, reference: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.docker
            .tag_image(reference, Some(options))
            .await
            .map_err(EngineError::call(format!("tag image {reference} as {repository}:{tag}")))
    }

    /// Removes an image from the engine. An image that does not exist is not an error.
    pub async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match self.patient().remove_image(reference, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(source) => Err(EngineError::Call { doing: format!("remove image {reference}"), source }),
        }
    }

    /// The references of the images that match a pattern, as in `docker images PATTERN`; sorted.
    pub async fn images_of(&self, pattern: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("reference", vec![pattern])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let listed = self.docker.list_images(Some(options)).await;
        let listed = listed.map_err(EngineError::call(format!("list the images {pattern}")))?;
        let mut references: Vec<String> = listed.into_iter().flat_map(|it| it.repo_tags).collect();
        references.sort();
        Ok(references)
    }

    /// Whether any container uses an image. A container that does not run counts too.
    pub async fn is_image_used(&self, reference: &str) -> Result<bool, EngineError> {
        let filters = HashMap::from([("ancestor", vec![reference.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.patient().list_containers(Some(options)).await;
        let listed = listed.map_err(EngineError::call(format!("list the containers of image {reference}")))?;
        Ok(!listed.is_empty())
    }

    /// Removes an image unless a container uses the image. Returns `true` if the engine does not have the image any
    /// more.
    pub async fn remove_unused_image(&self, reference: &str) -> Result<bool, EngineError> {
        match self.patient().remove_image(reference, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(true),
            Err(error) if status(&error) == Some(409) => Ok(false),
            Err(source) => Err(EngineError::Call { doing: format!("remove image {reference}"), source }),
        }
    }

    /// Pulls an image without credentials. Calls `progress` with one line for each message of the engine.
    pub async fn pull_image(
        &self,
        reference: &str,
        limits: PullLimits,
        progress: impl Fn(&str) + Send + Sync,
    ) -> Result<(), EngineError> {
        let failed = |reason: String| EngineError::Pull { image: reference.to_owned(), reason };
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let mut answers = Box::pin(self.patient().create_image(Some(options), None, None));
        let mut limit = limits.first_answer;
        loop {
            let answer = tokio::time::timeout(limit, answers.next())
                .await
                .map_err(|_| failed(format!("no answer within {} s", limit.as_secs())))?;
            let Some(answer) = answer else { break };
            let answer = answer.map_err(|error| failed(message(&error)))?;
            if let Some(status) = &answer.status {
                progress(&step(answer.id.as_deref(), status, answer.progress_detail.as_ref()));
            }
            limit = limits.silence;
        }
        match self.image_id(reference).await? {
            Some(_) => Ok(()),
            None => Err(failed("the engine reported no error, and does not have it".to_owned())),
        }
    }
}

/// One line about the progress of a pull, for people: `a1b2c3 Downloading 12 of 40 MB`.
fn step(layer: Option<&str>, status: &str, detail: Option<&testcontainers::bollard::models::ProgressDetail>) -> String {
    let megabytes = |bytes: i64| bytes / 1_000_000;
    let amount = detail.and_then(|detail| {
        Some(format!(" {} of {} MB", megabytes(detail.current?), megabytes(detail.total.filter(|total| *total > 0)?)))
    });
    format!("{}{status}{}", layer.map(|id| format!("{id} ")).unwrap_or_default(), amount.unwrap_or_default())
}
