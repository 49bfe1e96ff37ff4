//! Explains a failure in one sentence, with the fix.
//!
//! **Architecture Invariant:** pure, and made from the record alone: question, answer, cause, and what the run found
//! out while it held the secrets ([`signature`]).

mod refusal;
mod sentence;
pub mod signature;
mod unready;
mod url;
mod web_identity;

pub use sentence::{Subject, of_step, sentence};
pub use url::{Line, dissect};
pub use web_identity::{Chain, web_identity};
