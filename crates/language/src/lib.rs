//! The scenario language: how a scenario is written, read and checked, and what its fixtures bring. Nothing here has an
//! effect.
//!
//! A crate of its own, because reading scenarios is what a person waits for at each keystroke of an editor: it is
//! optimised in every build, which would cost minutes for the rest (`Cargo.toml`, profiles).

pub(crate) mod files;
pub mod fixture;
pub mod scenario;
