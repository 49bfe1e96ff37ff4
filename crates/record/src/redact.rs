//! Removes secrets from everything that is written to files or shown on the screen.
//!
//! The redactor finds a registered secret in each of its forms (`forms`). It also finds pieces of a random secret, so
//! that a truncated text shows no part of the secret. It also redacts what nobody registered: texts that look like a
//! credential, and values whose field name says that they are secret.

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
/// The smallest length of a secret that is searched for, in bytes. A shorter secret would also match ordinary words of
/// the record. But if the name of a field says that its value is secret, the value is redacted even if it is shorter.
/// The secrets that the harness makes are far longer.
const SHORTEST: usize = 6;
/// The length of the pieces by which a random secret is recognised, in bytes.
const PIECE: usize = 8;
/// The smallest length of a random text, in bytes. A text of this length with letters and digits counts as random: a
/// piece of it is not an ordinary word, so its pieces can be searched for.
const RANDOM_FROM: usize = 12;
/// The largest length of a secret, in bytes, whose pieces are stored for every position. Of a longer secret, only every
/// [`PIECE`]th piece is stored, to save memory.
const EVERY_PIECE_UP_TO: usize = 4 * 1024;
/// The largest number of stored pieces before the redactor saves memory. Beyond this number, it stores only every
/// [`PIECE`]th piece of a further secret that is longer than [`SHORT`]. A run may have thousands of tokens, and a token
/// has about ten thousand pieces in all its forms. Of a secret that is stored in this way, a few bytes may remain where
/// a text was cut. They are too few to be useful to an attacker.
const PIECES_LIMIT: usize = 7_000_000;
/// The largest length of a short secret, in bytes. The pieces at every position of a short secret are stored, even
/// beyond [`PIECES_LIMIT`].
const SHORT: usize = 64;
/// The shortest part of a secret that is removed next to a mark of truncation (such as `…`), in bytes.
const LEAST_REST: usize = 3;
/// The smallest length, in bytes, of a text that may have been truncated without a mark. Parallax truncates outputs,
/// bodies and lines at several lengths, of which 4 KiB is the smallest. Up to 3 bytes of a cut character may be missing
/// at the end.
const MAYBE_CUT_FROM: usize = 4 * 1024 - 4;
/// Every part of a random secret that is longer than this number of bytes contains at least one stored piece.
const REST_WITHOUT_PIECE: usize = 2 * PIECE - 1;
/// The base64 text at the beginning of every private key that the harness makes (PKCS #8, P-256). This beginning is
/// not secret, and certificates contain parts of it, so it must not be redacted.
const BEGINNING_OF_KEYS: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
/// The names of fields whose values are secret, even if nobody registered the values. Names are compared in lower case.
const SECRET_KEYS: [&str; 7] =
    ["secret_key", "session_token", "authorization", "cookie", "set-cookie", "x-amz-security-token", "x-amz-signature"];

/// If the name of an entry in a Kubernetes Secret contains one of these texts, the value of the entry is secret.
/// Names are compared in lower case, without punctuation.
const SECRET_NAMES: [&str; 8] = ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "credential"];
/// If the name of an entry contains one of these texts, the value of the entry is not secret, whatever
/// [`SECRET_NAMES`] says. For example, the id of an access key is like a user name, and appears everywhere.
const PUBLIC_NAMES: [&str; 3] = ["accesskey", "keyid", "publickey"];

/// The patterns of texts that look like a credential. In a text that matches, the parts of the groups `keep` and `rest`
/// stay, and everything else is replaced.
static BY_FORM: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // The signature or token in a presigned URL, because anyone who knows it can use the URL. The second pattern is
        // for a presigned URL inside another URL, where `=` is written `%3D`.
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)=)[^\s&"'<>`),;\\]+"#,
        r#"(?i)(?P<keep>x-amz-(?:signature|security-token)%3D)(?:%25|%2[BF]|%3D|[^\s&"'<>`),;\\%])+"#,
        // The signature in an Authorization header of SigV4, at any place in a text.
        r"(?P<keep>\bSignature=)[0-9a-fA-F]{16,}",
        // A JSON Web Token, even if it was truncated.
        r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}",
        // A private key in PEM, even if it was truncated. Its line ends may be escaped.
        r"(?s)(?P<keep>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        // The user name and the password in a URL. The password may contain an `@` that was not encoded.
        r#"(?i)(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@:?#\[\]"]*:[^\s/?#"]+@"#,
        // The user name in a URL without a password. For HTTP, tokens are often given in this way.
        r#"(?i)(?P<keep>\bhttps?://)[^\s/@:?#\[\]"]+@"#,
        // The user name and the password in an address without a scheme, as proxies are often given. The port at the
        // end distinguishes such an address from an image's `name:tag@digest`.
        r#"(?P<keep>^|[\s"'`=(<,])[^\s"'`=(<,/@:]+:[^\s/"]+@(?P<rest>(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\b)"#,
    ];
    patterns.map(|pattern| Regex::new(pattern).expect("the pattern is a regular expression")).into()
});

/// The marks at the end of a truncated text. The crates `judge`, `probe` and `report` write these marks.
static CUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""? and \d+ bytes more|…| ?\.\.\."#).expect("the pattern is a regular expression"));
/// The marks in front of a text whose beginning was cut off. A quotation mark may follow the mark.
static CUT_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:…|\.\.\.) ?").expect("the pattern is a regular expression"));

/// The secrets of a run, and the methods that remove them. Every module that makes a secret registers the secret here
/// before it uses the secret. All clones share the same secrets.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// The stored pieces of the random secrets, in each of their forms. A form is one way to write a secret, such as
    /// Base64 or percent-encoding. A text that contains one of the pieces contains a part of a secret.
    pieces: HashSet<[u8; PIECE]>,
    /// The secrets that are not random, in each of their forms. The redactor finds them only as a whole, because a
    /// piece of one could be an ordinary word.
    whole: BTreeSet<String>,
    /// The automaton that searches for the texts of `whole` and prefers the longest match. `None` after a change of
    /// `whole`, until the next search builds the automaton again.
    automaton: Option<AhoCorasick>,
    /// The beginning of each form, to find a secret that was cut off at its end. For a secret that is not random, the
    /// beginning is the whole form. For a random secret, it is the longest beginning that may contain no stored piece.
    beginnings: BTreeSet<Vec<u8>>,
    /// The end of each form, to find a secret whose beginning was cut off. An end has its bytes in reverse order, so
    /// that the same search works for `beginnings` and `endings`. It is as long as the beginning of the same form.
    endings: BTreeSet<Vec<u8>>,
    /// The length of the longest text in `beginnings` and `endings`, in bytes. A search need not examine more bytes
    /// than this.
    longest: usize,
}

impl Redactor {
    /// Registers a secret. From now on, it is redacted wherever it appears, in each of its forms.
    pub fn register(&self, secret: &Secret) {
        self.known().add(secret.expose());
    }

    /// Registers a text that was found in a place for secrets, such as a Kubernetes Secret, under the name `name`. Not
    /// every such text is secret: for example, the value of `namespace` is not. The text is redacted elsewhere only if
    /// it is random, or if `name` says that the text is secret.
    ///
    /// If the text is a JSON document, such as a store's list of users, each string in it is examined separately. The
    /// document as a whole is long and would count as random. Pieces of its ordinary words would then be redacted
    /// everywhere.
    pub fn register_found(&self, name: &str, text: &str) {
        match serde_json::from_str(text) {
            Ok(document @ (Value::Object(_) | Value::Array(_))) => self.register_found_in(name, &document),
            Ok(_) | Err(_) => self.register_found_text(name, text),
        }
    }

    fn register_found_in(&self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.register_found_text(name, text),
            Value::Array(items) => items.iter().for_each(|item| self.register_found_in(name, item)),
            Value::Object(fields) => fields.iter().for_each(|(field, value)| self.register_found_in(field, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn register_found_text(&self, name: &str, text: &str) {
        if (is_random(text) || is_secret_name(name)) && !is_certificate(text) {
            self.known().add(text);
        }
    }

    /// Redacts every string and every field name in `value`.
    pub fn apply(&self, value: &mut Value) {
        walk(value, &mut self.known());
    }

    /// Returns a copy of `it` in which every string is redacted.
    ///
    /// # Errors
    ///
    /// Fails if the redacted copy cannot be read as `T`, because a secret is equal to a word that the format needs. The
    /// caller must then not show `it`.
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

/// Removes everything that looks like a credential from a text. Messages that are printed before the run starts use
/// this function, because no secret is registered then.
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

/// Removes the user name and the password from an address in a setting, such as the address of a proxy or of an engine.
/// Everything between the scheme and the last `@` is removed. So the address needs no scheme and no port, and the
/// password may be encoded or not. The user name of an SSH address without a password is kept, because it is not
/// secret.
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
        // If the secret is not random, each of its lines is registered too, because a log may contain the lines
        // separately. The lines of a random secret need not be registered, because the redactor finds them by their
        // pieces.
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

    /// Stores the first and the last `length` bytes of a form of a secret.
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

    /// The places in `text` that contain the beginning of a secret whose rest was cut off. Such a place lies before a
    /// mark of truncation, or at the end of a long text.
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

    /// The places in `text` that contain the end of a secret whose beginning was cut off. Such a place lies after a
    /// mark of truncation, or at the start of a long text.
    fn endings_in(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let whole = (bytes.len() >= MAYBE_CUT_FROM).then_some(0);
        let marks = CUT_BEFORE.find_iter(text).map(|it| it.end());
        let starts = marks.flat_map(|it| [Some(it), (bytes.get(it) == Some(&b'"')).then_some(it + 1)]).flatten();
        let starts = starts.chain(whole);
        let longest = |start: usize| {
            // The texts in `endings` are reversed. So the bytes after the mark are reversed too, and then parts of them
            // are looked up in `endings`.
            let most: Vec<u8> = bytes[start..(start + self.longest).min(bytes.len())].iter().rev().copied().collect();
            let lengths = (LEAST_REST..=most.len()).rev();
            let length = lengths.into_iter().find(|length| begins_one(&self.endings, &most[most.len() - length..]))?;
            Some(start..start + length)
        };
        starts.filter_map(longest).collect()
    }
}

/// Whether one of the texts in `sorted` begins with `part`.
fn begins_one(sorted: &BTreeSet<Vec<u8>>, part: &[u8]) -> bool {
    let after = (Bound::Included(part), Bound::Unbounded);
    sorted.range::<[u8], _>(after).next().is_some_and(|it| it.starts_with(part))
}

/// Returns `text` with each of `parts` replaced by [`REDACTED`]. The parts may overlap.
fn without(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|it| (it.start, it.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut parts = parts.into_iter().peekable();
    while let Some(mut part) = parts.next() {
        while let Some(next) = parts.next_if(|next| next.start <= part.end) {
            part.end = part.end.max(next.end);
        }
        // A piece may begin or end in the middle of a UTF-8 character. Then the whole character is removed.
        out.push_str(&text[at..text.floor_char_boundary(part.start)]);
        out.push_str(REDACTED);
        at = text.ceil_char_boundary(part.end);
    }
    out.push_str(&text[at..]);
    out
}

/// Whether a text counts as random: it is long enough and has letters and digits, so that a piece of it is very
/// unlikely to be an ordinary word.
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
                if SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
                    conceal(&mut field);
                }
                walk(&mut field, known);
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

/// Redacts the value of a field whose name says that the value is secret. If the value is a list, such as several
/// cookies, each text in the list is redacted.
fn conceal(field: &mut Value) {
    match field {
        Value::String(text) => REDACTED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(conceal),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

/// Joins strings, such as the lines of a log, to one text if one of them contains the first or the last line of a
/// private key. Otherwise returns `None`. The caller searches the joined text, because the pattern of a private key
/// finds the other lines of the key only together with its first line.
fn key_in_lines(items: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let lines = lines.filter(|it| it.len() > 1 && it.iter().any(|line| line.contains("PRIVATE KEY-----")))?;
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests;
