//! Reads a web identity token from the source that the question names: a value or a file.

use std::io::Read as _;

use parallax_vocab::question::TokenSource;
use parallax_vocab::{Cause, Secret};

use crate::invalid;

/// The largest size of a token file, in bytes.
const LIMIT_BYTES: u64 = 64 * 1024;

/// Reads the token. A token file is read again for each question, because the kubelet replaces the file before the
/// token expires. SDKs do the same.
pub(crate) fn read(source: &TokenSource) -> Result<Secret, Cause> {
    let path = match source {
        TokenSource::Value(token) => return Ok(token.clone()),
        TokenSource::File(path) => path,
    };
    let unreadable = |why: std::io::Error| invalid(format!("the token {path} cannot be read: {why}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(LIMIT_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Secret::new(text.trim()))
}
