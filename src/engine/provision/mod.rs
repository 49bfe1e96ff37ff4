//! Installing what is missing: an engine that can run privileged containers, and toolchains for image recipes.

mod error;

pub use error::ProvisionError;
