//! Removes secrets from everything that is written and shown.
//!
//! A registered secret is found in each of its forms (`forms`). If a secret is random, pieces of it are found too, so
//! that a text that was cut shows no part of it. Texts that look like a credential, and values whose field name says
//! that they are one, are redacted even if nobody registered them.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use parallax_vocab::Secret;
use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::forms::forms;

/// The text that replaces a secret.
const REDACTED: &str = "[redacted]";
/// The smallest length of a secret that is searched for, in bytes. Shorter texts would also match the record's own
/// words. Their fields are still redacted by name. The secrets that the harness makes are far longer.
const SHORTEST: usize = 6;
/// The length of the pieces by which a random secret is recognised, in bytes.
const PIECE: usize = 8;
/// A text with letters and digits that has at least this many bytes counts as random: no piece of it is a word that
/// reports use.
const RANDOM_FROM: usize = 12;
/// For a secret that is longer than this (a key or a token), not every piece is stored, because a run has thousands
/// of tokens. So a few bytes of it may remain next to a cut. They are too few to be useful to an attacker.
const SHORT: usize = 64;
/// The shortest beginning of a secret that is removed before a mark of a cut, in bytes.
const LEAST_BEGINNING: usize = 3;
/// The longest beginning that is stored, in bytes. A longer beginning always contains a stored piece.
const LONGEST_BEGINNING: usize = 2 * PIECE - 1;
/// The values of fields with these names are secrets, even if nobody registered them. Names are compared in lower case.
const SECRET_KEYS: [&str; 7] =
    ["secret_key", "session_token", "authorization", "cookie", "set-cookie", "x-amz-security-token", "x-amz-signature"];

/// Patterns of texts that look like a credential. The part that matches the group `keep` is not removed.
static BY_FORM: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // Everyone who knows a presigned URL can use it. In the second pattern the URL is part of another URL, so `=`
        // is `%3D`.
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)=)[^\s&"'<>`),;\\]+"#,
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)%3D)(?:%25|%2[BF]|%3D|[^\s&"'<>`),;\\%])+"#,
        // The signature in a SigV4 Authorization header, anywhere in a text.
        r"(?P<keep>\bSignature=)[0-9a-fA-F]{16,}",
        // A JSON Web Token, even if it was cut.
        r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}",
        // A private key, even if it was cut. Its newlines may be escaped.
        r"(?s)(?P<keep>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        // User name and password in a URL. A password that was not encoded may contain `@`.
        r#"(?i)(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@:?#\[\]"]*:[^\s/?#"]+@"#,
        // A URL with a name alone: for HTTP this is how tokens are given.
        r#"(?i)(?P<keep>\bhttps?://)[^\s/@:?#\[\]"]+@"#,
        // The same without a scheme, as proxies are often named. The port tells it from an image's `name:tag@digest`.
        r#"(?P<keep>^|[\s"'`=(<,])[^\s"'`=(<,/@:]+:[^\s/"]+@(?P<rest>(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\b)"#,
    ];
    patterns.map(|pattern| Regex::new(pattern).expect("the pattern is a regular expression")).into()
});

/// The marks at the end of a text that was cut. `judge` and `probe` write them.
static CUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""? and \d+ bytes more|…|\.\.\."#).expect("the pattern is a regular expression"));

/// Knows the secrets of a run. Every room that makes a secret registers it here before it uses it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Pieces of each form of the random secrets.
    pieces: HashSet<[u8; PIECE]>,
    /// Each form of the secrets that are not random.
    whole: BTreeSet<String>,
    /// Searches for the texts of `whole`, and prefers the longest match. None if it must be built again.
    automaton: Option<AhoCorasick>,
    /// Beginnings of all secrets that are too short to contain a stored piece.
    beginnings: HashSet<Vec<u8>>,
}

impl Redactor {
    /// From now on the text of `secret` is redacted wherever it appears, in each of its forms.
    pub fn register(&self, secret: &Secret) {
        self.known().add(secret.expose());
    }

    /// Registers a text that was found in a place for secrets but may be a plain word, such as `namespace` in a
    /// Kubernetes Secret. It is redacted elsewhere only if it is random.
    pub fn register_found(&self, text: &str) {
        if is_random(text) && !is_certificate(text) {
            self.known().add(text);
        }
    }

    /// Redacts every string in `value`, and every name of a field.
    pub fn apply(&self, value: &mut Value) {
        walk(value, &mut self.known());
    }

    /// A copy of `it` in which every string is redacted. It is an error if the copy can no longer be read as `T`: then a
    /// secret is also one of its own words, and `it` must not be shown.
    pub fn copy<T: Serialize + DeserializeOwned>(&self, it: &T) -> serde_json::Result<T> {
        let mut value = serde_json::to_value(it)?;
        self.apply(&mut value);
        serde_json::from_value(value)
    }

    /// Redacts one text.
    pub fn text(&self, text: &str) -> String {
        self.known().clean(text)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// Removes everything that looks like a credential from a text. It is for messages before a run exists, when no secret
/// is registered.
pub fn by_form(text: &str) -> String {
    let mut text = text.to_owned();
    for pattern in &*BY_FORM {
        if pattern.is_match(&text) {
            let replaced = pattern.replace_all(&text, |found: &regex::Captures<'_>| {
                let keep = found.name("keep").map_or("", |it| it.as_str());
                let rest = found.name("rest").map_or("", |it| it.as_str());
                let end = if found[0][..found[0].len() - rest.len()].ends_with('@') { "@" } else { "" };
                format!("{keep}{REDACTED}{end}{rest}")
            });
            text = replaced.into_owned();
        }
    }
    text
}

/// An address that a setting names, such as a proxy's or an engine's, without its user and password. It needs no scheme
/// and no port, and its password may be written in any way: what comes before the last `@` is never shown. The name
/// alone of a user of SSH is no secret.
pub fn address(text: &str) -> String {
    let is_scheme = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    let (scheme, rest) = match text.find("://").filter(|end| is_scheme(&text[..*end])) {
        Some(end) => text.split_at(end + "://".len()),
        None => ("", text),
    };
    match rest.rsplit_once('@') {
        Some((user, _)) if scheme.eq_ignore_ascii_case("ssh://") && !user.contains(':') => by_form(text),
        Some((_, host)) => format!("{scheme}{REDACTED}@{}", by_form(host)),
        None => by_form(text),
    }
}

impl Known {
    fn add(&mut self, text: &str) {
        let text = text.trim();
        // Only the body of a PEM key is secret. Its first and last line are the same for every key.
        let body = text.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join("\n");
        if body.len() < SHORTEST {
            return;
        }
        let random = is_random(&body);
        // A line of a log may contain one line of the secret.
        let lines = body.lines().filter(|line| line.len() >= SHORTEST && line.len() < body.len() && !random);
        let all = lines.flat_map(forms).chain(forms(&body));
        for form in all.collect::<BTreeSet<_>>() {
            let bytes = form.as_bytes();
            let lengths = LEAST_BEGINNING..=LONGEST_BEGINNING.min(bytes.len());
            self.beginnings.extend(lengths.map(|length| bytes[..length].to_vec()));
            if random && bytes.len() >= PIECE {
                let step = if body.len() > SHORT { PIECE } else { 1 };
                let pieces = bytes.windows(PIECE).step_by(step).chain([&bytes[bytes.len() - PIECE..]]);
                self.pieces.extend(pieces.filter_map(|piece| <[u8; PIECE]>::try_from(piece).ok()));
            } else if bytes.len() >= SHORTEST {
                self.whole.insert(form);
                self.automaton = None;
            }
        }
    }

    fn clean(&mut self, text: &str) -> String {
        let text = by_form(text);
        let mut found = self.pieces_in(&text);
        found.extend(self.whole_in(&text));
        found.extend(self.beginnings_in(&text));
        without(&text, found)
    }

    fn pieces_in(&self, text: &str) -> Vec<Range<usize>> {
        if self.pieces.is_empty() {
            return Vec::new();
        }
        let pieces = text.as_bytes().windows(PIECE).enumerate();
        let known = pieces.filter(|(_, piece)| self.pieces.contains(*piece));
        known.map(|(at, _)| at..at + PIECE).collect()
    }

    fn whole_in(&mut self, text: &str) -> Vec<Range<usize>> {
        if self.whole.is_empty() {
            return Vec::new();
        }
        let build = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.whole);
        let automaton = match &self.automaton {
            Some(automaton) => automaton,
            None => self.automaton.insert(build().expect("the texts of a run fit an automaton")),
        };
        automaton.find_iter(text).map(|it| it.range()).collect()
    }

    /// The remains of secrets before marks of a cut. They are too short to contain a stored piece.
    fn beginnings_in(&self, text: &str) -> Vec<Range<usize>> {
        let ends = CUT.find_iter(text).map(|it| it.start());
        let bytes = text.as_bytes();
        ends.filter_map(|end| {
            let starts =
                (end.saturating_sub(LONGEST_BEGINNING)..=end.saturating_sub(LEAST_BEGINNING)).map(|at| at..end);
            starts.into_iter().find(|it| self.beginnings.contains(&bytes[it.clone()]))
        })
        .collect()
    }
}

/// `text` with these parts replaced. The parts may overlap.
fn without(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|it| (it.start, it.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut parts = parts.into_iter().peekable();
    while let Some(mut part) = parts.next() {
        while let Some(next) = parts.next_if(|next| next.start <= part.end) {
            part.end = part.end.max(next.end);
        }
        // A piece may begin or end in the middle of a UTF-8 character.
        out.push_str(&text[at..text.floor_char_boundary(part.start)]);
        out.push_str(REDACTED);
        at = text.ceil_char_boundary(part.end);
    }
    out.push_str(&text[at..]);
    out
}

/// Whether a text counts as random: no piece of it is likely to be a word.
fn is_random(text: &str) -> bool {
    text.len() >= RANDOM_FROM
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a text is a certificate, which is public: a server shows it to everyone who connects.
fn is_certificate(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----")
}

fn walk(value: &mut Value, known: &mut Known) {
    match value {
        Value::String(text) => *text = known.clean(text),
        Value::Array(items) => {
            if let Some(lines) = key_in_lines(items) {
                *items = known.clean(&lines).split('\n').map(|line| Value::String(line.to_owned())).collect();
            }
            for item in items.iter_mut() {
                walk(item, known);
            }
        }
        Value::Object(fields) => {
            let mut cleaned = Map::new();
            for (key, mut field) in std::mem::take(fields) {
                if field.is_string() && SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
                    field = Value::String(REDACTED.to_owned());
                } else {
                    walk(&mut field, known);
                }
                let mut name = known.clean(&key);
                while cleaned.contains_key(&name) {
                    name.push('\'');
                }
                cleaned.insert(name, field);
            }
            *fields = cleaned;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text of lines that contain a private key, such as a log's: only as a whole it has the form of one.
fn key_in_lines(items: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let lines = lines.filter(|it| it.len() > 1 && it.iter().any(|line| line.contains("PRIVATE KEY-----")))?;
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests;
