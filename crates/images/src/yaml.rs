//! Reads strict YAML: unknown and repeated keys are errors. A value of the type `Spanned` keeps its line and column for
//! error messages.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::error::ImageError;

/// The size of the largest YAML file that is read.
const SIZE_LIMIT_BYTES: u64 = 256 * 1024;

/// Reads and parses a YAML file. Unknown and repeated keys are errors.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, ImageError> {
    let text = read_text(file).map_err(|source| ImageError::Unreadable { file: file.to_owned(), source })?;
    parse(file, &text)
}

/// Reads a file of a project. The user perhaps does not trust this project. A symbolic link is refused, because an
/// error message could show the content of its target. A pipe is refused, because reading it could block.
fn read_text(file: &Path) -> io::Result<String> {
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if !file.symlink_metadata()?.is_file() {
        return Err(refuse("it is no regular file".to_owned()));
    }
    let mut text = String::new();
    File::open(file)?.take(SIZE_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_LIMIT_BYTES {
        return Err(refuse(format!("it is larger than {} KiB", SIZE_LIMIT_BYTES / 1024)));
    }
    Ok(text)
}

/// Parses a YAML text. `file` is the path for error messages.
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

/// The error for a mistake in a value. It contains the line and column of the value.
pub(super) fn invalid<T>(file: &Path, at: &Spanned<T>, message: impl Into<String>) -> ImageError {
    let place = at.referenced;
    ImageError::Invalid {
        file: file.to_owned(),
        line: Some(place.line()),
        column: Some(place.column()),
        message: message.into(),
    }
}

/// Removes the line and column from the end of a parser's message, because our errors already begin with them.
fn without_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).trim().to_owned()
}
