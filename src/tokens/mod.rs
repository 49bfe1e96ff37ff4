//! Tokens of ServiceAccounts. They are requested from the apiserver (TokenRequest), or signed by the harness, which
//! has the signing key of a cluster that it started. The tokens that the harness signs are for attacks and faults: an
//! expired token, a token that an unknown key signed, or a token that is forged with a shared secret.

mod error;
mod mint;
mod request;

pub use error::TokenError;
pub use mint::{Claims, Key};
pub use request::{Wanted, request};
