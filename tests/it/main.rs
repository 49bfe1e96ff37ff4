//! The one integration binary: rooms against the real thing.

// Helpers of tests fail as tests do, and what they print is for the person who runs them.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod engine;
