//! Image bundles: the images of scenarios in one file, for a machine without a network.
//!
//! A bundle is an OCI image layout in a tar file: `oci-layout`, `index.json`, and the blobs by digest. Blobs are not
//! compressed. The annotation `org.opencontainers.image.ref.name` is the reference of an image, in the index and in its
//! manifest; for a published image whose digest `images.lock` states, it is `reference@digest`.
//!
//! **Architecture Invariant:** equal images give equal bytes. The reader knows each header, each name and each size
//! before it reads them, so it refuses a file in which any byte differs (`read`). It verifies all of a bundle before
//! anything is loaded.

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
