//! Parallax: an end-to-end test harness for S3 storage in Kubernetes.
//!
//! This crate contains the command line and all code that has effects on a cluster. `certs`, `world`, `cluster`,
//! `render`, `apply`, `act`, `probe`, `standing`, `tokens`, `bundle` and `bucket` each have one task. `run` uses them for
//! scenarios, and `check` uses them without a scenario. `cli` is the interface to the user. Other crates contain the
//! code that only computes something, such as plans and verdicts, and the code for containers and images: see
//! `ARCHITECTURE.md`.

pub mod act;
pub mod apply;
pub mod bucket;
pub mod bundle;
pub mod certs;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod probe;
pub mod render;
pub mod run;
pub mod standing;
pub mod tokens;
pub mod world;
