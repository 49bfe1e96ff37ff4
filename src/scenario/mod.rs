//! The scenario language: what is written, what it means, and what is wrong with it.
//!
//! **Architecture Invariant:** pure. It reads text and yields types and diagnostics; it knows no engine, no cluster and
//! no network.

pub mod duration;
pub mod model;
