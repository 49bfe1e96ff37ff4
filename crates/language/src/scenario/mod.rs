//! The scenario language: what is written, what it means, and what is wrong with it.
//!
//! A file goes through three gates, and all errors of a gate are told at once: [`document`] (YAML, with the place of
//! everything), [`check`] (the shape, against the schema generated from [`model`]), [`meaning`] (whether the parts fit).
//! What comes out is a [`Loaded`] scenario with its [`Variant`]s: the baseline, and each break merged into it.
//!
//! **Architecture Invariant:** pure. It reads text and yields types and diagnostics; it knows no engine, no cluster and
//! no network.

pub mod action;
pub mod change;
pub mod check;
pub mod clients;
pub mod diagnostic;
pub mod document;
pub mod duration;
mod host;
mod load;
pub mod matrix;
pub mod meaning;
pub mod model;
mod one_of;
pub mod parts;
pub mod schema;
mod syntax;
pub mod target;
pub mod template;
mod variant;

pub use action::{Action, Kind};
pub use change::{Touched, rename_hosts};
pub use diagnostic::Diagnostic;
pub use duration::Span;
pub use host::HostProgram;
pub use load::load;
pub use load::side_by_side;
pub use meaning::dependencies;
pub use variant::{Loaded, Variant};
