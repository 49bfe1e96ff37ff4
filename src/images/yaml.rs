//! Reading strict YAML with places.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::error::ImageError;

/// Reads a file. Unknown and repeated keys are errors.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, ImageError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ImageError::Unreadable { file: file.to_owned(), source })?;
    parse(file, &text)
}

/// Reads a text that stands in `file`.
pub(super) fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, ImageError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location();
        ImageError::Invalid {
            file: file.to_owned(),
            line: place.map(|place| place.line()),
            column: place.map(|place| place.column()),
            message: without_place(&error.without_snippet().to_string()),
        }
    })
}

/// An error at the place of a value.
pub(super) fn invalid<T>(file: &Path, at: &Spanned<T>, message: impl Into<String>) -> ImageError {
    let place = at.referenced;
    ImageError::Invalid {
        file: file.to_owned(),
        line: Some(place.line()),
        column: Some(place.column()),
        message: message.into(),
    }
}

/// The parser ends some messages with the place, which we put in front.
fn without_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).trim().to_owned()
}
