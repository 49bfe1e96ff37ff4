//! Why a store refused a signature: a proof, not a guess.
//!
//! A signature covers parts of a request. While the run holds the secrets, [`investigate`] restores parts to what was
//! signed, until the signature is valid again. It looks for the smallest set of such parts: exactly these parts
//! differ. The result goes into the record, and [`words`] makes the sentence from it.
//!
//! **Architecture Invariant:** pure. The input is requests and secrets; the output is a finding without secrets.

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
