//! The integration tests: the command line and the rooms, with real systems. They are one binary, because then they are
//! linked only once.

// Helpers may fail like tests, and may print for the person who runs the tests.
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
mod selection;
mod stores;
mod stranger;
