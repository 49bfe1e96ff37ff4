//! Verifies a bundle. The whole file is read once, from its beginning to its end.
//!
//! The index and the manifests state the name and the size of each file in the bundle. From them, the reader computes
//! the 512 bytes of the file's tar header, and compares them with the bytes in the bundle. So the reader never trusts a
//! name, a size or a type that only a header states.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, ImageIndex, ImageManifest};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::fault::BundleFault;
use super::format::{self, INDEX, Image, LAYOUT, NoConfig, SMALL_LIMIT_BYTES};
use crate::archive::{Layer, Part, architecture};
use crate::digest::{self, Hashing};
use crate::tree::{Interruptible, header};

/// A block of a tar file.
type Block = [u8; 512];
const BLOCK_BYTES: u64 = 512;
/// Several images may share a manifest or a config, and each image gets its own copy in memory. This is the largest
/// size of all these copies together.
const SHARED_LIMIT_BYTES: u64 = 16 * SMALL_LIMIT_BYTES;
/// The number of zero bytes at the end of a tar file.
const END_BYTES: u64 = 2 * BLOCK_BYTES;

/// A bundle that was verified as a whole.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) images: Vec<Image>,
    /// The size of the whole bundle in bytes.
    pub(super) bytes: u64,
}

/// The reason why a bundle could not be read or is refused.
#[derive(Debug)]
pub(super) enum Unread {
    /// The file cannot be read.
    Io(io::Error),
    /// The file was read, but is refused.
    Fault(BundleFault),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BundleFault> for Unread {
    fn from(fault: BundleFault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads a bundle and verifies each of its bytes.
pub(super) fn read(file: &Path, cancel: &CancellationToken) -> Result<Verified, Unread> {
    let input = File::open(file)?;
    let bytes = input.metadata()?.len();
    let input = Interruptible { inner: input, cancel };
    let mut reader =
        Reader { file, input, at: 0, bytes, small: BTreeMap::new(), shared_bytes: 0, layers: BTreeMap::new() };
    reader.header(LAYOUT.0, LAYOUT.1.len() as u64)?;
    reader.same(LAYOUT.0, LAYOUT.1)?;
    reader.zeros(LAYOUT.0, padding(LAYOUT.1.len() as u64))?;
    let index = reader.index()?;
    let listed: ImageIndex = parsed(INDEX, &index)?;
    let mut images = Vec::new();
    for manifest in listed.manifests() {
        images.push(reader.image(manifest)?);
    }
    reader.zeros("the end", END_BYTES)?;
    if reader.at != bytes {
        let found = format!("{} more bytes", bytes - reader.at);
        return Err(BundleFault::Form { at: reader.at, expected: "the end of the file".to_owned(), found }.into());
    }
    // The code above does not use every field of the index. Therefore the index is computed again from the images and
    // compared with the one in the bundle. A difference in any field is found in this way.
    if format::index(&images) != index {
        return Err(content(INDEX, "it has fields that no bundle has").into());
    }
    Ok(Verified { images, bytes })
}

/// A bundle that is being read.
struct Reader<'a> {
    file: &'a Path,
    input: Interruptible<'a, File>,
    /// The offset in the bundle of the next byte to read.
    at: u64,
    /// The size of the whole bundle in bytes.
    bytes: u64,
    /// The manifests and configs that were read, by digest.
    small: BTreeMap<String, Vec<u8>>,
    /// An image that shares a manifest or a config with an earlier image gets a copy of it. This is the sum of the
    /// sizes of all copies.
    shared_bytes: u64,
    /// The verified layers. The key is the digest of the layer.
    layers: BTreeMap<String, Part>,
}

impl Reader<'_> {
    /// Reads the index. No earlier file states the size of the index, so this size is the only one that is taken from
    /// a tar header.
    fn index(&mut self) -> Result<Vec<u8>, Unread> {
        self.has(INDEX, BLOCK_BYTES)?;
        let at = self.at;
        let block = self.block()?;
        let stated = tar::Header::from_byte_slice(&block).entry_size().unwrap_or(0);
        compare(at, &block, INDEX, stated)?;
        let index = self.small_content(INDEX, stated)?;
        self.zeros(INDEX, padding(stated))?;
        Ok(index)
    }

    /// Reads the manifest, the config and the layers of an image. A part that an earlier image has too is not read
    /// again.
    fn image(&mut self, listed: &Descriptor) -> Result<Image, Unread> {
        let name = listed.annotations().as_ref().and_then(|it| it.get(ANNOTATION_REF_NAME));
        let name = name.ok_or_else(|| content(INDEX, "an image has no name"))?;
        let (reference, pinned) = Image::parts_of(name);
        let (at, text) = self.small(listed)?;
        let manifest: ImageManifest = parsed(&at, &text)?;
        let (config_at, config) = self.small(manifest.config())?;
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            layers.push(self.layer(layer)?);
        }
        let image = Image { reference: reference.to_owned(), pinned: pinned.map(str::to_owned), config, layers };
        if image.manifest() != text {
            return Err(content(&at, "it has another name than in the index, or fields that no bundle has").into());
        }
        let named = format::diff_ids(&image.config).map_err(|why| match why {
            NoConfig::Json(why) => content(&config_at, &why),
            NoConfig::Architecture(found) => {
                BundleFault::Platform { reference: reference.to_owned(), found, here: architecture().to_owned() }
            }
        })?;
        if !named.iter().eq(image.layers.iter().map(|it| format!("sha256:{}", it.digest)).collect::<Vec<_>>().iter()) {
            return Err(content(&config_at, "it names other layers than the manifest").into());
        }
        Ok(image)
    }

    /// Reads a manifest or a config. Returns the name of the blob, and its content.
    fn small(&mut self, blob: &Descriptor) -> Result<(String, Vec<u8>), Unread> {
        let (sha256, name) = named(blob)?;
        if let Some(known) = self.small.get(&sha256) {
            // Each image gets its own copy. Without this limit, a small bundle that lists one manifest thousands of
            // times could fill the memory.
            self.shared_bytes += known.len() as u64;
            if self.shared_bytes > SHARED_LIMIT_BYTES {
                let (bytes, limit) = (self.shared_bytes, SHARED_LIMIT_BYTES);
                return Err(
                    BundleFault::Large { name: "the sum of all repeated parts".to_owned(), bytes, limit }.into()
                );
            }
            return Ok((name, known.clone()));
        }
        limit(&name, blob.size())?;
        self.header(&name, blob.size())?;
        let read = self.small_content(&name, blob.size())?;
        agree(name.clone(), sha256.clone(), digest::of_bytes(&read))?;
        self.zeros(&name, padding(blob.size()))?;
        self.small.insert(sha256, read.clone());
        Ok((name, read))
    }

    fn layer(&mut self, blob: &Descriptor) -> Result<Layer, Unread> {
        let (sha256, name) = named(blob)?;
        if let Some(part) = self.layers.get(&sha256) {
            return Ok(Layer { digest: sha256, part: part.clone() });
        }
        self.header(&name, blob.size())?;
        self.has(&name, blob.size())?;
        let part = Part { file: self.file.to_owned(), offset: self.at, bytes: blob.size() };
        let mut content = Hashing::new(self.input.by_ref().take(blob.size()));
        content.skip_to_end()?;
        agree(name.clone(), sha256.clone(), content.finish())?;
        self.at += blob.size();
        self.zeros(&name, padding(blob.size()))?;
        self.layers.insert(sha256.clone(), part.clone());
        Ok(Layer { digest: sha256, part })
    }

    /// Reads the header of a file of the bundle, which must have exactly this name and this size.
    fn header(&mut self, name: &str, bytes: u64) -> Result<(), Unread> {
        self.has(name, BLOCK_BYTES)?;
        let at = self.at;
        let block = self.block()?;
        Ok(compare(at, &block, name, bytes)?)
    }

    fn small_content(&mut self, name: &str, bytes: u64) -> Result<Vec<u8>, Unread> {
        limit(name, bytes)?;
        self.has(name, bytes)?;
        let mut read = Vec::new();
        self.input.by_ref().take(bytes).read_to_end(&mut read)?;
        self.at += bytes;
        Ok(read)
    }

    /// Reads `expected.len()` bytes. Returns an error if the bytes differ from `expected`.
    fn same(&mut self, name: &str, expected: &[u8]) -> Result<(), Unread> {
        let at = self.at;
        if self.small_content(name, expected.len() as u64)? == expected {
            return Ok(());
        }
        let expected = format!("the content of {name}");
        Err(BundleFault::Form { at, expected, found: "another one".to_owned() }.into())
    }

    /// Reads `count` bytes after the content of a file or at the end of the bundle. Returns an error if one of these
    /// bytes is not zero.
    fn zeros(&mut self, name: &str, count: u64) -> Result<(), Unread> {
        let at = self.at;
        if self.small_content(name, count)?.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let expected = format!("only zeros after {name}");
        Err(BundleFault::Form { at, expected, found: "other bytes".to_owned() }.into())
    }

    fn block(&mut self) -> Result<Block, Unread> {
        let mut block: Block = [0; _];
        self.input.read_exact(&mut block)?;
        self.at += BLOCK_BYTES;
        Ok(block)
    }

    /// Returns an error if the bundle has fewer than `bytes` bytes after the present offset. `name` is the file in the
    /// bundle that needs these bytes.
    fn has(&self, name: &str, bytes: u64) -> Result<(), BundleFault> {
        let would = self.at.saturating_add(bytes);
        if would <= self.bytes {
            return Ok(());
        }
        Err(BundleFault::Cut { name: name.to_owned(), ends: self.bytes, would })
    }
}

/// Compares a tar header with the header that a file of this name and this size must have in a bundle.
fn compare(at: u64, block: &Block, name: &str, bytes: u64) -> Result<(), BundleFault> {
    let mut expected = header(EntryType::Regular, 0o644, bytes);
    expected.set_path(name).expect("the names of a bundle are short");
    expected.set_cksum();
    if expected.as_bytes() == block {
        return Ok(());
    }
    let found = tar::Header::from_byte_slice(block);
    let found = match (found.cksum(), found.entry_size()) {
        (Ok(_), Ok(bytes)) => format!("{:?} with {bytes} bytes", String::from_utf8_lossy(&found.path_bytes())),
        _ => "no header of a tar file".to_owned(),
    };
    Err(BundleFault::Form { at, expected: format!("the header of {name:?} with {bytes} bytes"), found })
}

fn agree(blob: String, expected: String, found: String) -> Result<(), BundleFault> {
    if expected == found { Ok(()) } else { Err(BundleFault::Digest { blob, expected, found }) }
}

fn limit(name: &str, bytes: u64) -> Result<(), BundleFault> {
    if bytes <= SMALL_LIMIT_BYTES {
        return Ok(());
    }
    Err(BundleFault::Large { name: name.to_owned(), bytes, limit: SMALL_LIMIT_BYTES })
}

/// The SHA-256 of a blob in hexadecimal, and its name in the bundle.
fn named(blob: &Descriptor) -> Result<(String, String), BundleFault> {
    let sha256 = blob.as_digest_sha256();
    let sha256 = sha256.ok_or_else(|| content(INDEX, &format!("{} is no SHA-256", blob.digest())))?;
    Ok((sha256.to_owned(), format::blob(sha256)))
}

fn parsed<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, BundleFault> {
    serde_json::from_slice(text).map_err(|error| content(name, &error.to_string()))
}

fn content(name: &str, why: &str) -> BundleFault {
    BundleFault::Content { name: name.to_owned(), why: why.to_owned() }
}

/// The number of zero bytes that follow a content of this size in a tar file.
fn padding(bytes: u64) -> u64 {
    (BLOCK_BYTES - bytes % BLOCK_BYTES) % BLOCK_BYTES
}
