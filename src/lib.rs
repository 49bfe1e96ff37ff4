//! Parallax: an end-to-end test harness for S3 storage in Kubernetes.
//!
//! The rooms are the way through: the crate `parallax_language` reads, `plan` decides before anything starts, `judge` and
//! `explain` afterwards, and none of them touches anything. `engine`, `images`, `certs`, `world`, `cluster`, `apply`,
//! `act`, `probe`, `tokens` have effects; `run` drives them. `record` writes what happened, `report` reads it, `cli` is the person's side. See
//! `ARCHITECTURE.md`.

pub mod act;
pub mod apply;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod engine;
pub mod explain;
pub mod images;
pub mod judge;
pub mod plan;
pub mod probe;
pub mod record;
pub mod report;
pub mod run;
pub mod tokens;
pub mod world;
