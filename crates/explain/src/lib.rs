//! Explains a failure in one sentence, with the fix.
//!
//! **Architecture Invariant:** this crate is pure. An explanation is computed from the record alone: from the question,
//! the answer and the cause. For a refused signature, the record also contains a finding, for which the run used its
//! secrets ([`signature`]).

mod form;
mod hints;
mod minio;
mod pasted;
mod refusal;
pub mod saw;
mod sentence;
pub mod signature;
mod store;
mod style;
mod unready;
mod url;
mod web_identity;

pub use pasted::{Pasted, pasted};
pub use refusal::{clock_apart, span};
pub use sentence::{Subject, of_step, sentence};
pub use store::{LogWords, log_words};
pub use url::{Line, dissect};
pub use web_identity::{Chain, web_identity};
