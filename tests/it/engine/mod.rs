//! The engine room against a real engine. The image is made here from a static shell; nothing is pulled.
//!
//! Tests run one after another: they compare complete lists of what the engine holds.

mod bench;
mod cleanup;
mod images;
mod start;
