//! Why a store refused a signature: exactly, not by likelihood.
//!
//! A signature covers parts of a request. While the run holds the secrets, [`investigate`] looks for the fewest parts
//! that, put back to what was signed, make the signature right again: these are what differs, and nothing else does.
//! What it finds goes into the record; [`words`] makes the sentence from that.
//!
//! **Architecture Invariant:** pure. It is given requests and secrets, and gives back a finding without secrets.

mod canonical;
mod difference;
mod guess;
mod request;
mod search;
#[cfg(test)]
mod tests;
pub(super) mod words;

pub use guess::Guesses;
pub use request::{Payload, SignedRequest};
pub use search::{Case, investigate};

/// A percent-encoded text, decoded.
pub(super) fn decoded(text: &str) -> String {
    request::decoded(text, false)
}
