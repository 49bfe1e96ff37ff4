//! One integration binary: it links once.

mod cli;
