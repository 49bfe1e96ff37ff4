//! ServiceAccount tokens: asked for by TokenRequest, or minted for the purpose, since the harness owns the cluster and
//! its keys: one that has ended, one that no cluster signed, one that is forged with a shared secret.

mod error;
mod mint;
mod request;

pub use error::TokenError;
pub use mint::{Claims, Key};
pub use request::{Wanted, request};
