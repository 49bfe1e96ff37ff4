//! Taking secrets out of what is written and shown.
//!
//! What is registered is found in each of its forms (`forms`). Of a secret that is random a piece is found too, so that a
//! text that was cut shows no part of it. What is a credential by its look or by its name is found unregistered.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use parallax_vocab::Secret;
use regex::Regex;
use serde_json::{Map, Value};

use super::forms::forms;

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";
/// Shorter texts are not searched for: they would also hit the record's own words. Their fields are still redacted by
/// name. The secrets that the harness makes are far longer.
const SHORTEST: usize = 6;
/// How much of a random secret is enough to know it again, in bytes.
const PIECE: usize = 8;
/// A text of letters and digits, at least as long as this, is taken to be random: no piece of it is a word of a report.
const RANDOM_FROM: usize = 12;
/// Of a secret that is longer, a key or a token, not every piece is kept: a rest too short to be of use may be left of it
/// beside a cut, and a run has thousands of tokens.
const SHORT: usize = 64;
/// How much of a secret's beginning is taken away before a mark of a cut, in bytes.
const LEAST_BEGINNING: usize = 3;
/// What is longer holds a piece, wherever the pieces begin.
const LONGEST_BEGINNING: usize = 2 * PIECE - 1;
/// Values under these names are secrets, whether or not anybody registered them. Compared in lower case.
const SECRET_KEYS: [&str; 7] =
    ["secret_key", "session_token", "authorization", "cookie", "set-cookie", "x-amz-security-token", "x-amz-signature"];

/// What is a credential by its look; where there is a group `keep`, that part stays.
static BY_FORM: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // Whoever holds a presigned URL may open it; the URL may stand within another, so that `=` is `%3D`.
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)=)[^\s&"'<>`),;\\]+"#,
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)%3D)(?:%25|%2[BF]|%3D|[^\s&"'<>`),;\\%])+"#,
        // An Authorization header of SigV4, within a text.
        r"(?P<keep>\bSignature=)[0-9a-fA-F]{16,}",
        // A JSON web token, and what a cut leaves of one.
        r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}",
        // A private key, and what a cut leaves of one; its lines may be escaped.
        r"(?s)(?P<keep>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        // Name and password within a URL.
        r"(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@:?#\[\]]*:[^\s/@?#]+@",
    ];
    patterns.map(|pattern| Regex::new(pattern).expect("the pattern is a regular expression")).into()
});

/// How texts say that they were cut: `judge` and `probe` write these.
static CUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""? and \d+ bytes more|…|\.\.\."#).expect("the pattern is a regular expression"));

/// Knows the secrets of a run. Cheap to clone: every room that makes a secret registers it here before using it.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Each piece of each form of the secrets that are random.
    pieces: HashSet<[u8; PIECE]>,
    /// Each form of the others.
    whole: BTreeSet<String>,
    /// Finds `whole`, the longest first; none where it must be built again.
    automaton: Option<AhoCorasick>,
    /// Beginnings of all, too short to hold a piece that is known.
    beginnings: HashSet<Vec<u8>>,
}

impl Redactor {
    /// From now on the text of `secret` is redacted wherever it appears, in each of its forms.
    pub fn register(&self, secret: &Secret) {
        self.known().add(secret.expose());
    }

    /// The same for a text that was found where secrets are kept, and that may be a plain word, as a Secret's
    /// `namespace` is: it is redacted elsewhere only where it is random.
    pub fn register_found(&self, text: &str) {
        if is_random(text) && !is_certificate(text) {
            self.known().add(text);
        }
    }

    /// Redacts every string of `value`, and every name within it.
    pub fn apply(&self, value: &mut Value) {
        walk(value, &mut self.known());
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

/// Takes out of a text what is a credential by its look. For what is said before there is a run whose secrets are known.
pub fn by_form(text: &str) -> String {
    let mut text = text.to_owned();
    for pattern in &*BY_FORM {
        if pattern.is_match(&text) {
            let replaced = pattern.replace_all(&text, |found: &regex::Captures<'_>| {
                let keep = found.name("keep").map_or("", |it| it.as_str());
                let end = if found[0].ends_with('@') { "@" } else { "" };
                format!("{keep}{REDACTED}{end}")
            });
            text = replaced.into_owned();
        }
    }
    text
}

impl Known {
    fn add(&mut self, text: &str) {
        let text = text.trim();
        // Of a key in PEM only the body is secret: its first and last line are those of every other key.
        let body = text.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join("\n");
        if body.len() < SHORTEST {
            return;
        }
        let random = is_random(&body);
        // A line of a log holds one line of it.
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

    /// What a cut left of a secret, too short to be known by itself.
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

/// `text` without these parts, which may overlap.
fn without(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|it| (it.start, it.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut parts = parts.into_iter().peekable();
    while let Some(mut part) = parts.next() {
        while let Some(next) = parts.next_if(|next| next.start <= part.end) {
            part.end = part.end.max(next.end);
        }
        // A piece may end within a character.
        out.push_str(&text[at..text.floor_char_boundary(part.start)]);
        out.push_str(REDACTED);
        at = text.ceil_char_boundary(part.end);
    }
    out.push_str(&text[at..]);
    out
}

/// Whether no piece of a text is likely to be a word.
fn is_random(text: &str) -> bool {
    text.len() >= RANDOM_FROM
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A certificate is shown to everyone who connects.
fn is_certificate(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----")
}

fn walk(value: &mut Value, known: &mut Known) {
    match value {
        Value::String(text) => *text = known.clean(text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, known)),
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

#[cfg(test)]
mod tests;
