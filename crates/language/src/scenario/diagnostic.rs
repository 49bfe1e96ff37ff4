//! Diagnostics. A diagnostic says what is wrong with an input and where, quotes the line, and suggests the likely fix.
//!
//! A diagnostic owns a copy of the line that it quotes, cut to a fixed length. Therefore a diagnostic does not keep the
//! file in memory.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceSpan};
use parallax_vocab::inert;
use serde::Serialize;

/// The largest number of diagnostics that are reported for one input.
pub const LIMIT: usize = 50;
/// The longest part of a line that a diagnostic quotes, in bytes.
const WINDOW_BYTES: usize = 160;
/// The longest message, in bytes. A message can quote a name, and a hostile name can be as long as its file.
const TEXT_BYTES: usize = 4_000;
/// The largest length of a wrong name, in bytes. For a longer name, no similar known name is suggested.
const NAME_BYTES: usize = 100;

/// Whether a diagnostic makes an input unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is used, but its content can mislead a reader.
    Warning,
}

/// One mistake in an input, such as a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// Whether the mistake makes the input unusable.
    pub severity: Severity,
    /// The name of the file with the mistake, as messages show it.
    pub file: String,
    /// The number of the line with the mistake, starting at 1.
    pub line: usize,
    /// The column of the mistake in characters, starting at 1.
    pub column: usize,
    /// The text of the line with the mistake. A long line is cut around the mistake.
    pub text: String,
    /// The range of `text` that is marked as wrong, in bytes.
    pub mark: Range<usize>,
    /// The description of the mistake, in lower case and without a full stop.
    pub message: String,
    /// A short text that is printed below the marked range. `None` prints no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The likely fix of the mistake. `None` if no fix is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Diagnostic {
    /// Returns a diagnostic about a folder, or about a whole file that cannot be read.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
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

    /// Turns the diagnostic into a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Sets the short text that is printed below the marked range.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(bounded(label.into()));
        self
    }

    /// Adds the likely fix of the mistake.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(bounded(fix.into()));
        self
    }

    /// Sets the likely fix. `None` leaves the present fix unchanged.
    #[must_use]
    pub fn maybe_fix(mut self, fix: Option<String>) -> Self {
        self.fix = fix.map(bounded).or(self.fix);
        self
    }

    /// Returns the diagnostic as one line: `file:line:column: message; fix`.
    pub fn on_one_line(&self) -> String {
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{}:{}:{}: {}{fix}", self.file, self.line, self.column, self.message)
    }

    /// Returns the same diagnostic with control characters escaped, so that a hostile file cannot send commands to a
    /// terminal or a log. The mark is moved to the same characters in the escaped text.
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

/// A file, as its name and its text. A `Source` creates diagnostics about places in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Creates a source from the name and the text of a file.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    /// The name of the file, as it was given to `new`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of the line (starting at 1) that contains a byte offset.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Returns the place of a byte offset, as `file:line`.
    pub fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line_of(offset))
    }

    /// Returns the text of a line (starting at 1), without its line break.
    pub fn line(&self, number: usize) -> &str {
        let start = self.line_starts[number - 1];
        let end = self.line_starts.get(number).map_or(self.text.len(), |next| next - 1);
        self.text[start..end].trim_end_matches('\r')
    }

    /// Returns the byte offset at which a line (starting at 1) begins.
    pub fn line_start(&self, number: usize) -> usize {
        self.line_starts[number - 1]
    }

    /// Returns the diagnostic for a mistake in the bytes `range` of the text.
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

/// Cuts a long line to a window around the mark, at character boundaries. Returns the cut line and the range of the
/// mark in it, in bytes.
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

/// Cuts a text to the longest permitted length. A text can be too long because it quotes parts of a file.
fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
    text
}

/// Sorts diagnostics by place, removes duplicates, and keeps the first [`LIMIT`] of them.
pub fn tidy(mut all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    all.sort_by(|a, b| a.order().cmp(&b.order()));
    all.dedup_by(|a, b| a.order() == b.order());
    if all.len() > LIMIT {
        all.truncate(LIMIT);
        if let Some(last) = all.last_mut() {
            last.fix = Some("further errors are not shown; fix these first".to_owned());
        }
    }
    all
}

/// Returns the known name that is most similar to a wrong name; `None` if no name is similar enough.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes a time proportional to the product of both lengths, so long names are not compared.
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

/// Returns the fix for an unknown name: `did you mean …?`, or the list of known names. `what` says what the known names
/// are, for example `fixtures`.
pub fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        // A caller may pass "its exports" as `what`. Without known names, the fix is then "it has no exports", because
        // "there are no its exports" is not a sentence.
        None if known.is_empty() => match what.strip_prefix("its ") {
            Some(what) => format!("it has no {what}"),
            None => format!("there are no {what}"),
        },
        None => format!("{what}: {}", list(&known)),
    }
}

/// Returns a list of names for a sentence: `a`, `b`, `c`.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Renders diagnostics for people: with colours and box characters for a terminal, in plain ASCII otherwise.
pub fn render(diagnostics: &[Diagnostic], terminal: bool) -> String {
    let theme = if terminal { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    // The handler does not wrap long lines, so that somebody who searches the output for a whole message finds it. The
    // terminal wraps the lines.
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

/// Returns diagnostics as JSON, for editors and other programs.
///
/// # Panics
/// Never. Diagnostics contain only text and numbers.
pub fn to_json(diagnostics: &[Diagnostic]) -> serde_json::Value {
    serde_json::to_value(diagnostics).expect("plain data serialises")
}

impl miette::Diagnostic for Diagnostic {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

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
    /// Returns the line that the diagnostic owns. miette calls this function without context lines to find the position
    /// of the mark, and with context lines to print the line. Both calls get only the one line.
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
