//! `{{ name }}` and `{{ name.field }}` in a scenario's strings.
//!
//! A scenario refers; it does not compute. So this is all there is: no filters, no conditions, and every reference has
//! a place that a message can point to.

use std::ops::Range;

/// What `{{ vantage.ca }}` refers to: the place where a program runs, and the file of the certificates that it trusts.
pub const VANTAGE: &str = "vantage";
/// See [`VANTAGE`].
pub const VANTAGE_CA: &str = "ca";

/// A reference in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Id of a fixture or a step.
    pub name: String,
    /// What of it: an export of a fixture.
    pub field: Option<String>,
    /// Where it stands in the text, braces included, in bytes.
    pub range: Range<usize>,
}

impl Reference {
    /// As it is written, without braces.
    pub fn path(&self) -> String {
        match &self.field {
            Some(field) => format!("{}.{field}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A template that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub message: String,
    /// The fix.
    pub fix: &'static str,
}

impl Malformed {
    fn new(message: impl Into<String>, fix: &'static str) -> Self {
        Self { message: message.into(), fix }
    }
}

/// For those who have a text where errors go: the message alone, since the loader has told the fix already.
impl From<Malformed> for String {
    fn from(wrong: Malformed) -> Self {
        wrong.message
    }
}

/// The references of a text, or what is wrong with one of its templates.
pub fn references(text: &str) -> Result<Vec<Reference>, Malformed> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{") {
        let open = at + open;
        let Some(length) = text[open..].find("}}") else {
            return Err(Malformed::new("a `{{` without its `}}`", "close it with `}}`"));
        };
        let end = open + length + 2;
        let inner = text[open + 2..end - 2].trim();
        let (name, field) = match inner.split_once('.') {
            Some((name, field)) => (name, Some(field)),
            None => (inner, None),
        };
        if !is_name(name) || !field.is_none_or(is_name) {
            let message = format!("`{{{{ {inner} }}}}` is not a reference");
            let fix = "write `{{ step }}` or `{{ fixture.export }}`: a scenario refers, it does not compute";
            return Err(Malformed::new(message, fix));
        }
        found.push(Reference { name: name.to_owned(), field: field.map(str::to_owned), range: open..end });
        at = end;
    }
    if text.contains("{%") {
        let fix = "write the value out, or make it a parameter of a fixture";
        return Err(Malformed::new("`{% %}` is not taken in a scenario", fix));
    }
    Ok(found)
}

/// The text with each reference replaced by what `value` says.
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

/// Ids and names: lower-case letters, digits and dashes, beginning with a letter.
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
    fn what_computes_is_refused() {
        for text in ["{{ a | upper }}", "{{ a", "{{ }}", "{{ a.b.c }}", "{% if a %}", "{{ a['b'] }}", "{{ A }}"] {
            assert!(references(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rendering_replaces_each_reference() {
        let out = render("{{ a }}-{{ b.c }}!", |r| Ok::<_, Malformed>(r.path().to_uppercase())).expect("valid");
        assert_eq!(out, "A-B.C!");
    }
}
