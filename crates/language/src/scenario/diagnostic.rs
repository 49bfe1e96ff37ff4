//! What is wrong with an input: the place, the line itself, a sentence, and the likely fix.
//!
//! A diagnostic owns the line that it shows, cut to a window, so that it outlives its file and stays small whatever the
//! file was.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceSpan};
use parallax_vocab::inert;
use serde::Serialize;

/// How many diagnostics one input yields at most.
pub const LIMIT: usize = 50;
/// How much of a line is shown, in bytes.
const WINDOW_BYTES: usize = 160;
/// How long a sentence may be, in bytes: it may quote a name, and a name may be as long as its file.
const TEXT_BYTES: usize = 4_000;
/// A longer name was not meant to be another, in bytes.
const NAME_BYTES: usize = 100;

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// The file, as it was named by the caller.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself; a long one is cut around the place.
    pub text: String,
    /// The marked part of `text`, in bytes.
    pub mark: Range<usize>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What is said at the mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The likely fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Diagnostic {
    /// A diagnostic about a whole file that could not be read, or about a folder.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
            text: String::new(),
            mark: 0..0,
            message: bounded(message.into()),
            label: None,
            fix: None,
        }
    }

    /// Says something short at the mark.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(bounded(label.into()));
        self
    }

    /// Adds the likely fix.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(bounded(fix.into()));
        self
    }

    /// Adds the likely fix, where there is one.
    #[must_use]
    pub fn maybe_fix(mut self, fix: Option<String>) -> Self {
        self.fix = fix.map(bounded).or(self.fix);
        self
    }

    /// On one line, with its place: `file:line:column: message; fix`.
    pub fn on_one_line(&self) -> String {
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{}:{}:{}: {}{fix}", self.file, self.line, self.column, self.message)
    }

    /// The same, of which nothing acts on a terminal or in a log, and which marks what this marks.
    fn inert(&self) -> Self {
        let safe = |text: &str| inert(text).into_owned();
        let end = |at: usize| safe(&self.text[..self.text.floor_char_boundary(at)]).len();
        Self {
            file: safe(&self.file),
            text: safe(&self.text),
            mark: end(self.mark.start)..end(self.mark.end),
            message: safe(&self.message),
            label: self.label.as_deref().map(safe),
            fix: self.fix.as_deref().map(safe),
            ..*self
        }
    }

    fn order(&self) -> (&str, usize, usize, &str) {
        (&self.file, self.line, self.column, &self.message)
    }
}

/// A text and its name: makes diagnostics about places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Wraps a text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    /// The file's name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line (from 1) that a byte offset is in.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// `file:line` of a byte offset.
    pub fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line_of(offset))
    }

    /// The text of a line (from 1), without its end.
    pub fn line(&self, number: usize) -> &str {
        let start = self.line_starts[number - 1];
        let end = self.line_starts.get(number).map_or(self.text.len(), |next| next - 1);
        self.text[start..end].trim_end_matches('\r')
    }

    /// Where a line (from 1) begins, in bytes.
    pub fn line_start(&self, number: usize) -> usize {
        self.line_starts[number - 1]
    }

    /// Something is wrong at `range` (bytes).
    pub fn error(&self, range: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = self.text.floor_char_boundary(range.start);
        let number = self.line_of(start);
        let line = self.line(number);
        let at = (start - self.line_start(number)).min(line.len());
        let length = range.end.saturating_sub(start).clamp(1, (line.len() - at).max(1));
        let column = line[..at].chars().count() + 1;
        let (text, mark) = window(line, at, length);
        Diagnostic { text, mark, line: number, column, ..Diagnostic::of_file(&self.name, message) }
    }
}

/// Cuts a long line to a window around the mark, on character boundaries.
fn window(line: &str, at: usize, length: usize) -> (String, Range<usize>) {
    if line.len() <= WINDOW_BYTES {
        let end = line.floor_char_boundary(at + length).max(at);
        return (line.to_owned(), at..end);
    }
    let from = line.floor_char_boundary(at.saturating_sub(WINDOW_BYTES / 2));
    let to = line.floor_char_boundary(from + WINDOW_BYTES);
    let mut text = String::new();
    if from > 0 {
        text.push_str("...");
    }
    let begin = text.len() + at - from;
    text.push_str(&line[from..to]);
    let end = text.floor_char_boundary(begin + length).max(begin);
    if to < line.len() {
        text.push_str("...");
    }
    (text, begin..end)
}

/// A text that may quote what a file says, cut where it is longer than anybody reads.
fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
    text
}

/// Sorts by place, drops what is said twice, and keeps the first [`LIMIT`].
pub fn tidy(mut all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    all.sort_by(|a, b| a.order().cmp(&b.order()));
    all.dedup_by(|a, b| a.order() == b.order());
    if all.len() > LIMIT {
        all.truncate(LIMIT);
        if let Some(last) = all.last_mut() {
            last.fix = Some("further errors are not shown; mend these first".to_owned());
        }
    }
    all
}

/// The known name that was probably meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes as long as both names together, multiplied.
    if wrong.len() > NAME_BYTES {
        return None;
    }
    let folded = wrong.to_lowercase().replace('_', "-");
    let near = known.into_iter().filter_map(|name| {
        let distance = strsim::damerau_levenshtein(&folded, &name.to_lowercase());
        let prefix = folded.len() >= 3 && (name.starts_with(&folded) || folded.starts_with(name));
        (distance <= (name.len().max(folded.len()) / 3).max(1) || prefix).then_some((distance, Reverse(prefix), name))
    });
    near.min_by_key(|(distance, prefix, _)| (*distance, *prefix)).map(|(_, _, name)| name)
}

/// "did you mean `expect`?", or the list of what there is.
pub fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => format!("there are no {what} here"),
        None => format!("{what}: {}", list(&known)),
    }
}

/// Names as a list for a sentence: `a`, `b`, `c`.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Renders diagnostics for people: in colour and box characters for a terminal, in plain ASCII otherwise.
pub fn render(diagnostics: &[Diagnostic], terminal: bool) -> String {
    let theme = if terminal { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    // Lines are left to the terminal to wrap, so that a message can be searched for as a whole.
    let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false).with_links(false);
    let mut out = String::new();
    for diagnostic in diagnostics.iter().map(Diagnostic::inert) {
        if handler.render_report(&mut out, &diagnostic).is_err() {
            out.push_str(&diagnostic.on_one_line());
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// Diagnostics as JSON, for editors and other programs.
///
/// # Panics
/// Never: they hold text and numbers only.
pub fn to_json(diagnostics: &[Diagnostic]) -> serde_json::Value {
    serde_json::to_value(diagnostics).expect("plain data serialises")
}

impl miette::Diagnostic for Diagnostic {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.fix.as_ref().map(|fix| Box::new(fix) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = LabeledSpan::new_primary_with_span(self.label.clone(), (self.mark.start, self.mark.len()));
        Some(Box::new(std::iter::once(span)))
    }
}

impl miette::SourceCode for Diagnostic {
    /// The one line that we hold, whatever context is asked for. miette reads the place of the mark by asking for no
    /// context lines, and the line itself by asking for some.
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, MietteError> {
        let column = if before == 0 && after == 0 { self.column - 1 } else { 0 };
        let whole = SourceSpan::from((0, self.text.len()));
        let contents =
            MietteSpanContents::new_named(self.file.clone(), self.text.as_bytes(), whole, self.line - 1, column, 1);
        Ok(Box::new(contents))
    }
}
