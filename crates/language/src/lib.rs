//! The scenario language: how a scenario is written, read and checked, and what its fixtures contribute. The code in
//! this crate reads files and has no other effect.
//!
//! This is a separate crate so that the compiler can optimise it in every build (`Cargo.toml`, profiles). An editor
//! runs this code on each keystroke, so people wait for it. Optimising the whole program would add minutes to each
//! build.

pub(crate) mod files;
pub mod fixture;
pub mod scenario;

pub use files::text_of_project;
