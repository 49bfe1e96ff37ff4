//! The sources of an error: the errors that caused it, from the outermost to the innermost.

use std::error::Error;
use std::iter::successors;

/// The errors that caused this error, from the outermost to the innermost. The error itself is not included.
pub fn sources<'a>(error: &'a (dyn Error + 'a)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(error.source(), |&it| it.source())
}

/// The message of an error, followed by the messages of the errors that caused it. The outer message alone is not
/// enough: for a failed connection, only the inner messages name the reason. A message that the text already contains
/// is not repeated.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for more in sources(error).map(ToString::to_string) {
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|it| it as _)
        }
    }

    #[test]
    fn a_message_is_followed_by_those_of_its_sources_once() {
        let of = |outer, middle, inner| Layer(outer, Some(Box::new(Layer(middle, Some(Box::new(Layer(inner, None)))))));
        for (error, expected) in [
            (Layer("alone", None), "alone"),
            (of("cannot send", "cannot connect", "refused"), "cannot send: cannot connect: refused"),
            (of("cannot send: refused", "refused", "no route"), "cannot send: refused: no route"),
        ] {
            assert_eq!(in_full(&error), expected);
        }
    }
}
