//! Parallax: an end-to-end test harness for S3 storage in Kubernetes.
//!
//! This crate holds what has effects on a cluster, and the command line. `certs`, `world`, `cluster`, `apply`, `act`, `probe` and
//! `tokens` each do one thing; `run` drives them; `cli` is the person's side. What decides without effects, and what deals with
//! containers and images, are crates of their own: see `ARCHITECTURE.md`.

pub mod act;
pub mod apply;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod probe;
pub mod run;
pub mod tokens;
pub mod world;
