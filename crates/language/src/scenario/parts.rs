//! The parts of a step that can contain references: texts, and ids of other steps. A type lists its fields once. The
//! search for references and their replacement both use this list. A list that lacks a field does not compile.

use indexmap::IndexMap;
use parallax_vocab::answer::Signature;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};

use super::document::join;
use super::duration::Span;
pub use super::model::Leaves;
use super::template::{Template, Tree, Words};

/// A part that can contain a reference.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A text with references.
    Text(&'a Template),
    /// A text in which references are not allowed.
    Plain(&'a str),
    /// The id of another step, and the output that this step must provide.
    Step(&'a str, Leaves),
}

/// A visitor. It gets the pointer of each part, and the part.
pub type See<'a, 'p> = dyn FnMut(&str, Part<'p>) + 'a;

/// A type whose parts can contain references.
pub trait Parts: Sized {
    /// Visits every part with its pointer. `at` is the pointer of this value.
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>);

    /// Returns the same value with every reference replaced.
    fn filled(&self, words: &Words<'_>) -> Result<Self, String>;
}

/// Continues below a key. The key is empty for a part that adds its own key. All parts share one pointer that grows and
/// shrinks, because most parts contain no reference and need no pointer of their own.
pub fn below(at: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    if !key.is_empty() {
        at.push('/');
    }
    at.extend(key.chars().map(|c| if c == '_' { '-' } else { c }));
    then(at);
    at.truncate(length);
}

/// Implements `Parts` for a type. The macro gets the fields of the type, each with its key in scenarios.
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

/// Implements `Parts` for types that cannot contain references.
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

no_parts!(bool, u16, u32, u64, usize, i32, f64, Span, ConnectFault, DnsFault, TlsFault, Signature);

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
