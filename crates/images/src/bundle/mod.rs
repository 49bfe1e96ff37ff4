//! Image bundles: the images of scenarios in one file, for a machine without a network.
//!
//! A bundle is an OCI image layout in a tar file: `oci-layout`, `index.json`, and the blobs by digest. Blobs are not
//! compressed. In the index and in the manifest of an image, the annotation `org.opencontainers.image.ref.name` is the
//! reference of the image. If `images.lock` states the digest of a published image, the annotation is
//! `reference@digest`.
//!
//! **Architecture Invariant:** equal images give equal bytes. Therefore the reader can compute each header, name and
//! size before it reads them, and refuses a file in which any byte differs (`read`). The reader verifies the whole
//! bundle before anything is loaded.

mod fault;
mod format;
mod load;
mod read;
mod saved;
#[cfg(test)]
mod tests;
mod write;

pub use fault::BundleFault;
pub use load::{Here, Loaded, load};
pub use write::{Bundled, bundle};
