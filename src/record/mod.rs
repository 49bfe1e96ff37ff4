//! Writing down what happens: one sink that every room speaks into, one writer behind it.

mod sink;

pub use sink::{Setup, Sink};
