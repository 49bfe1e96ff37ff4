//! Tests of the crate `engine` with a real container engine. The test image is built from a static shell, and nothing
//! is pulled.
//!
//! The tests run one after another, because testcontainers has one connection for the whole process, and that
//! connection belongs to one tokio runtime.

pub(crate) mod bench;
mod bundle;
mod cleanup;
mod images;
mod provision;
mod registry;
mod resolve;
mod roles;
mod start;
