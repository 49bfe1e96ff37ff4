//! The parts of a step that can contain references: texts, and ids of other steps. Each type lists its fields once. Two
//! functions use this list: the search for references, and their replacement. A list that lacks a field does not
//! compile.

use indexmap::IndexMap;
use parallax_vocab::answer::Signature;
use parallax_vocab::question::Addressing;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};

use super::document::join;
use super::duration::Span;
pub use super::model::Leaves;
use super::template::{Template, Tree, Words};

/// A part of a step that can contain a reference.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A text with template references.
    Text(&'a Template),
    /// A text in which template references are not allowed.
    Plain(&'a str),
    /// The id of another step, and the output that the other step must provide.
    Step(&'a str, Leaves),
}

/// A function that visits the parts of a step. It gets the JSON pointer of each part, and the part.
pub type See<'a, 'p> = dyn FnMut(&str, Part<'p>) + 'a;

/// A type whose parts can contain references.
pub trait Parts: Sized {
    /// Visits every part with its JSON pointer. `at` is the pointer of this value.
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>);

    /// Returns the same value with every reference replaced. `words` looks up the value of a reference.
    fn filled(&self, words: &Words<'_>) -> Result<Self, String>;
}

/// Appends `key` to the pointer `at`, calls `then`, and restores the pointer. The key is empty for a part that appends
/// its own key. All parts share one pointer, because most parts contain no reference, and a pointer for each part would
/// be wasted work.
pub fn below(at: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    if !key.is_empty() {
        at.push('/');
    }
    at.extend(key.chars().map(|c| if c == '_' { '-' } else { c }));
    then(at);
    at.truncate(length);
}

/// Implements `Parts` for a type. The macro takes the names of the type's fields. A field whose key in scenarios
/// differs from its name has `as "KEY"`.
macro_rules! parts {
    ($type:ident { $($field:ident $(as $key:literal)?),* $(,)? }) => {
        impl $crate::scenario::parts::Parts for $type {
            fn see<'p>(&'p self, at: &mut String, to: &mut $crate::scenario::parts::See<'_, 'p>) {
                let Self { $($field),* } = self;
                $($crate::scenario::parts::below(
                    at,
                    $crate::scenario::parts::parts!(@key $field $($key)?),
                    |at| $crate::scenario::parts::Parts::see($field, at, to),
                );)*
            }

            fn filled(&self, words: &$crate::scenario::template::Words<'_>) -> Result<Self, String> {
                let Self { $($field),* } = self;
                Ok(Self { $($field: $crate::scenario::parts::Parts::filled($field, words)?),* })
            }
        }
    };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
}
pub(crate) use parts;

/// Implements `Parts` for types whose values contain neither a template (`{{ … }}`) nor the id of another step, for
/// example numbers.
macro_rules! no_parts {
    ($($type:ty),* $(,)?) => {
        $(impl $crate::scenario::parts::Parts for $type {
            fn see<'p>(&'p self, _: &mut String, _: &mut $crate::scenario::parts::See<'_, 'p>) {}

            fn filled(&self, _: &$crate::scenario::template::Words<'_>) -> Result<Self, String> {
                Ok(self.clone())
            }
        })*
    };
}
pub(crate) use no_parts;

no_parts!(bool, u16, u32, u64, usize, i32, f64, Span, ConnectFault, DnsFault, TlsFault, Signature, Addressing);

impl Parts for String {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        to(at, Part::Plain(self));
    }

    fn filled(&self, _: &Words<'_>) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl Parts for Template {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        to(at, Part::Text(self));
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.filled(words)
    }
}

impl Parts for Tree {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        let length = at.len();
        for (pointer, text) in self.texts() {
            at.push_str(pointer);
            to(at, Part::Text(text));
            at.truncate(length);
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.filled(words)
    }
}

impl<T: Parts> Parts for Option<T> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        if let Some(it) = self {
            it.see(at, to);
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.as_ref().map(|it| it.filled(words)).transpose()
    }
}

impl<T: Parts> Parts for Box<T> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        self.as_ref().see(at, to);
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.as_ref().filled(words).map(Self::new)
    }
}

impl<T: Parts> Parts for Vec<T> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        for (index, it) in self.iter().enumerate() {
            below(at, &index.to_string(), |at| it.see(at, to));
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.iter().map(|it| it.filled(words)).collect()
    }
}

impl<T: Parts> Parts for IndexMap<String, T> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        let length = at.len();
        for (key, it) in self {
            at.push_str(&join("", key));
            it.see(at, to);
            at.truncate(length);
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        self.iter().map(|(key, it)| Ok((key.clone(), it.filled(words)?))).collect()
    }
}
