//! The one integration binary: rooms against the real thing.

mod engine;
