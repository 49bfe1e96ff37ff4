//! The one integration binary: the command line and the rooms, against the real thing. One, because it links once.

mod cli;
mod engine;
