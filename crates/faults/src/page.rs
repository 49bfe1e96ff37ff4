//! Replaces the table of faults in a Markdown page. The table is between two marks. The text outside the marks is
//! written by hand.

use anyhow::{Context as _, Result, ensure};

const BEGIN: &str = "<!-- made by `cargo xtask faults` -->";
const END: &str = "<!-- end of what is made -->";
const HEAD: &str = "| row | fault | injected | exit | said | left |\n|---|---|---|---|---|---|\n";

/// A line of the table of faults. A row has several lines if its fault is caused at several moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The name of the row to which the line belongs.
    pub(crate) name: String,
    /// The fault that was caused, in words.
    pub(crate) fault: String,
    /// The moment of the run at which the fault was caused, in words.
    pub(crate) when: String,
    /// The exit code of the harness, or `SIGKILL` if this signal ended the harness.
    pub(crate) exit: String,
    /// The line of the harness's output that the table quotes, or `nothing`.
    pub(crate) said: String,
    /// What the harness left behind, in words. It is always `nothing`, because a row that leaves something behind
    /// fails.
    pub(crate) left: String,
}

impl Line {
    fn text(&self) -> String {
        let said = if self.said == "nothing" { self.said.clone() } else { code(&self.said) };
        let (name, fault, when) = (&self.name, cell(&self.fault), cell(&self.when));
        format!("| `{name}` | {fault} | {when} | {} | {said} | {} |", self.exit, cell(&self.left))
    }
}

/// Returns the page with new lines in the table. The new lines of a row replace its old lines. The lines of rows that
/// did not run are kept, and the lines of rows that no longer exist are removed. `names` are the names of all rows, in
/// the order in which their lines appear.
pub(crate) fn with(page: &str, names: &[&str], lines: &[Line]) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("it lacks the mark {BEGIN}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("it lacks the mark {END}"))?;
    ensure!(!after.contains(BEGIN), "it has the mark {BEGIN} twice");
    let mut table = String::new();
    for name in names {
        let new: Vec<String> = lines.iter().filter(|line| line.name == *name).map(Line::text).collect();
        let kept = old.lines().filter(|line| new.is_empty() && line.starts_with(&format!("| `{name}` |")));
        for line in new.iter().map(String::as_str).chain(kept) {
            table.push_str(line);
            table.push('\n');
        }
    }
    Ok(format!("{before}{BEGIN}\n\n{HEAD}{table}\n{END}{after}"))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Formats a program's output as inline code of Markdown.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {} ``", cell(text)) } else { format!("`{}`", cell(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, when: &str, said: &str) -> Line {
        let text = |text: &str| text.to_owned();
        Line {
            name: text(name),
            fault: text("F"),
            when: text(when),
            exit: text("3"),
            said: text(said),
            left: text("nothing"),
        }
    }

    #[test]
    fn lines_of_rows_that_ran_are_replaced_and_those_of_others_stay() {
        let page = format!("Before.\n\n{BEGIN}\n{END}\n\nAfter.\n");
        let names = ["a", "b"];
        let both = with(&page, &names, &[line("b", "now", "x|y"), line("a", "1", "`z`"), line("a", "2", "nothing")]);
        let both = both.expect("a page");
        let table = "| `a` | F | 1 | 3 | `` `z` `` | nothing |\n| `a` | F | 2 | 3 | nothing | nothing |\n";
        assert!(both.starts_with("Before.\n\n") && both.ends_with("\n\nAfter.\n"), "{both}");
        assert!(both.contains(&format!("{HEAD}{table}| `b` | F | now | 3 | `x\\|y` | nothing |\n\n{END}")), "{both}");
        let again = with(&both, &names, &[line("a", "3", "w")]).expect("a page");
        assert!(again.contains("| 3 | 3 | `w` |") && !again.contains("`z`") && again.contains("x\\|y"), "{again}");
        let without = with(&again, &["b"], &[]).expect("a page");
        assert!(!without.contains("| `a` |") && without.contains("| `b` |"), "{without}");
    }

    #[test]
    fn a_page_without_its_marks_is_an_error() {
        for page in ["", BEGIN, END] {
            assert!(with(page, &[], &[]).is_err(), "{page}");
        }
    }
}
