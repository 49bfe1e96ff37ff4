//! The form of a bundle: its index, its manifests, and the names of its files.

use std::collections::HashMap;

use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, ImageIndex, ImageIndexBuilder, ImageManifest, ImageManifestBuilder, MediaType,
    Sha256Digest,
};

use crate::archive::{Layer, architecture};
use crate::digest;

/// The name and the content of the file that states the version of the OCI image layout.
pub(super) const LAYOUT: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
/// The name of the file in a bundle that lists the images.
pub(super) const INDEX: &str = "index.json";
/// The largest size of an index, a manifest or a config, in bytes.
pub(super) const SMALL_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// One image of a bundle.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// The reference under which the image is loaded.
    pub(super) reference: String,
    /// The digest of the published image in its registry, if `images.lock` states it.
    pub(super) pinned: Option<String>,
    /// The config of the image, as JSON.
    pub(super) config: Vec<u8>,
    /// The layers of the image, the lowest first.
    pub(super) layers: Vec<Layer>,
}

impl Image {
    /// The name of the image in the index: its reference and, if it is known, its digest in the registry.
    pub(super) fn name(&self) -> String {
        match &self.pinned {
            Some(digest) => format!("{}@{digest}", self.reference),
            None => self.reference.clone(),
        }
    }

    /// The annotation with the image's name. The index and the manifest both have it, so that the digest of the
    /// manifest covers the name. There must be no second annotation: the order of two entries in a hash map is random,
    /// so the bytes would not always be equal.
    fn named(&self) -> HashMap<String, String> {
        HashMap::from([(ANNOTATION_REF_NAME.to_owned(), self.name())])
    }

    /// Splits a name of the index into the reference and the digest.
    pub(super) fn parts_of(name: &str) -> (&str, Option<&str>) {
        name.split_once('@').map_or((name, None), |(reference, digest)| (reference, Some(digest)))
    }

    /// The manifest of the image, as JSON.
    pub(super) fn manifest(&self) -> Vec<u8> {
        let layers = self.layers.iter().map(|it| descriptor(MediaType::ImageLayer, it.part.bytes, &it.digest));
        let config = descriptor(MediaType::ImageConfig, self.config.len() as u64, &digest::of_bytes(&self.config));
        let manifest: ImageManifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(layers.collect::<Vec<_>>())
            .annotations(self.named())
            .build()
            .expect("every required field is set");
        serde_json::to_vec(&manifest).expect("a manifest has only texts and numbers")
    }
}

/// The index of a bundle with these images, as JSON.
pub(super) fn index(images: &[Image]) -> Vec<u8> {
    let of = |image: &Image| {
        let manifest = image.manifest();
        let mut it = descriptor(MediaType::ImageManifest, manifest.len() as u64, &digest::of_bytes(&manifest));
        it.set_annotations(Some(image.named()));
        it
    };
    let index: ImageIndex = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(images.iter().map(of).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    serde_json::to_vec(&index).expect("an index has only texts and numbers")
}

fn descriptor(kind: MediaType, bytes: u64, sha256: &str) -> Descriptor {
    let digest: Sha256Digest = sha256.parse().expect("a digest that this crate computed or checked");
    Descriptor::new(kind, bytes, digest)
}

/// The name of a blob in the bundle.
pub(super) fn blob(sha256: &str) -> String {
    format!("blobs/sha256/{sha256}")
}

/// The digests of the layers in a config (`sha256:…`), the lowest first. Fails if the text is not the config of an
/// image, or if the image is not for this machine's architecture.
pub(super) fn diff_ids(config: &[u8]) -> Result<Vec<String>, NoConfig> {
    let config: oci_spec::image::ImageConfiguration =
        serde_json::from_slice(config).map_err(|error| NoConfig::Json(error.to_string()))?;
    let found = config.architecture().to_string();
    if found != architecture() {
        return Err(NoConfig::Architecture(found));
    }
    Ok(config.rootfs().diff_ids().clone())
}

/// The reason why a config cannot be used.
pub(super) enum NoConfig {
    /// The text is not the JSON of a config.
    Json(String),
    /// The image is for another architecture.
    Architecture(String),
}
