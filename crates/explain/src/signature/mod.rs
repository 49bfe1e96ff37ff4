//! Finds out why a store refused a signature. The result is a proof, not a guess.
//!
//! A signature covers parts of a request. While the run has access to the secrets, [`investigate`] restores parts to
//! their signed values until the signature is valid again. The function looks for the smallest set of such parts:
//! exactly these parts differ. The record contains the result, and [`words`] builds the sentence from the result.
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
