//! A table of measured values.

use std::fmt::Write as _;

/// The table of one measurement, with the values for its chart.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name of the measurement, which is also the name of its files.
    pub(crate) name: &'static str,
    /// One sentence that says what is measured.
    pub(crate) title: String,
    /// The rows of the table, in order.
    pub(crate) rows: Vec<Row>,
    /// The bars of the chart, each with a label and a value.
    pub(crate) bars: Vec<(String, f64)>,
    /// The unit of the bars' values, such as `s` or `ms`.
    pub(crate) unit: &'static str,
    /// Remarks about the table, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// One measured value, which is a row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured, in words.
    pub(crate) what: String,
    /// The value with its unit.
    pub(crate) figure: String,
    /// The goal for the value, such as `≤ 5 s`. The text is empty if the value has no goal.
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

    /// Returns the table as text for a terminal.
    pub(crate) fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = format!("{}: {}", self.name, self.title);
        for row in &self.rows {
            let goal = if row.goal.is_empty() { String::new() } else { format!("  (goal: {})", row.goal) };
            write!(text, "\n  {:<width$}  {}{goal}", row.what, row.figure).expect("writing into a String cannot fail");
        }
        for note in &self.notes {
            write!(text, "\n  {note}").expect("writing into a String cannot fail");
        }
        text
    }

    /// Returns the table as a Markdown page for `docs/bench`.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("# {}\n\n{}\n\n| figure | measured | goal |\n|---|---|---|\n", self.name, self.title);
        for row in &self.rows {
            writeln!(page, "| {} | {} | {} |", cell(&row.what), cell(&row.figure), cell(&row.goal))
                .expect("writing into a String cannot fail");
        }
        for note in &self.notes {
            write!(page, "\n{note}\n").expect("writing into a String cannot fail");
        }
        write!(page, "\n![{}]({}.svg)\n\n`cargo xtask bench {}` makes this page.\n", self.name, self.name, self.name)
            .expect("writing into a String cannot fail");
        page
    }
}

/// Escapes a text for a cell of a Markdown table.
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
