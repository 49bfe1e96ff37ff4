//! Percent-encoding by RFC 3986, as AWS requires it for signatures. All characters except the unreserved ones are
//! encoded, with upper-case hexadecimal digits.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The characters that are encoded: all except the unreserved ones of RFC 3986.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The characters that are encoded in a path: those of [`RESERVED`], except the slash.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Percent-encodes a text. With `keep_slash`, slashes stay as they are. Use `keep_slash` for a path.
pub fn encoded(text: &str, keep_slash: bool) -> String {
    utf8_percent_encode(text, if keep_slash { RESERVED_IN_PATH } else { RESERVED }).to_string()
}

/// Decodes the percent-encoded characters of a text. An invalid escape, such as `%zz`, stays as it is.
pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        for (text, keep_slash, expected) in [
            ("az-AZ.09_~", false, "az-AZ.09_~"),
            ("a b/c+d", false, "a%20b%2Fc%2Bd"),
            ("a b/c+d", true, "a%20b/c%2Bd"),
            ("é%!*'()", true, "%C3%A9%25%21%2A%27%28%29"),
        ] {
            assert_eq!(encoded(text, keep_slash), expected, "{text}");
            assert_eq!(decoded(expected), text, "{expected}");
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (text, expected) in [("%2f%2F", "//"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("a+b", "a+b")] {
            assert_eq!(decoded(text), expected, "{text}");
        }
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }
}
