//! The scenario language: the types of a scenario, their meaning, and the checks for mistakes.
//!
//! A file passes three checks, and each check reports all its errors together: [`document`] (YAML, with the place of
//! every value), [`check`] (the shape, against the schema that is generated from [`model`]), and [`meaning`] (whether
//! the parts are consistent). The result is a [`Loaded`] scenario with its [`Variant`]s: the baseline, and one for each
//! change.
//!
//! **Architecture Invariant:** this module reads files and returns types and diagnostics, and it has no other effect.
//! It does not depend on the container engine, the cluster or the network.

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
pub mod number;
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
pub use load::map_in_parallel;
pub use meaning::dependencies;
pub use variant::{Loaded, Variant};
