//! Parses YAML text into a value that knows where each of its parts is written.
//!
//! The input can be hostile. Size and depth are limited. Anchors, aliases and tags are refused, because they can make a
//! short text very long or change its meaning. Booleans are only `true` and `false`; `yes`, `off` and similar words are
//! text.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use jsonptr::Token;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};

use super::diagnostic::{Diagnostic, LIMIT, Source};
use super::syntax::{explain, odd_key};

/// The largest size of a file, in bytes.
pub const SIZE_LIMIT_BYTES: usize = 256 * 1024;
/// The largest number of documents in one file.
const DOCUMENTS_LIMIT: usize = 200;
/// The largest depth to which lists and mappings may be nested in a document.
pub const DEPTH_LIMIT: usize = 32;

/// The limits of a text, and the meaning of its plain scalars.
struct Form {
    size_bytes: usize,
    documents: usize,
    depth: usize,
    plain: fn(&str) -> Value,
    /// Whether documents without content are left out.
    skips_empty: bool,
}

/// The form of the files of a project.
const PROJECT: Form =
    Form { size_bytes: SIZE_LIMIT_BYTES, documents: DOCUMENTS_LIMIT, depth: DEPTH_LIMIT, plain, skips_empty: false };
/// The form of what programs write for Kubernetes. The schemas of custom kinds are large and deep.
const RENDERED: Form =
    Form { size_bytes: RENDERED_LIMIT_BYTES, documents: 2_000, depth: 100, plain: plain_1_1, skips_empty: true };
/// The largest size of the output of a program that makes objects, in bytes.
pub const RENDERED_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// A YAML document: its value, and the place of every key and value by JSON pointer.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text from which the document was parsed. All documents of a file share the same text.
    pub source: Arc<Source>,
    /// The parsed value of the document. Mappings keep the order of their keys.
    pub value: Value,
    spots: HashMap<String, Spot>,
}

/// The place in the file where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The byte range of the key under which the value is written; `None` for an entry of a list.
    pub key: Option<Range<usize>>,
    /// The byte range of the value. For a list or a mapping, it contains only the first character.
    pub value: Range<usize>,
}

impl Document {
    /// Parses a text with one document. If possible, the document is returned even if the text has errors, so that
    /// later checks can find further errors.
    pub fn parse(name: &str, text: &str) -> (Option<Self>, Vec<Diagnostic>) {
        let (mut documents, mut errors) = Self::parse_all(name, text);
        if documents.len() > 1 {
            let at = documents[1].source.text()[..documents[1].spot("").value.start].rfind("---").unwrap_or(0);
            let second = at..at + 3;
            let error = documents[1].source.error(&second, "the file contains a second document");
            errors.push(error.fix("remove the `---` and what follows, or move it to another file"));
        }
        let document = (!documents.is_empty()).then(|| documents.swap_remove(0));
        if document.is_none() && errors.is_empty() {
            errors.push(empty(&Source::new(name, text)));
        }
        (document, errors)
    }

    /// Parses all documents of a text, such as a file of Kubernetes manifests.
    pub fn parse_all(name: &str, text: &str) -> (Vec<Self>, Vec<Diagnostic>) {
        Self::parse_as(name, text, &PROJECT)
    }

    /// Parses all documents that another program has written for Kubernetes. Empty documents are left out. Plain scalars
    /// have the meaning of YAML 1.1, as for `kubectl`.
    pub fn parse_rendered(name: &str, text: &str) -> (Vec<Self>, Vec<Diagnostic>) {
        Self::parse_as(name, text, &RENDERED)
    }

    fn parse_as(name: &str, text: &str, form: &'static Form) -> (Vec<Self>, Vec<Diagnostic>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source::new(name, text);
        if text.len() > form.size_bytes {
            let message = format!("the file is larger than {} KiB", form.size_bytes / 1024);
            return (Vec::new(), vec![source.error(&(0..1), message)]);
        }
        if let Some((at, bad)) = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            let message = format!("the file contains the control character U+{:04X}", u32::from(bad));
            return (
                Vec::new(),
                vec![source.error(&(at..at + 1), message).fix("remove it, or write it as an escape in double quotes")],
            );
        }
        Builder::new(Arc::new(source), form).run()
    }

    /// Parses one YAML document from bytes. Bytes that are not UTF-8 are reported as an error.
    pub fn parse_bytes(name: &str, bytes: &[u8]) -> (Option<Self>, Vec<Diagnostic>) {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(name, text),
            Err(error) => {
                let good = error.valid_up_to();
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SIZE_LIMIT_BYTES)]).into_owned();
                let error = Source::new(name, text).error(&(good..good + 1), "the file is not UTF-8");
                (None, vec![error.fix("save the file as UTF-8")])
            }
        }
    }

    /// Returns the place of the value at `pointer`, or of the nearest value that contains it.
    pub fn spot(&self, pointer: &str) -> Spot {
        let mut at = pointer;
        loop {
            if let Some(spot) = self.spots.get(at) {
                return spot.clone();
            }
            match at.rfind('/') {
                Some(cut) => at = &at[..cut],
                None => return Spot { key: None, value: 0..1 },
            }
        }
    }

    /// Whether the file contains a value at `pointer`.
    pub fn has(&self, pointer: &str) -> bool {
        self.spots.contains_key(pointer)
    }

    /// Replaces the document's value. `moves` maps JSON pointers of the old value to pointers of the new value, so that
    /// the new parts keep their places in the file. The content of a moved part moves with the part. All other parts
    /// keep their pointers.
    pub fn rebuild(&mut self, value: Value, moves: &[(String, String)]) {
        let mut from: HashMap<&str, Vec<&str>> = HashMap::new();
        for (old, new) in moves {
            from.entry(old).or_default().push(new);
        }
        let mut spots = HashMap::with_capacity(self.spots.len());
        for (pointer, spot) in self.spots.drain() {
            let ends = pointer.match_indices('/').map(|(at, _)| at).chain([pointer.len()]);
            match ends.into_iter().find_map(|end| Some((end, from.get(&pointer[..end])?))) {
                Some((end, targets)) => {
                    let rebased = targets.iter().map(|target| (format!("{target}{}", &pointer[end..]), spot.clone()));
                    spots.extend(rebased);
                }
                None => {
                    spots.insert(pointer, spot);
                }
            }
        }
        self.spots = spots;
        self.value = value;
    }

    /// Returns the part of the file that a message marks if the value at `pointer` is wrong, as a byte range. It is the
    /// value itself, or the key of a list or a mapping.
    pub fn mark(&self, pointer: &str) -> Range<usize> {
        let spot = self.spot(pointer);
        match self.value.pointer(pointer) {
            Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => spot.key.unwrap_or(spot.value),
            Some(_) => spot.value,
        }
    }

    /// Returns the part of the file that a message marks if the key at `pointer` is wrong, as a byte range.
    pub fn mark_key(&self, pointer: &str) -> Range<usize> {
        let spot = self.spot(pointer);
        spot.key.unwrap_or(spot.value)
    }

    /// Returns the place of the value at `pointer`, as `file:line`.
    pub fn place(&self, pointer: &str) -> String {
        self.source.place(self.mark_key(pointer).start)
    }
}

/// Appends one key or index to a JSON pointer. This function runs for each value of each file, so it avoids needless
/// allocations.
pub fn join(pointer: &str, step: &str) -> String {
    let step = Token::new(step);
    let mut joined = String::with_capacity(pointer.len() + 1 + step.encoded().len());
    joined.push_str(pointer);
    joined.push('/');
    joined.push_str(step.encoded());
    joined
}

fn empty(source: &Source) -> Diagnostic {
    source.error(&(0..1), "the file is empty").fix("write its content, or delete the file")
}

enum Frame {
    Map { map: Map<String, Value>, pointer: String, key: Option<(String, Range<usize>)>, spot: Spot },
    List { list: Vec<Value>, pointer: String, spot: Spot },
}

struct Builder {
    source: Arc<Source>,
    form: &'static Form,
    /// The byte offset of each character of the text. `None` for ASCII text, in which character and byte offsets are
    /// equal.
    offsets: Option<Vec<usize>>,
    stack: Vec<Frame>,
    spots: HashMap<String, Spot>,
    done: Vec<Document>,
    errors: Vec<Diagnostic>,
    /// `false` if YAML read a part of the text in another way than its author meant. Examples are an alias, and an
    /// expression such as `{{ store.host }}` without quotes. Parsing then returns no document.
    complete: bool,
}

impl Builder {
    fn new(source: Arc<Source>, form: &'static Form) -> Self {
        let text = source.text();
        let offsets =
            (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect::<Vec<_>>());
        Self {
            source,
            form,
            offsets,
            stack: Vec::new(),
            spots: HashMap::new(),
            done: Vec::new(),
            errors: Vec::new(),
            complete: true,
        }
    }

    fn run(mut self) -> (Vec<Document>, Vec<Diagnostic>) {
        let text = self.source.text().to_owned();
        let mut parser = Parser::new_from_str(&text);
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = self.byte(error.marker().index());
                    let error = explain(&self.source, &error, at);
                    self.errors.push(error);
                    return (Vec::new(), self.errors);
                }
            };
            self.take(event, span);
            if self.stack.len() > self.form.depth {
                let message = format!("the nesting is deeper than {} levels", self.form.depth);
                self.errors.push(self.source.error(&self.range(span), message));
                return (Vec::new(), self.errors);
            }
            if self.done.len() > self.form.documents {
                let message = format!("the file contains more than {} documents", self.form.documents);
                self.errors.push(self.source.error(&self.range(span), message).fix("split it into several files"));
                break;
            }
            if self.errors.len() >= LIMIT {
                break;
            }
        }
        if self.complete { (self.done, self.errors) } else { (Vec::new(), self.errors) }
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        let range = self.range(span);
        match event {
            Event::Alias(_) => {
                let error = self.source.error(&range, "aliases (`*name`) are not allowed");
                self.errors.push(error.fix("write the value itself"));
                self.complete = false;
                self.put(Value::Null, Spot { key: None, value: range });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(anchor, tag.is_some(), &range);
                self.scalar(&text, style, range);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(anchor, tag.is_some(), &range);
                let pointer = self.next_pointer();
                self.stack.push(Frame::List {
                    list: Vec::new(),
                    pointer,
                    spot: Spot { key: self.key_range(), value: range },
                });
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(anchor, tag.is_some(), &range);
                let pointer = self.next_pointer();
                let spot = Spot { key: self.key_range(), value: range };
                self.stack.push(Frame::Map { map: Map::new(), pointer, key: None, spot });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::Map { map, spot, .. }) => self.put(Value::Object(map), spot),
                Some(Frame::List { list, spot, .. }) => self.put(Value::Array(list), spot),
                None => {}
            },
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
        }
    }

    fn refuse(&mut self, anchor: usize, tag: bool, range: &Range<usize>) {
        if anchor > 0 {
            // The parser gives only the range of the value. The anchor is before the value, so the search for `&` goes
            // backwards.
            let before = &self.source.text()[..range.start];
            let at = before.rfind('&').unwrap_or(range.start);
            let error = self.source.error(&(at..at + 1), "anchors (`&name`) are not allowed");
            self.errors.push(error.fix("repeat the value where it is needed"));
        }
        if tag {
            let before = &self.source.text()[..range.start];
            let at = before.trim_end_matches(|c: char| c != '!').trim_end_matches('!').len();
            let error = self.source.error(&(at..at + 1), "tags (`!name`) are not allowed");
            self.errors.push(error.fix("remove the tag; put a value in quotes to make it text"));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, range: Range<usize>) {
        if let Some(Frame::Map { map, pointer, key: key @ None, .. }) = self.stack.last_mut() {
            if map.contains_key(text) {
                let first = self.spots.get(&join(pointer, text)).and_then(|spot| spot.key.clone()).unwrap_or(0..1);
                let fix = format!("the first is on line {}; keep one of them", self.source.line_of(first.start));
                self.errors.push(self.source.error(&range, format!("the key `{text}` occurs twice")).fix(fix));
            }
            *key = Some((text.to_owned(), range));
            return;
        }
        let value = match style {
            ScalarStyle::Plain => (self.form.plain)(text),
            _ => Value::String(text.to_owned()),
        };
        let key = self.key_range();
        self.put(value, Spot { key, value: range });
    }

    /// Returns the JSON pointer of the value that the parser reads next.
    fn next_pointer(&self) -> String {
        match self.stack.last() {
            Some(Frame::Map { pointer, key: Some((key, _)), .. }) => join(pointer, key),
            Some(Frame::Map { pointer, key: None, .. }) => pointer.clone(),
            Some(Frame::List { pointer, list, .. }) => join(pointer, &list.len().to_string()),
            None => String::new(),
        }
    }

    fn key_range(&self) -> Option<Range<usize>> {
        match self.stack.last() {
            Some(Frame::Map { key: Some((_, range)), .. }) => Some(range.clone()),
            _ => None,
        }
    }

    fn put(&mut self, value: Value, spot: Spot) {
        let pointer = self.next_pointer();
        match self.stack.last_mut() {
            Some(Frame::Map { map, key, .. }) => {
                if let Some((key, _)) = key.take() {
                    if !map.contains_key(&key) {
                        self.spots.insert(pointer, spot);
                        map.insert(key, value);
                    }
                } else {
                    self.errors.push(odd_key(&self.source, &spot.value));
                    self.complete = false;
                    *key = Some((String::new(), spot.value));
                }
            }
            Some(Frame::List { list, .. }) => {
                self.spots.insert(pointer, spot);
                list.push(value);
            }
            None => {
                self.spots.insert(pointer, spot);
                let spots = std::mem::take(&mut self.spots);
                if value.is_null() && self.form.skips_empty {
                    // Helm writes a document for each template, also if the template yields nothing.
                } else if value.is_null() && self.done.is_empty() {
                    self.errors.push(empty(&self.source));
                } else {
                    self.done.push(Document { source: Arc::clone(&self.source), value, spots });
                }
            }
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }

    fn byte(&self, index: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.source.text().len()),
            None => index.min(self.source.text().len()),
        }
    }
}

/// Returns the value of an unquoted scalar. The rules are those of the core schema of YAML 1.2, except that only `true`
/// and `false` are booleans.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// Returns the value of an unquoted scalar by YAML 1.1, as Kubernetes reads it: a number with a leading zero is octal,
/// and words such as `yes` are booleans (`go.yaml.in/yaml/v2`, `resolve.go`).
fn plain_1_1(text: &str) -> Value {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        "Null" | "NULL" => return Value::Null,
        _ => {}
    }
    let octal = text.strip_prefix('0').filter(|it| !it.is_empty() && it.bytes().all(|it| matches!(it, b'0'..=b'7')));
    match octal.and_then(|it| i64::from_str_radix(it, 8).ok()) {
        Some(number) => Value::from(number),
        None => plain(text),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let shaped = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if !shaped {
        return None;
    }
    if let Ok(complete) = text.parse::<u64>() {
        return Some(Number::from(complete));
    }
    if let Ok(complete) = text.parse::<i64>() {
        return Some(Number::from(complete));
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
