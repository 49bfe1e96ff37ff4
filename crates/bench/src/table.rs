//! What was measured, as a table.

use std::fmt::Write as _;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Table {
    /// Also the name of its files.
    pub(crate) name: &'static str,
    /// What is measured, in one sentence.
    pub(crate) title: String,
    /// The lines, in their order.
    pub(crate) rows: Vec<Row>,
    /// What the picture shows: a label and a length, in one unit.
    pub(crate) bars: Vec<(String, f64)>,
    /// That unit.
    pub(crate) unit: &'static str,
    /// What a reader must know besides, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What it is the figure of.
    pub(crate) what: String,
    /// The figure with its unit.
    pub(crate) figure: String,
    /// What it is to be, where somebody said.
    pub(crate) goal: String,
}

impl Table {
    pub(crate) fn new(name: &'static str, title: impl Into<String>, unit: &'static str) -> Self {
        Self { name, title: title.into(), rows: Vec::new(), bars: Vec::new(), unit, notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, what: impl Into<String>, figure: impl Into<String>, goal: &str) -> &mut Self {
        self.rows.push(Row { what: what.into(), figure: figure.into(), goal: goal.to_owned() });
        self
    }

    pub(crate) fn bar(&mut self, label: impl Into<String>, length: f64) -> &mut Self {
        self.bars.push((label.into(), length));
        self
    }

    pub(crate) fn note(&mut self, sentence: impl Into<String>) -> &mut Self {
        self.notes.push(sentence.into());
        self
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = format!("{}: {}", self.name, self.title);
        for row in &self.rows {
            let goal = if row.goal.is_empty() { String::new() } else { format!("  (goal: {})", row.goal) };
            write!(text, "\n  {:<width$}  {}{goal}", row.what, row.figure).expect("a text takes a text");
        }
        for note in &self.notes {
            write!(text, "\n  {note}").expect("a text takes a text");
        }
        text
    }

    /// For `docs/bench`.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("# {}\n\n{}\n\n| figure | measured | goal |\n|---|---|---|\n", self.name, self.title);
        for row in &self.rows {
            writeln!(page, "| {} | {} | {} |", cell(&row.what), cell(&row.figure), cell(&row.goal))
                .expect("a text takes a text");
        }
        for note in &self.notes {
            write!(page, "\n{note}\n").expect("a text takes a text");
        }
        write!(page, "\n![{}]({}.svg)\n\n`cargo xtask bench {}` makes this page.\n", self.name, self.name, self.name)
            .expect("a text takes a text");
        page
    }
}

/// A text within a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_on_a_terminal_and_as_a_page() {
        let mut table = Table::new("start", "How long a start takes.", "s");
        table.row("node alone", "3.0 s", "").row("a|b", "1.50", "≤ 1.2").note("On 2 processors.");
        assert_eq!(
            table.text(),
            "start: How long a start takes.\n  node alone  3.0 s\n  a|b         1.50  (goal: ≤ 1.2)\n  On 2 processors."
        );
        assert!(table.page().contains("| a\\|b | 1.50 | ≤ 1.2 |"), "{}", table.page());
    }
}
