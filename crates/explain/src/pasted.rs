//! Reads a URL as people paste it: with the escapes of the shell, JSON or HTML from which it was copied.

use parallax_vocab::percent::decoded;

/// A URL that was extracted from pasted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pasted {
    /// The URL that was found in the text.
    pub url: String,
    /// The escapes that were removed, one sentence for each.
    pub notes: Vec<String>,
}

/// Escapes of HTML, with the characters that they stand for. They are replaced several times, because an ampersand may
/// be escaped twice (`&amp;amp;`).
const HTML: [(&str, &str); 6] =
    [("&amp;", "&"), ("&#38;", "&"), ("&#x26;", "&"), ("&#61;", "="), ("&#x3D;", "="), ("&#x3d;", "=")];
/// The characters in a URL that users of a shell escape with a backslash. The backslash is removed, because it is not
/// part of the URL.
const PROTECTED: &str = "&?=%;!()[]*$'\"~#+,@:";
/// The largest number of times that the same kind of escape is removed from one text.
const LAYERS: usize = 4;

/// Extracts a URL from pasted text. If the text contains neither `http:` nor `https:`, its first word counts as the
/// URL.
pub fn pasted(text: &str) -> Pasted {
    let mut notes = Vec::new();
    let mut url = joined(text, &mut notes);
    let scheme = url.to_lowercase();
    if ["http%3a%2f%2f", "https%3a%2f%2f"].iter().any(|it| scheme.starts_with(it)) {
        url = decoded(&url);
        notes.push(
            "the URL was percent-encoded as a whole, as a parameter of another URL is; it is read decoded".to_owned(),
        );
    }
    for (name, undo) in [
        ("JSON (`\\u0026`, `\\/`)", json as fn(&str) -> String),
        ("HTML (`&amp;`)", html),
        ("a shell (`\\&`, `^&`)", shell),
    ] {
        let plain = undo(&url);
        if plain != url {
            notes.push(format!("the URL is escaped for {name}; it is read without, and a client must open it without"));
            url = plain;
        }
    }
    Pasted { url: alone(&url).to_owned(), notes }
}

/// Joins the lines into which a terminal or a mail program broke the URL, and removes the text before the URL.
fn joined(text: &str, notes: &mut Vec<String>) -> String {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let starts = ["https:", "http:", "https%3a", "http%3a"];
    let start = starts.iter().filter_map(|it| lower.find(it)).min().unwrap_or_default();
    let lines: Vec<&str> = text[start..].lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    if lines.len() > 1 {
        notes.push(format!("the URL was broken into {} lines; it is read as one", lines.len()));
    }
    lines.concat()
}

/// Removes the text after the URL: a closing quote, a bracket or a word.
fn alone(text: &str) -> &str {
    let end = text.find(|it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '<' | '>' | '`' | '|' | '\\'));
    let url = &text[..end.unwrap_or(text.len())];
    url.trim_end_matches([',', ')', ']', '}'])
}

fn json(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..4).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        let character = code.and_then(|it| u32::from_str_radix(it, 16).ok()).and_then(char::from_u32);
        match character {
            Some(character) => plain.extend(std::iter::once(character).chain(part[4..].chars())),
            None => plain.extend(["\\u", part]),
        }
    }
    plain.replace("\\/", "/")
}

fn html(text: &str) -> String {
    let mut plain = text.to_owned();
    for _ in 0..LAYERS {
        let before = plain.clone();
        for (escape, character) in HTML {
            plain = plain.replace(escape, character);
        }
        if plain == before {
            break;
        }
    }
    plain
}

fn shell(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let protects = |marks: &str, next: Option<&char>| next.is_some_and(|it| marks.contains(*it));
        match character {
            '\\' if protects(PROTECTED, characters.peek()) => {}
            // `^` is the escape character of the Windows command prompt, and the backtick is the escape character of
            // PowerShell. An escape character is removed if the next character is one that it escapes.
            '^' if protects("&%^", characters.peek()) => {}
            '`' if protects("&$", characters.peek()) => {}
            character => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://s3.example.com/docs/a%20b.txt?X-Amz-Date=20261122T150000Z&X-Amz-Signature=0123";

    #[test]
    fn a_url_is_read_as_it_was_copied() {
        let escaped = |from: &str, to: &str| URL.replace(from, to);
        let whole: String = URL
            .bytes()
            .map(|it| match it {
                b':' | b'/' | b'?' | b'=' | b'&' | b'%' => format!("%{it:02X}"),
                it => char::from(it).to_string(),
            })
            .collect();
        for (name, text, note) in [
            ("plain", URL.to_owned(), None),
            ("spaces", format!("  {URL}\r\n"), None),
            ("single quotes", format!("'{URL}'"), None),
            ("double quotes", format!("\"{URL}\","), None),
            ("a mail's brackets", format!("<{URL}>"), None),
            ("Markdown", format!("[link]({URL})"), None),
            ("a command", format!("curl -o a.txt '{URL}' -v"), None),
            ("a variable", format!("URL={URL}"), None),
            ("JSON", format!("\"url\":\"{}\"}}", escaped("&", "\\u0026")), Some("JSON")),
            ("JSON of PHP", escaped("/", "\\/"), Some("JSON")),
            ("HTML", format!("href=\"{}\">open</a>", escaped("&", "&amp;")), Some("HTML")),
            ("HTML, twice", escaped("&", "&amp;amp;"), Some("HTML")),
            ("HTML, by number", escaped("&", "&#38;").replace('=', "&#61;"), Some("HTML")),
            ("zsh", escaped("&", "\\&").replace('?', "\\?").replace('=', "\\="), Some("shell")),
            ("the command prompt", escaped("&", "^&").replace('%', "^%"), Some("shell")),
            ("two lines", escaped("&", "\n  &"), Some("2 lines")),
            ("a parameter", whole, Some("percent-encoded as a whole")),
        ] {
            let read = pasted(&text);
            assert_eq!(read.url, URL, "{name}: {text}");
            let told = read.notes.join("; ");
            assert_eq!(read.notes.len(), usize::from(note.is_some()), "{name}: {told}");
            assert!(note.is_none_or(|it| told.contains(it)), "{name}: {told}");
        }
    }

    #[test]
    fn what_belongs_to_the_url_stays() {
        for url in [
            "https://s3.example.com/docs/a+b(1).txt?X-Amz-Signature=0&x=1;2",
            "http://[::1]:9000/docs/k?X-Amz-Signature=0",
            "https://s3.example.com/docs/https://other/k?X-Amz-Signature=0&amplitude=3",
            "no url at all",
        ] {
            let first = url.split(' ').next().unwrap_or_default();
            assert_eq!(pasted(url), Pasted { url: first.to_owned(), notes: Vec::new() }, "{url}");
        }
        for text in ["", "\\", "\\u", "\\u00", "\\ud800x", "&", "^", "`", "https:", "%", "\u{1f600}\\u0026"] {
            let read = pasted(text);
            assert!(read.url.len() <= text.len(), "{text}: {read:?}");
        }
    }
}
