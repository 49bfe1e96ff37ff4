//! The engine room against a real engine. The image is made here from a static shell; nothing is pulled.
//!
//! Tests run one after another: testcontainers keeps one connection for the process, which belongs to one runtime.

pub(crate) mod bench;
mod cleanup;
mod images;
mod provision;
mod resolve;
mod roles;
mod start;
