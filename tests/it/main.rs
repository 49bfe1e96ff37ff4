//! The one integration binary: the command line and the rooms, against the real thing. One, because it links once.

// Helpers of tests fail as tests do, and what they print is for the person who runs them.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod e2e;
mod engine;
mod explain;
mod fuzz;
mod identity;
mod lint;
mod mutate;
mod node;
mod selection;
mod stranger;
