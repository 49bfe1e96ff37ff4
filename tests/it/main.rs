//! The integration tests. They test the command line and the crates with real systems. They are one binary, so that
//! they are linked only once.

// Test helpers may panic like tests, and may print text for the person who runs the tests.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod e2e;
mod edge;
mod engine;
mod explain;
mod fuzz;
mod identity;
mod lint;
mod mutate;
mod node;
mod ready_made;
mod saved;
mod selection;
mod stores;
mod stranger;
mod versions;
