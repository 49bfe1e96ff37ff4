//! Finds out why a store refused a signature, and proves it by computing the signature again.
//!
//! A signature covers parts of a request. While the run still has the secrets, [`investigate`] restores parts of the
//! request to their signed values until the signature is valid. It searches for the smallest set of parts that must be
//! restored. Exactly these parts differ. The record contains this finding, and [`words`] builds a sentence from it.
//!
//! **Architecture Invariant:** this module is pure. The input is requests and secrets; the output is a finding without
//! secrets.

mod canonical;
mod difference;
mod guess;
mod request;
mod search;
#[cfg(test)]
mod tests;
pub(super) mod words;

pub use guess::Guesses;
pub(super) use request::is_own;
pub use request::{Payload, SignedRequest};
pub use search::{Case, investigate};
