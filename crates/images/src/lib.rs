//! Gets every image of a run from the first source that has it.
//!
//! `images/images.lock` lists the images; `images/NAME/recipe.yaml` says how one is built from package registries.
//! [`obtain()`] takes each from the engine, the cache, a registry or a build, in an order that [`supply`] decides
//! without I/O, and says which it was. Image archives are written by this room itself, and serve the engine and a
//! node's image folder alike.
//!
//! **Architecture Invariant:** a built image's tag carries the hash of its recipe and of every input; it is built again
//! when, and only when, that changes. What is at hand needs no network.

mod archive;
mod binaries;
mod build;
mod cache;
mod debian;
pub mod digest;
mod embedded;
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
mod wheels;
mod yaml;

pub use binaries::beside_this_program;
pub use cache::{Cache, Pruned, SPARE_BYTES};
pub use embedded::Recipes;
pub use error::ImageError;
pub use list::{Place, Row, build, list, prune};
pub use lock::{Entry, Lock, NODE};
pub use obtain::{Obtained, Request, Want, obtain};
pub use recipe::{Config, Recipe};
pub use store::{ImageStore, Registries};
pub use supply::{K3s, Source};
pub use tool::Tools;
