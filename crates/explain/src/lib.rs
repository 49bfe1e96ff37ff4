//! Explains a failure in one sentence, with the fix.
//!
//! **Architecture Invariant:** this crate is pure. An explanation is computed from the record alone: the question, the
//! answer, the cause, and the results that the run recorded when it examined signatures with its secrets
//! ([`signature`]).

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
