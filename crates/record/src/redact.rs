//! Removes secrets from everything that is written and shown.
//!
//! A registered secret is found in each of its forms (`forms`). If a secret is random, pieces of it are found too, so
//! that a text that was cut shows no part of it. Texts that look like a credential, and values whose field name says
//! that they are one, are redacted even if nobody registered them.

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
/// words. Their fields are still redacted by name. The secrets that the harness makes are far longer.
const SHORTEST: usize = 6;
/// The length of the pieces by which a random secret is recognised, in bytes.
const PIECE: usize = 8;
/// A text with letters and digits that has at least this many bytes counts as random: no piece of it is a word that
/// reports use.
const RANDOM_FROM: usize = 12;
/// Of a secret that is longer than this, in bytes, only every [`PIECE`]th piece is stored.
const EVERY_PIECE_UP_TO: usize = 4 * 1024;
/// When so many pieces are stored, only every [`PIECE`]th piece of a further long secret is: a run may have thousands of
/// tokens, and a token has about ten thousand pieces in all its forms. So a few bytes of such a secret may remain next to
/// a cut. They are too few to be useful to an attacker.
const PIECES_LIMIT: usize = 7_000_000;
/// Of a secret that is at most this long, in bytes, every piece is stored in any case.
const SHORT: usize = 64;
/// The shortest remainder of a secret that is removed beside a mark of a cut, in bytes.
const LEAST_REST: usize = 3;
/// A text that is at least this long, in bytes, may have been cut without a mark: outputs, bodies and lines have limits, and
/// the lowest one is 4 KiB, less a part of a character.
const MAYBE_CUT_FROM: usize = 4 * 1024 - 4;
/// The longest remainder of a random secret that may contain no stored piece, in bytes.
const REST_WITHOUT_PIECE: usize = 2 * PIECE - 1;
/// How every private key of the kind that the harness makes begins (PKCS #8, P-256). It is not secret, and certificates
/// contain parts of it.
const BEGINNING_OF_KEYS: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
/// The values of fields with these names are secrets, even if nobody registered them. Names are compared in lower case.
const SECRET_KEYS: [&str; 7] =
    ["secret_key", "session_token", "authorization", "cookie", "set-cookie", "x-amz-security-token", "x-amz-signature"];

/// A name of a value in a Kubernetes Secret that contains one of these says that the value is secret. Names are compared
/// in lower case, without punctuation.
const SECRET_NAMES: [&str; 8] = ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "credential"];
/// A name that contains one of these says nothing: an access key's id is the name of a user, and shown everywhere.
const PUBLIC_NAMES: [&str; 3] = ["accesskey", "keyid", "publickey"];

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

/// The marks at the end of a text that was cut. `judge`, `probe` and the reports write them.
static CUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""? and \d+ bytes more|…| ?\.\.\."#).expect("the pattern is a regular expression"));
/// The marks before a text whose beginning was cut. A quotation mark may follow.
static CUT_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:…|\.\.\.) ?").expect("the pattern is a regular expression"));

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
    /// How each form begins. It is whole if the secret is not random. Of a random one it is as much as may contain no
    /// stored piece.
    beginnings: BTreeSet<Vec<u8>>,
    /// How each form ends, backwards, as far as in `beginnings`.
    endings: BTreeSet<Vec<u8>>,
    /// The length of the longest of them.
    longest: usize,
}

impl Redactor {
    /// From now on the text of `secret` is redacted wherever it appears, in each of its forms.
    pub fn register(&self, secret: &Secret) {
        self.known().add(secret.expose());
    }

    /// Registers a text that was found in a place for secrets, under a name, but may be a plain word, such as `namespace`
    /// in a Kubernetes Secret. It is redacted elsewhere only if it is random, or if the name says that it is secret.
    pub fn register_found(&self, name: &str, text: &str) {
        if (is_random(text) || is_secret_name(name)) && !is_certificate(text) {
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
        let body = body.strip_prefix(BEGINNING_OF_KEYS).unwrap_or(&body);
        if body.len() < SHORTEST {
            return;
        }
        let random = is_random(body);
        // A line of a log may contain one line of the secret.
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

    /// Stores how a form begins and ends, with this length.
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

    /// The remainders of secrets before marks of a cut.
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

    /// The remainders of secrets after marks of a cut.
    fn endings_in(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let whole = (bytes.len() >= MAYBE_CUT_FROM).then_some(0);
        let marks = CUT_BEFORE.find_iter(text).map(|it| it.end());
        let starts = marks.flat_map(|it| [Some(it), (bytes.get(it) == Some(&b'"')).then_some(it + 1)]).flatten();
        let starts = starts.chain(whole);
        let longest = |start: usize| {
            // Each part is looked up backwards, so it is reversed once for the longest one.
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

/// The text of lines that contain a private key, such as a log's: only as a whole it has the form of one.
fn key_in_lines(items: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let lines = lines.filter(|it| it.len() > 1 && it.iter().any(|line| line.contains("PRIVATE KEY-----")))?;
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests;
