//! Tests of the `engine` room with a real container engine. Their image is built from a static shell, and nothing is
//! pulled.
//!
//! The tests run one after another, because testcontainers has one connection for the process, which belongs to one
//! tokio runtime.

pub(crate) mod bench;
mod cleanup;
mod images;
mod provision;
mod resolve;
mod roles;
mod start;
