//! A number of a step or of a matcher. A scenario writes it as a number, or as a text whose references yield the
//! number.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU16;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::parts::{Parts, See};
use super::template::{Template, Words};

/// A number. Instead of a number, a scenario can write a text with references that yield the number. `Open` is the type
/// of this text. After the references are replaced, no text is left. The type is then [`Infallible`], which has no
/// values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Number<T, Open = Infallible> {
    /// The number.
    Known(T),
    /// A text whose references are not replaced yet.
    Open(Open),
}

/// The type of a text that a scenario writes instead of a number.
pub trait Opening: Sized {
    /// Returns the text if it contains references. `None` if it contains no references, so that it must be a number.
    fn of(text: &str) -> Option<Self>;

    /// Returns the text as it is written.
    fn text(&self) -> &str;
}

impl Opening for Template {
    fn of(text: &str) -> Option<Self> {
        let text = Self::from(text);
        text.is_open().then_some(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Opening for Infallible {
    fn of(_: &str) -> Option<Self> {
        None
    }

    fn text(&self) -> &str {
        match *self {}
    }
}

/// A type of numbers that a scenario contains.
pub trait Numeral: Copy + FromStr + Serialize + DeserializeOwned + JsonSchema {
    /// The texts from which a number of this type can be read, in words for messages.
    const WHAT: &'static str;
}

macro_rules! numerals {
    ($($type:ty: $what:literal,)*) => {
        $(impl Numeral for $type {
            const WHAT: &'static str = $what;
        })*
    };
}

numerals! {
    u16: "a whole number from 0 to 65535",
    NonZeroU16: "a whole number from 1 to 65535",
    u64: "a whole number",
    usize: "a whole number",
    i32: "a whole number",
    f64: "a number",
}

fn parsed<T: Numeral>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not {}", T::WHAT))
}

impl<T: Copy, Open> Number<T, Open> {
    /// Returns the number. `None` if a reference yields the number, because the number is then known only during the
    /// run.
    pub fn known(&self) -> Option<T> {
        if let Self::Known(number) = self { Some(*number) } else { None }
    }
}

impl<T: Numeral> Number<T, Template> {
    /// Returns the number. The caller must have replaced the references.
    ///
    /// # Errors
    /// Returns a message if the text is not a number of the type `T`.
    pub fn number(&self) -> Result<T, String> {
        match self {
            Self::Known(number) => Ok(*number),
            Self::Open(text) => parsed(text),
        }
    }
}

impl<T> Deref for Number<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Known(number) => number,
            Self::Open(never) => match *never {},
        }
    }
}

impl<T: fmt::Display> fmt::Display for Number<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: Serialize, Open: Opening> Serialize for Number<T, Open> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(number) => number.serialize(serializer),
            Self::Open(open) => open.text().serialize(serializer),
        }
    }
}

impl<'de, T: Numeral, Open: Opening> Deserialize<'de> for Number<T, Open> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => match Open::of(&text) {
                Some(open) => Ok(Self::Open(open)),
                None => parsed(&text).map(Self::Known).map_err(D::Error::custom),
            },
            other => serde_json::from_value(other).map(Self::Known).map_err(D::Error::custom),
        }
    }
}

impl<T: Numeral> Parts for Number<T, Template> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        if let Self::Open(text) = self {
            text.see(at, to);
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(Self::Known(match self {
            Self::Known(number) => *number,
            Self::Open(text) => parsed(&text.filled(words)?)?,
        }))
    }
}

impl<T: Numeral, Open> JsonSchema for Number<T, Open> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        or_reference(&T::json_schema(generator).to_value())
    }
}

/// Returns the schema of a whole number from `LEAST` to `MOST`.
pub fn within<const LEAST: i64, const MOST: i64>(_: &mut SchemaGenerator) -> Schema {
    or_reference(&json!({ "type": "integer", "minimum": LEAST, "maximum": MOST }))
}

/// The pattern of a text that a scenario writes instead of a number: the text contains a reference.
pub(crate) const REFERENCE: &str = r"\{\{";

fn or_reference(number: &Value) -> Schema {
    schemars::json_schema!({
        "anyOf": [
            number,
            {
                "type": "string",
                "pattern": REFERENCE,
                "description": "Write a number, or a reference that yields it."
            }
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled<T: Numeral>(written: &Value) -> Result<T, String> {
        let words: &Words<'_> = &|reference| match reference.path().as_str() {
            "service.port" => Ok("30443".to_owned()),
            "took.seconds" => Ok("1.5".to_owned()),
            _ => Ok("https".to_owned()),
        };
        let number: Number<T, Template> = serde_json::from_value(written.clone()).map_err(|it| it.to_string())?;
        assert_eq!(serde_json::to_value(&number).expect("plain data"), *written, "the number is written as it was");
        Parts::filled(&number, words)?.number()
    }

    #[test]
    fn a_number_is_written_as_a_number_or_as_a_reference_that_yields_one() {
        let wrong = |text: &str| Err(format!("`{text}` is not a whole number from 1 to 65535"));
        for (written, number) in [
            (json!(8443), Ok(8443)),
            (json!("{{ service.port }}"), Ok(30443)),
            (json!("3{{ service.port }}"), wrong("330443")),
            (json!("{{ service.name }}"), wrong("https")),
            (json!("{{ took.seconds }}"), wrong("1.5")),
            (json!("https"), wrong("https")),
        ] {
            assert_eq!(filled::<NonZeroU16>(&written).map(NonZeroU16::get), number, "{written}");
        }
        for written in [json!(0), json!(-1), json!(1.5), json!(true), json!(null), json!([1])] {
            assert!(filled::<NonZeroU16>(&written).is_err(), "{written}");
        }
        assert_eq!(filled::<f64>(&json!("{{ took.seconds }}")), Ok(1.5));
        assert_eq!(filled::<u64>(&json!("{{ took.seconds }}")), Err("`1.5` is not a whole number".to_owned()));
    }

    #[test]
    fn the_values_of_an_axis_are_texts_that_yield_numbers() {
        // The matrix replaces its own references before the step is read. The result is a text with a plain number.
        let port: Number<u16, Template> = serde_json::from_value(json!("8443")).expect("a number");
        assert_eq!(port.known(), Some(8443));
    }
}
