//! Tests of the crate `engine` with a real container engine. The test image is built from a static shell, and nothing
//! is pulled.
//!
//! The tests run one after another. The crate `testcontainers` has only one connection to the engine for the whole
//! process, and this connection belongs to the tokio runtime of one test.

pub(crate) mod bench;
mod bundle;
mod cleanup;
mod images;
mod provision;
mod registry;
mod resolve;
mod roles;
mod start;
