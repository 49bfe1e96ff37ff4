//! Explaining: one sentence for a failure, with the fix.
//!
//! **Architecture Invariant:** pure, and from what the record holds alone: question, answer, cause.

mod sentence;

pub use sentence::{Subject, closed, sentence};
