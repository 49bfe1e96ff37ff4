//! Explains texts that are not valid YAML, or that do not mean what their author intended. The messages do not come
//! from the parser. Each message is at the place where a person would fix the mistake.

use std::ops::Range;

use saphyr_parser::ScanError;

use super::diagnostic::{Diagnostic, Source};
use super::document::DEPTH_LIMIT;

/// Returns a diagnostic that replaces the parser's error, at the place where a person would fix the mistake. `at` is
/// the byte offset at which the parser stopped.
pub(super) fn explain(source: &Source, error: &ScanError, at: usize) -> Diagnostic {
    let number = source.line_of(at);
    let lines = source.text().matches('\n').count() + 1;
    for number in [number, number + 1, number - 1].into_iter().filter(|number| (1..=lines).contains(number)) {
        let line = source.line(number);
        let indent = &line[..line.len() - line.trim_start().len()];
        if let Some(tab) = indent.find('\t') {
            let at = source.line_start(number) + tab;
            let error = source.error(&(at..at + 1), "there is a tab in the indentation");
            return error.label("tab").fix("YAML allows only spaces there; replace each tab by two spaces");
        }
    }
    let info = error.info();
    // If a quote is not closed, the quoted text ends at the next quote, which is often in a later line. The parser
    // reports the error only after that next quote.
    if let Some((begin, end)) = last_quoted(&source.text()[..at])
        && source.line_of(begin) < number
        && source.line_of(end) == number
    {
        let error = source.error(&(begin..begin + 1), "this quote is not closed in its line");
        return error.fix("end the text with the same quote that it begins with");
    }
    let unclosed = ["indentation", "flow", "did not find expected", "only valid inside a block"];
    let open = unclosed.iter().any(|it| info.contains(it)).then(|| open_bracket(&source.text()[..at])).flatten();
    if let Some((at, bracket)) = open.filter(|(at, _)| source.line_of(*at) < number) {
        let close = if bracket == '{' { '}' } else { ']' };
        let error = source.error(&(at..at + 1), format!("this `{bracket}` is not closed"));
        return error.fix(format!("close it with `{close}`"));
    }
    if info.starts_with("simple key") {
        // The parser reports a key without `: ` only at the beginning of the next line. Therefore the line before this
        // place is examined.
        let before = source.text()[..at].trim_end();
        let line = source.line(source.line_of(before.len()));
        let begin = source.line_start(source.line_of(before.len())) + line.len() - line.trim_start().len();
        let word = line.split_whitespace().next().unwrap_or_default();
        let fix = match word.split_once(':') {
            Some((key, value)) if !value.is_empty() => format!("put a space after the colon: `{key}: {value}`"),
            _ => format!("write `{word}: …`"),
        };
        return source.error(&(begin..before.len()), "there is no `: ` after this key").fix(fix);
    }
    if info == "mapping values are not allowed in this context" {
        let before = &source.line(number)[..at - source.line_start(number)];
        let key = before.trim_start_matches(|c: char| c.is_whitespace() || c == '-');
        if !key.contains(':') {
            let at = at - key.len();
            let error = source.error(
                &(at..at + key.len()),
                format!("wrong indentation: `{key}` is indented deeper than the keys before it"),
            );
            return error.fix("indent the keys of one mapping equally");
        }
    }
    let (message, fix) = in_our_words(info);
    source.error(&(at..at + 1), message).maybe_fix(fix)
}

/// Returns the error for a list or a mapping that stands where a key is expected. The usual reason is a template
/// without quotes.
pub(super) fn odd_key(source: &Source, range: &Range<usize>) -> Diagnostic {
    let text = source.text();
    let outer = range.start.saturating_sub(1);
    if text[outer..].starts_with("{{") {
        let end = text[outer..].find("}}").map_or(range.end, |length| outer + length + 2);
        let template = &text[outer..end];
        return source.error(&(outer..end), "this template has no quotes").fix(format!("write \"{template}\""));
    }
    source.error(range, "a key must be text, not a list or a mapping")
}

/// Returns the innermost `{` or `[` that the text does not close, with its byte offset.
fn open_bracket(text: &str) -> Option<(usize, char)> {
    scan(text).bracket
}

/// Returns the byte offsets of the two quotes of the last text in quotes. `None` if no text in quotes has ended.
fn last_quoted(text: &str) -> Option<(usize, usize)> {
    scan(text).quoted
}

/// The result of a scan of a text from its beginning to its end.
struct Scanned {
    /// The innermost bracket that is still open at the end of the text, with its byte offset.
    bracket: Option<(usize, char)>,
    /// The byte offsets of the quotes of the last text in quotes that has ended.
    quoted: Option<(usize, usize)>,
}

fn scan(text: &str) -> Scanned {
    let mut open = Vec::new();
    let mut quote = None;
    let mut quoted = None;
    let mut before = ' ';
    let mut comment = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (_, '\n') => comment = false,
            _ if comment => {}
            (Some((begin, q)), _) if c == q => {
                quoted = Some((begin, at));
                quote = None;
            }
            // A quote after a letter or a digit is an apostrophe. A `#` starts a comment only after a space.
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some((at, c)),
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '{' | '[') => open.push((at, c)),
            (None, '}' | ']') => {
                open.pop();
            }
            _ => {}
        }
        before = c;
    }
    Scanned { bracket: open.pop(), quoted }
}

/// Returns a clearer message, with a fix, for a message of the parser about a common mistake.
fn in_our_words(info: &str) -> (String, Option<String>) {
    let (message, fix) = match info {
        "mapping values are not allowed in this context" => {
            ("a mapping cannot begin here, but there is a `:`", "put a text that contains `: ` in quotes")
        }
        "while parsing a block mapping, did not find expected key" => (
            "wrong indentation: this does not belong to any mapping above it",
            "indent the keys of one mapping equally",
        ),
        "while parsing a block collection, did not find expected '-' indicator" => (
            "wrong indentation: this does not belong to any list above it",
            "begin each entry with `- `, and indent all entries equally",
        ),
        "invalid indentation" | "invalid indentation in flow construct" => {
            ("wrong indentation", "indent it deeper than the key it belongs to")
        }
        "block sequence entries are not allowed in this context" => {
            ("a list cannot begin here", "put the first `- ` on a separate line below the key")
        }
        "while parsing a flow mapping, did not find expected ',' or '}'" => {
            ("a `{` is not closed, or a `,` is missing", "close it with `}`, and put `,` between its entries")
        }
        "while parsing a flow sequence, expected ',' or ']'" => {
            ("a `[` is not closed, or a `,` is missing", "close it with `]`, and put `,` between its entries")
        }
        "while scanning a quoted scalar, found unexpected end of stream" | "invalid indentation in quoted scalar" => {
            ("a quote is not closed", "end the text with the same quote that it begins with")
        }
        "while parsing node, found unknown anchor" => {
            ("aliases (`*name`) are not allowed", "write the value itself, or put text that begins with `*` in quotes")
        }
        "while parsing a quoted scalar, found unknown escape character" => {
            ("there is an unknown escape in double quotes", "write `\\\\` for a backslash, or use single quotes")
        }
        "invalid trailing content after double-quoted scalar" => {
            ("there is text after a closing quote", "put the whole value in quotes")
        }
        "recursion limit exceeded" => return (format!("the nesting is deeper than {DEPTH_LIMIT} levels"), None),
        info if info.starts_with("unexpected character") => {
            return (info.to_owned(), Some("put text that begins with this character in quotes".to_owned()));
        }
        info if info.contains("tab") => ("there is a tab where YAML allows only spaces", "replace the tab by spaces"),
        info => return (format!("the file is not valid YAML: {info}"), None),
    };
    (message.to_owned(), Some(fix.to_owned()))
}
