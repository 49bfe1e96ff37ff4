//! Removes secrets from everything that is written and shown.
//!
//! The redactor finds a registered secret in each of its forms (`forms`). It also finds pieces of a random secret, so
//! that a text that was cut shows no part of the secret. It redacts texts that look like a credential, and values whose
//! field name says that they are one, even if nobody registered them.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Bound, Range};
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
/// words. Fields with a secret name are redacted even if their value is shorter. The secrets that the harness makes are
/// far longer.
const SHORTEST: usize = 6;
/// The length of the pieces by which a random secret is recognised, in bytes.
const PIECE: usize = 8;
/// The smallest length of a random text, in bytes. A text of letters and digits of this length counts as random,
/// because no piece of it is a word that reports use.
const RANDOM_FROM: usize = 12;
/// The largest length of a secret, in bytes, of which every piece is stored. Of a longer secret, only every [`PIECE`]th
/// piece is stored.
const EVERY_PIECE_UP_TO: usize = 4 * 1024;
/// The number of stored pieces from which only every [`PIECE`]th piece of another long secret is stored. A run may have
/// thousands of tokens, and a token has about ten thousand pieces in all its forms. After this limit, a few bytes of
/// such a secret may remain next to a cut. They are too few to be useful to an attacker.
const PIECES_LIMIT: usize = 7_000_000;
/// The largest length of a short secret, in bytes. Every piece of a short secret is stored, even after
/// [`PIECES_LIMIT`].
const SHORT: usize = 64;
/// The shortest remainder of a secret that is removed next to a cut mark, in bytes.
const LEAST_REST: usize = 3;
/// The smallest length, in bytes, of a text that may have been cut without a mark. Outputs, bodies and lines have
/// limits. The lowest limit is 4 KiB, and a cut may remove a part of a character.
const MAYBE_CUT_FROM: usize = 4 * 1024 - 4;
/// The longest remainder of a random secret that may contain no stored piece, in bytes.
const REST_WITHOUT_PIECE: usize = 2 * PIECE - 1;
/// The beginning of every private key of the kind that the harness makes (PKCS #8, P-256). The beginning is not secret,
/// and certificates contain parts of it.
const BEGINNING_OF_KEYS: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
/// The values of fields with these names are secrets, even if nobody registered them. Names are compared in lower case.
const SECRET_KEYS: [&str; 7] =
    ["secret_key", "session_token", "authorization", "cookie", "set-cookie", "x-amz-security-token", "x-amz-signature"];

/// Parts of names that say that a value in a Kubernetes Secret is secret. Names are compared in lower case, without
/// punctuation.
const SECRET_NAMES: [&str; 8] = ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "credential"];
/// Parts of names that say that a value is not secret. For example, an access key's id is the name of a user, and is
/// shown everywhere.
const PUBLIC_NAMES: [&str; 3] = ["accesskey", "keyid", "publickey"];

/// Patterns of texts that look like a credential. The parts that match the groups `keep` and `rest` are not removed.
static BY_FORM: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // Anyone who knows a presigned URL can use it. The second pattern finds a presigned URL that is part of another
        // URL, where `=` is written `%3D`.
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)=)[^\s&"'<>`),;\\]+"#,
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)%3D)(?:%25|%2[BF]|%3D|[^\s&"'<>`),;\\%])+"#,
        // The signature in a SigV4 Authorization header, anywhere in a text.
        r"(?P<keep>\bSignature=)[0-9a-fA-F]{16,}",
        // A JSON Web Token, even if it was cut.
        r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}",
        // A private key, even if it was cut. The newlines of the key may be escaped.
        r"(?s)(?P<keep>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        // A user name and a password in a URL. A password that was not encoded may contain `@`.
        r#"(?i)(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@:?#\[\]"]*:[^\s/?#"]+@"#,
        // A URL with a user name alone. For HTTP, tokens are given in this way.
        r#"(?i)(?P<keep>\bhttps?://)[^\s/@:?#\[\]"]+@"#,
        // A user name and a password in an address without a scheme, as proxies are often named. The port distinguishes
        // such an address from an image's `name:tag@digest`.
        r#"(?P<keep>^|[\s"'`=(<,])[^\s"'`=(<,/@:]+:[^\s/"]+@(?P<rest>(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\b)"#,
    ];
    patterns.map(|pattern| Regex::new(pattern).expect("the pattern is a regular expression")).into()
});

/// The marks at the end of a text that was cut. The crates for judging, probing and reports write these marks.
static CUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""? and \d+ bytes more|…| ?\.\.\."#).expect("the pattern is a regular expression"));
/// The marks before a text whose beginning was cut. A quotation mark may follow.
static CUT_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:…|\.\.\.) ?").expect("the pattern is a regular expression"));

/// Knows the secrets of a run. Every module that makes a secret registers the secret here before use. A clone is cheap
/// and shares the same secrets.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Pieces of each form of the random secrets.
    pieces: HashSet<[u8; PIECE]>,
    /// Each form of the secrets that are not random, for a search of the whole form.
    whole: BTreeSet<String>,
    /// The automaton that searches for the texts of `whole` and prefers the longest match. It is `None` if it must be
    /// built again.
    automaton: Option<AhoCorasick>,
    /// The beginning of each form. For a secret that is not random, this is the whole form. For a random secret, it is
    /// the longest beginning that may contain no stored piece.
    beginnings: BTreeSet<Vec<u8>>,
    /// The end of each form, in reverse order of bytes, with the same length as in `beginnings`.
    endings: BTreeSet<Vec<u8>>,
    /// The length of the longest text in `beginnings` and `endings`.
    longest: usize,
}

impl Redactor {
    /// Registers a secret. From now on, the text of `secret` is redacted wherever it appears, in each of its forms.
    pub fn register(&self, secret: &Secret) {
        self.known().add(secret.expose());
    }

    /// Registers a text that was found under a name in a place for secrets. Such a text may be a plain word, for
    /// example `namespace` in a Kubernetes Secret. The text is redacted elsewhere only if it is random, or if `name`
    /// says that it is secret.
    pub fn register_found(&self, name: &str, text: &str) {
        if (is_random(text) || is_secret_name(name)) && !is_certificate(text) {
            self.known().add(text);
        }
    }

    /// Redacts every string in `value`, and every name of a field.
    pub fn apply(&self, value: &mut Value) {
        walk(value, &mut self.known());
    }

    /// Returns a copy of `it` in which every string is redacted.
    ///
    /// # Errors
    ///
    /// Fails if the copy can no longer be read as `T`. In that case, a secret is equal to a word of the format, and the
    /// caller must not show `it`.
    pub fn copy<T: Serialize + DeserializeOwned>(&self, it: &T) -> serde_json::Result<T> {
        let mut value = serde_json::to_value(it)?;
        self.apply(&mut value);
        serde_json::from_value(value)
    }

    /// Redacts one text. Returns the redacted text.
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

/// Removes everything that looks like a credential from a text. Messages before a run exists use this function, because
/// no secret is registered yet.
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

/// Removes the user and the password from an address that a setting names, such as that of a proxy or an engine. The
/// address needs no scheme and no port, and the password may be written in any way: everything before the last `@` is
/// removed. The name of an SSH user without a password is kept, because it is no secret.
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
        // Only the body of a PEM key is secret. The first and the last line of a PEM key are the same for every key.
        let body = text.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join("\n");
        let body = body.strip_prefix(BEGINNING_OF_KEYS).unwrap_or(&body);
        if body.len() < SHORTEST {
            return;
        }
        let random = is_random(body);
        // Each line of the secret is registered too, because a line of a log may contain one line of the secret.
        let lines = body.lines().filter(|line| line.len() >= SHORTEST && line.len() < body.len() && !random);
        let all = lines.flat_map(forms).chain(forms(body));
        for form in all.collect::<BTreeSet<_>>() {
            let bytes = form.as_bytes();
            let random = random && bytes.len() >= PIECE;
            self.add_ends(if random { bytes.len().min(REST_WITHOUT_PIECE) } else { bytes.len() }, bytes);
            if random {
                let is_long = body.len() > EVERY_PIECE_UP_TO
                    || body.len() > SHORT && self.pieces.len() + bytes.len() > PIECES_LIMIT;
                let step = if is_long { PIECE } else { 1 };
                let pieces = bytes.windows(PIECE).step_by(step).chain([&bytes[bytes.len() - PIECE..]]);
                self.pieces.extend(pieces.filter_map(|piece| <[u8; PIECE]>::try_from(piece).ok()));
            } else if bytes.len() >= SHORTEST {
                self.whole.insert(form);
                self.automaton = None;
            }
        }
    }

    /// Stores the first and the last `length` bytes of a form.
    fn add_ends(&mut self, length: usize, form: &[u8]) {
        self.beginnings.insert(form[..length].to_vec());
        self.endings.insert(form[form.len() - length..].iter().rev().copied().collect());
        self.longest = self.longest.max(length);
    }

    fn clean(&mut self, text: &str) -> String {
        let text = by_form(text);
        let mut found = self.pieces_in(&text);
        found.extend(self.whole_in(&text));
        found.extend(self.beginnings_in(&text));
        found.extend(self.endings_in(&text));
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

    /// Returns the places of the remainders of secrets that are followed by a cut mark.
    fn beginnings_in(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let whole = (bytes.len() >= MAYBE_CUT_FROM).then_some(bytes.len());
        let ends = CUT.find_iter(text).map(|it| it.start()).chain(whole);
        let longest = |end: usize| {
            let starts = end.saturating_sub(self.longest)..=end.saturating_sub(LEAST_REST);
            starts
                .map(|start| start..end)
                .find(|it| it.len() >= LEAST_REST && begins_one(&self.beginnings, &bytes[it.clone()]))
        };
        ends.filter_map(longest).collect()
    }

    /// Returns the places of the remainders of secrets that follow a cut mark.
    fn endings_in(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let whole = (bytes.len() >= MAYBE_CUT_FROM).then_some(0);
        let marks = CUT_BEFORE.find_iter(text).map(|it| it.end());
        let starts = marks.flat_map(|it| [Some(it), (bytes.get(it) == Some(&b'"')).then_some(it + 1)]).flatten();
        let starts = starts.chain(whole);
        let longest = |start: usize| {
            // `endings` is in reverse order of bytes, so the longest candidate is reversed once and its ends are
            // searched for.
            let most: Vec<u8> = bytes[start..(start + self.longest).min(bytes.len())].iter().rev().copied().collect();
            let lengths = (LEAST_REST..=most.len()).rev();
            let length = lengths.into_iter().find(|length| begins_one(&self.endings, &most[most.len() - length..]))?;
            Some(start..start + length)
        };
        starts.filter_map(longest).collect()
    }
}

/// Whether one of the sorted texts begins with `part`.
fn begins_one(sorted: &BTreeSet<Vec<u8>>, part: &[u8]) -> bool {
    let after = (Bound::Included(part), Bound::Unbounded);
    sorted.range::<[u8], _>(after).next().is_some_and(|it| it.starts_with(part))
}

/// Returns `text` with these parts replaced by a placeholder. The parts may overlap.
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

/// Whether a text counts as random, so that no piece of it is likely to be a word.
fn is_random(text: &str) -> bool {
    text.len() >= RANDOM_FROM
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether the name of a value says that the value is secret.
fn is_secret_name(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    SECRET_NAMES.iter().any(|it| name.contains(it)) && !PUBLIC_NAMES.iter().any(|it| name.contains(it))
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

/// Returns the joined text of lines that contain a private key, such as the lines of a log. The pattern of a private
/// key matches only the joined text.
fn key_in_lines(items: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let lines = lines.filter(|it| it.len() > 1 && it.iter().any(|line| line.contains("PRIVATE KEY-----")))?;
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests;
