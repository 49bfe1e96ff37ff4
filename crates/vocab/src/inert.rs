//! Makes untrusted text (from pods, servers, and other people's scenario files) safe to display. All untrusted text
//! passes through this module before a terminal, GitHub's log or an HTML page shows it.
//!
//! A terminal interprets control characters. GitHub's runner interprets `::command::` at the beginning of a line, and
//! `##[command]` anywhere in a line (actions/runner, `ActionCommand.TryParse`). Bidirectional control characters make a
//! reader see the characters of a line in another order.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Escapes everything in the text that a terminal or GitHub's runner would interpret. A control character or
/// bidirectional mark becomes an escape such as `\u{1b}`. A command of GitHub's runner is made harmless by a backslash.
/// Newlines and tabs stay. A carriage return before a newline is dropped.
pub fn inert(text: &str) -> Cow<'_, str> {
    let acts =
        |(at, c): (usize, char)| is_mark(c) || (c == '[' && text[..at].ends_with("##")) || begins_command(text, at);
    if !text.char_indices().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if c == '\r' && text[at + 1..].starts_with('\n') {
            continue;
        }
        if is_mark(c) {
            out.extend(c.escape_unicode());
            continue;
        }
        if (c == '[' && text[..at].ends_with("##")) || begins_command(text, at) {
            out.push('\\');
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Applies [`inert`] to every string and every field name in a JSON value.
pub fn inert_value(value: Value) -> Value {
    match value {
        Value::String(text) => match inert(&text) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(text) => Value::String(text),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(inert_value).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (inert(&name).into_owned(), inert_value(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// Whether a character has an effect on the display but no visible form, such as a control character or a bidirectional
/// mark.
fn is_mark(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Whether GitHub's runner would read a command at the byte `at` of the text: two colons and a word, with only white
/// space before them in their line.
fn begins_command(text: &str, at: usize) -> bool {
    let Some(word) = text[at..].strip_prefix("::") else { return false };
    let before = text[..at].rsplit('\n').next().unwrap_or_default();
    before.chars().all(char::is_whitespace) && word.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_text_acts() {
        for (text, shown) in [
            ("plain, ä and 日本\n\tand a tab", "plain, ä and 日本\n\tand a tab"),
            ("\x1b]0;pwned\x07\x1b[2J", "\\u{1b}]0;pwned\\u{7}\\u{1b}[2J"),
            ("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\u{7f}"),
            ("dos\r\nover\rwritten", "dos\nover\\u{d}written"),
            ("a\u{202e}b\u{2066}c\u{2028}", "a\\u{202e}b\\u{2066}c\\u{2028}"),
            ("say ##[add-mask]FAILED", "say ##\\[add-mask]FAILED"),
            ("one\n  ::error file=x::y", "one\n  \\::error file=x::y"),
            ("::stop-commands::x", "\\::stop-commands::x"),
            ("peer ::1, std::fs", "peer ::1, std::fs"),
            ("::1", "::1"),
        ] {
            assert_eq!(inert(text), shown, "{text:?}");
            assert_eq!(inert(shown), shown, "made inert twice");
        }
        assert_eq!(inert_value(json!({"\x07": ["\x1b", 1]})), json!({"\\u{7}": ["\\u{1b}", 1]}));
    }
}
