//! Shows the results of a check: two columns for people, JSON for programs.

use std::fmt::Write as _;

use parallax_record::Redactor;
use serde_json::json;

use super::ask::Checked;
use super::rows::{Cell, Row, State};

/// The largest width of a column, in characters. A longer text is cut. The sentence below the row contains the whole
/// text.
const WIDEST: usize = 52;
const INDENT: usize = 2;
/// The page that explains the causes of problems.
pub(super) const PAGE: &str = "docs/troubleshooting.md";

/// Returns the table with the two columns. Below each row are the sentences of its cells. The rows are in the order of
/// the questions, because a later problem may be a consequence of an earlier one.
pub fn text(checked: &Checked) -> String {
    let names = checked.rows.iter().map(|it| it.name.len()).max().unwrap_or_default();
    let inside =
        checked.rows.iter().map(|it| shown(&it.inside).chars().count()).max().unwrap_or_default().max("inside".len());
    let mut text = String::new();
    if !checked.rows.is_empty() {
        let _ = writeln!(text, "{:9}{:names$}  {:inside$}  outside", "", "", "inside");
    }
    for row in &checked.rows {
        let mark = mark(row);
        let differs = if row.differs { "   (differs)" } else { "" };
        let line =
            format!("{mark:<9}{:names$}  {:inside$}  {}{differs}", row.name, shown(&row.inside), shown(&row.outside));
        let _ = writeln!(text, "{}", line.trim_end());
        for why in reasons(row) {
            let _ = writeln!(text, "{:INDENT$}{why}", "");
        }
    }
    if let Some(why) = &checked.no_inside {
        let _ = writeln!(text, "inside     not asked: {why}");
    }
    for remains in &checked.remains {
        let _ = writeln!(text, "remains    {remains}");
    }
    redactor(checked).text(&text)
}

fn mark(row: &Row) -> &'static str {
    let has = |state| row.inside.state == state || row.outside.state == state;
    if row.is_bad() {
        "FAILED"
    } else if has(State::Note) {
        "note"
    } else if has(State::Good) {
        "ok"
    } else {
        "-"
    }
}

/// Returns the sentences of a row's cells, each followed by the link to its section in the documentation. Equal
/// sentences appear once.
fn reasons(row: &Row) -> Vec<String> {
    let mut all = Vec::new();
    for cell in [&row.inside, &row.outside] {
        all.extend(cell.why.clone());
        all.extend(cell.section.map(|it| format!("{PAGE}#{it}")));
    }
    let mut distinct: Vec<String> = Vec::new();
    for line in all {
        if !distinct.contains(&line) {
            distinct.push(line);
        }
    }
    distinct
}

fn shown(cell: &Cell) -> String {
    let text = if cell.state == State::NotAsked { format!("- ({})", cell.text) } else { cell.text.clone() };
    if text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain("…".chars()).collect()
}

/// Returns the results as JSON, for programs.
pub fn json(checked: &Checked) -> String {
    let mut all = json!({
        "rows": checked.rows, "no_inside": checked.no_inside, "remains": checked.remains, "interrupted": checked.cancelled,
    });
    redactor(checked).apply(&mut all);
    format!("{all:#}\n")
}

/// Returns the redactor for the output. The check itself never writes a secret into a text. However, a server may
/// repeat a secret in its answer, in another form or in part. Therefore the output is redacted.
pub(super) fn redactor(checked: &Checked) -> Redactor {
    let redactor = Redactor::default();
    for secret in &checked.secrets {
        redactor.register(secret);
    }
    redactor
}
