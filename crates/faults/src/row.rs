//! A row of the table of faults: a fault and the right result of a run with this fault.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::bench::Bench;
use crate::page::Line;

/// A fault, the way to cause the fault, and the right result.
pub(crate) struct Row {
    /// The short name of the row, by which a user selects the row.
    pub(crate) name: &'static str,
    /// The fault, in words for a reader of the table.
    pub(crate) fault: &'static str,
    /// The right exit code of the harness. It is `None` if SIGKILL ends the harness.
    pub(crate) code: Option<i32>,
    /// Texts that the output of the harness must contain. The table quotes the first output line that contains the
    /// first of these texts.
    pub(crate) says: &'static [&'static str],
    /// The function that causes the fault, once or several times. It returns one result for each time.
    pub(crate) run: fn(&Bench, &Row) -> Result<Vec<Seen>>,
}

/// The observed result of a run with a fault.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The moment of the run at which the fault was caused, in words.
    pub(crate) when: String,
    /// The exit code of the harness. It is `None` if a signal ended the harness.
    pub(crate) code: Option<i32>,
    /// The output that the row judges: the output of the harness, or the lines of `gc` about the run. Parts that differ
    /// from run to run are replaced.
    pub(crate) text: String,
    /// The containers, networks, volumes, processes and ledgers that were left behind.
    pub(crate) left: BTreeSet<String>,
    /// What is wrong besides the exit code, the output and the objects left behind, one text for each problem.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    /// Compares the observed result with the row. Returns the line of the table, or all differences.
    pub(crate) fn judge(&self, seen: &Seen) -> Result<Line, String> {
        let mut wrong = seen.wrong.clone();
        if seen.code != self.code {
            wrong.push(format!("exit {}, and {} is right", code(seen.code), code(self.code)));
        }
        for part in self.says.iter().filter(|part| !seen.text.contains(**part)) {
            wrong.push(format!("{part:?} was not said"));
        }
        if !seen.left.is_empty() {
            wrong.push(format!("left behind: {}", seen.left.iter().cloned().collect::<Vec<_>>().join(", ")));
        }
        if !wrong.is_empty() {
            return Err(format!("{}: {}\n{}", seen.when, wrong.join("; "), indented(&seen.text)));
        }
        let said = self.says.first().and_then(|part| seen.text.lines().find(|line| line.contains(part)));
        Ok(Line {
            name: self.name.to_owned(),
            fault: self.fault.to_owned(),
            when: seen.when.clone(),
            exit: code(seen.code),
            said: said.map_or_else(|| "nothing".to_owned(), |line| words(line).to_owned()),
            left: "nothing".to_owned(),
        })
    }
}

/// Removes the time and the kind (`note`, `warning`, `FAILED`) from the start of a line of the harness's output.
fn words(line: &str) -> &str {
    let line = line.trim();
    ["  note  ", "  warning  ", "  FAILED: "]
        .iter()
        .find_map(|kind| line.split_once(kind))
        .map_or(line, |(_, words)| words.trim())
}

fn code(code: Option<i32>) -> String {
    code.map_or_else(|| "SIGKILL".to_owned(), |code| code.to_string())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("           | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row { name: "x", fault: "X breaks", code: Some(3), says: &["no space", "exit 3"], run: |_, _| Ok(Vec::new()) }
    }

    fn seen() -> Seen {
        let text = "a line\n  no space there\n(exit 3, 1 s)".to_owned();
        Seen { when: "at once".to_owned(), code: Some(3), text, ..Seen::default() }
    }

    #[test]
    fn what_is_as_declared_is_a_line_of_the_table() {
        let line = row().judge(&seen()).expect("as declared");
        assert_eq!((line.exit.as_str(), line.said.as_str(), line.left.as_str()), ("3", "no space there", "nothing"));
        let noted = Seen { text: "   1.4 s  note  no space (exit 3)".to_owned(), ..seen() };
        assert_eq!(row().judge(&noted).expect("as declared").said, "no space (exit 3)");
        let silent = Row { code: None, says: &[], ..row() };
        let line = silent.judge(&Seen { code: None, ..seen() }).expect("as declared");
        assert_eq!((line.exit.as_str(), line.said.as_str()), ("SIGKILL", "nothing"));
    }

    #[test]
    fn whatever_is_otherwise_turns_a_row_red() {
        let cases = [
            (Seen { code: Some(0), ..seen() }, "exit 0, and 3 is right"),
            (Seen { code: None, ..seen() }, "exit SIGKILL, and 3 is right"),
            (Seen { text: "no space".to_owned(), ..seen() }, "\"exit 3\" was not said"),
            (Seen { left: BTreeSet::from(["volume v".to_owned()]), ..seen() }, "left behind: volume v"),
            (Seen { wrong: vec!["the living run lost its node".to_owned()], ..seen() }, "lost its node"),
        ];
        for (seen, expected) in cases {
            let why = row().judge(&seen).expect_err(expected);
            assert!(why.contains(expected), "{expected}: {why}");
        }
    }
}
