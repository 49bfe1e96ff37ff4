//! Gets every image of a run from the first source that has the image.
//!
//! `images/images.lock` lists the images. `images/NAME/recipe.yaml` describes how an image is built from package
//! registries. [`obtain()`] takes each image from the engine, the cache, a registry or a build, and reports which
//! source it used. [`supply`] decides the order of the sources without I/O. This crate writes image archives itself;
//! one archive serves both the engine and a node's image folder.
//!
//! **Architecture Invariant:** the tag of a built image contains the hash of its recipe and of every input. The image
//! is built again if, and only if, that hash changes. An image that already exists on the machine needs no network.

mod archive;
mod binaries;
mod build;
mod bundle;
mod cache;
mod crates;
mod debian;
pub mod digest;
mod embedded;
mod entry;
mod error;
mod golang;
mod java;
mod layer;
mod list;
mod lock;
mod nodejs;
mod obtain;
mod process;
mod recipe;
mod store;
mod supply;
mod tool;
mod tree;
mod versions;
mod wheels;
mod yaml;

pub use binaries::Binaries;
pub use bundle::{BundleFault, Bundled, Here, Loaded, bundle, load};
pub use cache::{Cache, Pruned, SPARE_BYTES};
pub use embedded::Recipes;
pub use error::ImageError;
pub use list::{Place, Present, Row, build, list};
pub use lock::{Entry, Lock, NODE};
pub use obtain::{Obtained, Request, Want, obtain, unbuilt_on_request};
pub use recipe::{Config, Recipe};
pub use store::{ImageStore, Registries};
pub use supply::{K3s, Source};
pub use tool::Tools;
