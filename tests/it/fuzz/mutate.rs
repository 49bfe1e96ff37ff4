//! Mutations of texts. They change bytes, words and lines, and combine two texts.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::RngExt as _;
use rand_chacha::rand_core::Rng;

/// The largest length of an input, in bytes. A longer input only makes a reader refuse it, or take time in proportion
/// to the length.
const LONGEST: usize = 96 * 1024;
/// Texts that often cause errors in readers.
const SPECIAL_TEXTS: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "1.5",
    "NaN",
    "0x10",
    "null",
    "true",
    "~",
    "{}",
    "[]",
    "\"\"",
    "''",
    "{{",
    "}}",
    "{{ x }}",
    "{% for a in range(100000) %}{% endfor %}",
    "{{ 'x' * 1000000 }}",
    "{#",
    "0s",
    "1ms",
    "99999999999999999999h",
    "18446744073709551615ms",
    "\u{feff}",
    "\u{202e}",
    "ä",
    "\u{1f600}",
    "\0",
    "\u{1b}[2J",
    "\t",
    "\r",
    "\n---\n",
    "&a",
    "*a",
    "!x",
    "|",
    ">",
    "#",
    ": ",
    "- ",
    "? ",
    "\\",
    "\\u0000",
    "\\ud800",
    "\"",
    "'",
    "/",
    "~1",
    "~0",
    "..",
    "https://",
    "https://[::1]:99999/?X-Amz-Date=x",
    "X-Amz-Expires=",
    "eyJhbGciOiJub25lIn0.e30.",
    "2026-11-26T00:00:00Z",
    "-999999-01-01T00:00:00Z",
    "xn--",
    "a.a.a.a",
    "%",
    "%zz",
    "%00",
];

/// A mutator of texts. It inserts words that occur in the seeds.
pub(super) struct Mutator {
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub(super) fn new(seeds: &[Vec<u8>]) -> Self {
        let mut words: BTreeSet<Vec<u8>> = SPECIAL_TEXTS.iter().map(|it| it.as_bytes().to_vec()).collect();
        for seed in seeds {
            words.extend(spans(seed).into_iter().map(|span| seed[span].to_vec()).filter(|word| word.len() < 64));
        }
        Self { words: words.into_iter().collect() }
    }

    /// Returns an input of the pool with changes in one to six places.
    pub(super) fn mutated(&self, pool: &[Vec<u8>], random: &mut impl Rng) -> Vec<u8> {
        let mut text = pick(pool, random).clone();
        for _ in 0..random.random_range(1..=6) {
            match random.random_range(0..10) {
                0 => bytes(&mut text, random),
                1..4 => self.word(&mut text, random),
                4..7 => line(&mut text, random),
                7 => number(&mut text, random),
                8 => splice(&mut text, &pick(pool, random).clone(), random),
                _ => nest(&mut text, random),
            }
            text.truncate(LONGEST);
        }
        text
    }

    /// Replaces a word of the text, or inserts a word.
    fn word(&self, text: &mut Vec<u8>, random: &mut impl Rng) {
        let word = pick(&self.words, random).clone();
        let spans = spans(text);
        match spans.get(random.random_range(0..spans.len().max(1))) {
            Some(span) if random.random_bool(0.8) => drop(text.splice(span.clone(), word)),
            _ => {
                let at = random.random_range(0..=text.len());
                drop(text.splice(at..at, word));
            }
        }
    }
}

fn pick<'a, T>(all: &'a [T], random: &mut impl Rng) -> &'a T {
    &all[random.random_range(0..all.len())]
}

/// Returns the positions of the words in a text. Words consist of letters, digits, dashes and underscores.
fn spans(text: &[u8]) -> Vec<Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let mut spans = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|byte| is_word(**byte)).count();
        if length > 0 {
            spans.push(at..at + length);
        }
        at += length.max(1);
    }
    spans
}

fn range(text: &[u8], longest: usize, random: &mut impl Rng) -> Range<usize> {
    let from = random.random_range(0..=text.len());
    from..(from + random.random_range(0..=longest)).min(text.len())
}

fn bytes(text: &mut Vec<u8>, random: &mut impl Rng) {
    let part = range(text, 16, random);
    match random.random_range(0..4) {
        0 => text[part].iter_mut().for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
        1 => drop(text.splice(part, std::iter::empty())),
        2 => text[part].iter_mut().for_each(|byte| *byte = random.random()),
        // The first bytes of a frame contain the length of the frame. Cutting the end makes this length wrong.
        _ => text.truncate(random.random_range(0..=text.len())),
    }
}

/// Deletes, duplicates, moves, indents or outdents lines.
fn line(text: &mut Vec<u8>, random: &mut impl Rng) {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.random_range(0..lines.len());
    let until = (at + random.random_range(1..=8)).min(lines.len());
    match random.random_range(0..6) {
        0 => drop(lines.drain(at..until)),
        1 => {
            let times = if random.random_bool(0.02) { 2_000 } else { random.random_range(1..=3) };
            let copy: Vec<_> = lines[at..until].to_vec();
            for _ in 0..times {
                lines.splice(until..until, copy.iter().cloned());
                if lines.len() > 4_000 {
                    break;
                }
            }
        }
        2 => {
            let part: Vec<_> = lines.drain(at..until).collect();
            let to = random.random_range(0..=lines.len());
            drop(lines.splice(to..to, part));
        }
        3 => lines[at..until].iter_mut().for_each(|line| drop(line.splice(0..0, *b"  "))),
        4 => {
            for line in &mut lines[at..until] {
                let blanks = line.iter().take(2).take_while(|byte| **byte == b' ').count();
                drop(line.drain(..blanks));
            }
        }
        _ => {
            let other = random.random_range(0..lines.len());
            lines.swap(at, other);
        }
    }
    *text = lines.join(&b'\n');
}

fn number(text: &mut Vec<u8>, random: &mut impl Rng) {
    let numbers: Vec<Range<usize>> =
        spans(text).into_iter().filter(|span| text[span.clone()].iter().all(u8::is_ascii_digit)).collect();
    if numbers.is_empty() {
        return;
    }
    let at = pick(&numbers, random).clone();
    let number = match random.random_range(0..5) {
        0 => "0".to_owned(),
        1 => u64::MAX.to_string(),
        2 => (u64::MAX - random.random_range(0..3_u64)).to_string(),
        3 => (1_u64 << random.random_range(0..64)).to_string(),
        _ => random.random_range(0..1_000_u32).to_string(),
    };
    drop(text.splice(at, number.into_bytes()));
}

/// Replaces a part of `text` by a part of `other`.
fn splice(text: &mut Vec<u8>, other: &[u8], random: &mut impl Rng) {
    let source = range(other, 400, random);
    let target = range(text, 200, random);
    drop(text.splice(target, other[source].to_vec()));
}

/// Inserts deep nesting, or a long text.
fn nest(text: &mut Vec<u8>, random: &mut impl Rng) {
    let (open, close): (&[u8], &[u8]) = *pick(
        &[(&b"["[..], &b"]"[..]), (b"{a: ", b"}"), (b"{\"a\":", b"}"), (b"{{ ", b" }}"), (b"(", b")"), (b"a", b"")],
        random,
    );
    let times = if random.random_bool(0.1) { 10_000 } else { random.random_range(1..=70) };
    let at = random.random_range(0..=text.len());
    let part = [open.repeat(times), b"x".to_vec(), close.repeat(times)].concat();
    drop(text.splice(at..at, part));
}
