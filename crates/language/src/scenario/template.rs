//! References in the texts of a scenario: `{{ name }}` and `{{ name.field }}`.
//!
//! A scenario only refers to values and does not compute. Therefore a reference has no filters and no conditions. Every
//! reference has a place to which a message can point.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::document::join;

/// The name in `{{ vantage.ca }}`. The value is the path of a file at the vantage with the certificates that the
/// vantage trusts.
pub const VANTAGE: &str = "vantage";
/// The field name `ca` in `{{ vantage.ca }}`.
pub const VANTAGE_CA: &str = "ca";

/// The name in `{{ variant.nonce }}`. The value is a word that is unique to the variant and the run.
pub const VARIANT: &str = "variant";
/// The field name `nonce` in `{{ variant.nonce }}`.
pub const NONCE: &str = "nonce";

/// A reference in a text: `{{ name }}` or `{{ name.field }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The id of a fixture or a step, or a reserved word such as `vantage`.
    pub name: String,
    /// The field after the dot: an export of a fixture, or a capture of a step. `None` for `{{ name }}`.
    pub field: Option<String>,
    /// The byte range of the reference in the text, including the braces.
    pub range: Range<usize>,
}

impl Reference {
    /// Returns the reference as it is written, without the braces: `name` or `name.field`.
    pub fn path(&self) -> String {
        match &self.field {
            Some(field) => format!("{}.{field}", self.name),
            None => self.name.clone(),
        }
    }
}

/// An invalid template in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The description of the mistake.
    pub message: String,
    /// The likely fix of the mistake.
    pub fix: &'static str,
}

impl Malformed {
    fn new(message: impl Into<String>, fix: &'static str) -> Self {
        Self { message: message.into(), fix }
    }
}

/// Converts the error to its message. The fix is left out, because it was already reported when the scenario was
/// loaded.
impl From<Malformed> for String {
    fn from(wrong: Malformed) -> Self {
        wrong.message
    }
}

/// Returns the references in a text, or an error if a reference in it is invalid.
pub fn references(text: &str) -> Result<Vec<Reference>, Malformed> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{") {
        let open = at + open;
        let Some(length) = text[open..].find("}}") else {
            return Err(Malformed::new("there is no `}}` for this `{{`", "close it with `}}`"));
        };
        let end = open + length + 2;
        let inner = text[open + 2..end - 2].trim();
        let (name, field) = match inner.split_once('.') {
            Some((name, field)) => (name, Some(field)),
            None => (inner, None),
        };
        if !is_name(name) || !field.is_none_or(is_name) {
            let message = format!("`{{{{ {inner} }}}}` is not a reference");
            let fix = "write `{{ step }}` or `{{ fixture.export }}`; expressions are not allowed in a scenario";
            return Err(Malformed::new(message, fix));
        }
        found.push(Reference { name: name.to_owned(), field: field.map(str::to_owned), range: open..end });
        at = end;
    }
    if text.contains("{%") {
        let fix = "write the value itself, or make it a parameter of a fixture";
        return Err(Malformed::new("`{% %}` is not allowed in a scenario", fix));
    }
    Ok(found)
}

/// Replaces each reference in a text by the value that `value` returns for it.
pub fn render<E: From<Malformed>>(
    text: &str,
    mut value: impl FnMut(&Reference) -> Result<String, E>,
) -> Result<String, E> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for reference in references(text).map_err(E::from)? {
        out.push_str(&text[at..reference.range.start]);
        out.push_str(&value(&reference)?);
        at = reference.range.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// A text with its references. The references are parsed once, when the text is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// The references, or the error in one of them. The error is boxed, because errors are rare, and without the box
    /// the error would make every template larger.
    parsed: Parsed,
}

type Parsed = Result<Vec<Reference>, Box<Malformed>>;

impl Template {
    /// Returns a template for a literal text. References in the text are not replaced.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), parsed: Ok(Vec::new()) }
    }

    /// Returns the text as it is written, with its references.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the references in the text, or an error if one of them is invalid.
    pub fn references(&self) -> Result<&[Reference], &Malformed> {
        self.parsed.as_deref().map_err(AsRef::as_ref)
    }

    /// Whether the text contains references, so that its value is not known yet.
    pub fn is_open(&self) -> bool {
        self.text.contains("{{")
    }

    /// Returns the text with each reference replaced by its value.
    pub fn filled(&self, value: &Words<'_>) -> Result<Self, String> {
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for reference in self.references().map_err(|wrong| wrong.message.clone())? {
            out.push_str(&self.text[at..reference.range.start]);
            out.push_str(&value(reference)?);
            at = reference.range.end;
        }
        out.push_str(&self.text[at..]);
        Ok(Self::plain(out))
    }
}

/// A function that returns the value of a reference, or a message that says why there is no value.
pub type Words<'a> = dyn Fn(&Reference) -> Result<String, String> + 'a;

impl Deref for Template {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        let parsed = references(&text).map_err(Box::new);
        Self { text, parsed }
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// A JSON value whose texts can contain references. The references are parsed once, when the value is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    value: Value,
    /// The texts of the value that contain references, each with its JSON pointer.
    texts: Vec<(String, Template)>,
}

impl Tree {
    /// Returns the JSON value. Unless [`Self::filled`] has replaced the references, the value contains them as they are
    /// written.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the texts that contain references, each with its JSON pointer.
    pub fn texts(&self) -> &[(String, Template)] {
        &self.texts
    }

    /// Returns the value with each reference replaced by the reference's value.
    pub fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        let mut value = self.value.clone();
        for (pointer, text) in &self.texts {
            if let Some(place) = value.pointer_mut(pointer) {
                *place = Value::String(text.filled(words)?.text);
            }
        }
        Ok(Self { value, texts: Vec::new() })
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        let mut texts = Vec::new();
        gather(&value, "", &mut texts);
        Self { value, texts }
    }
}

fn gather(value: &Value, at: &str, texts: &mut Vec<(String, Template)>) {
    match value {
        Value::String(text) if text.contains("{{") || text.contains("{%") => {
            texts.push((at.to_owned(), Template::from(text.as_str())));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, it)| gather(it, &format!("{at}/{index}"), texts));
        }
        Value::Object(map) => map.iter().for_each(|(key, it)| gather(it, &join(at, key), texts)),
        _ => {}
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Tree {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Value::json_schema(generator)
    }
}

/// Whether a text is a valid id or name: lower-case letters, digits and dashes, beginning with a letter.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.ends_with('-')
        && text.len() <= 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_with_their_places() {
        let found = references("https://{{ store.host }}/a?b={{url}}").expect("valid");
        let paths: Vec<_> = found.iter().map(|it| (it.path(), it.range.clone())).collect();
        assert_eq!(paths, [("store.host".to_owned(), 8..24), ("url".to_owned(), 29..36)]);
    }

    #[test]
    fn an_expression_is_refused() {
        for text in ["{{ a | upper }}", "{{ a", "{{ }}", "{{ a.b.c }}", "{% if a %}", "{{ a['b'] }}", "{{ A }}"] {
            assert!(references(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replaced_text_is_not_parsed_again() {
        let words = |_: &Reference| Ok("{{ b }}".to_owned());
        let filled = Template::from("x {{ a }}").filled(&words).expect("filled in");
        assert_eq!(filled.as_str(), "x {{ b }}");
        assert_eq!(filled.references().map(<[_]>::len), Ok(0));
        let tree = Tree::from(serde_json::json!({"a/b": ["{{ a }}", 1], "c": "d"}));
        assert_eq!(tree.texts()[0].0, "/a~1b/0");
        let filled = tree.filled(&words).expect("filled in");
        assert_eq!(*filled.value(), serde_json::json!({"a/b": ["{{ b }}", 1], "c": "d"}));
    }

    #[test]
    fn rendering_replaces_each_reference() {
        let out = render("{{ a }}-{{ b.c }}!", |r| Ok::<_, Malformed>(r.path().to_uppercase())).expect("valid");
        assert_eq!(out, "A-B.C!");
    }
}
