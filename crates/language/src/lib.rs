//! The scenario language: how a scenario is written, read and checked, and what its fixtures contribute. Nothing here
//! has side effects.
//!
//! This is a separate crate, so that it can be optimised in every build (`Cargo.toml`, profiles): people wait for it
//! on each keystroke in an editor. Optimising the whole program would add minutes to each build.

pub(crate) mod files;
pub mod fixture;
pub mod scenario;
