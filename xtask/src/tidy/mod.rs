//! The project's own rules, which no other tool checks. Each rule has its own file.

mod actions;
mod citations;
mod docs;
mod hosts;
mod map;
mod paths;
mod rooms;
mod size;
mod sleeps;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::parts::say;

/// A violation of a rule of the project. The line is counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    line: usize,
    message: String,
}

impl Finding {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// A rule, which checks one file. The arguments are the path of the file from the root of the repository and the text
/// of the file.
type Rule = fn(&str, &str) -> Vec<Finding>;

const RULES: [Rule; 7] =
    [actions::check, docs::check, hosts::check, paths::check, rooms::check, size::check, sleeps::check];

/// The path of the file that describes the rooms. A room is a top-level module of `src`, or a crate.
const MAP: &str = "ARCHITECTURE.md";

/// Checks every file that git tracks or would add. Returns whether there is no finding.
pub(crate) fn run() -> Result<bool> {
    let files = files()?;
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut findings: Vec<(&str, Finding)> = Vec::new();
    for (name, text) in &files {
        findings.extend(RULES.iter().flat_map(|rule| rule(name, text)).map(|finding| (*name, finding)));
    }
    let architecture = files.iter().find(|(name, _)| *name == MAP).map_or("", |(_, text)| text);
    let rooms = map::check(architecture, files.iter().map(|(name, _)| *name));
    findings.extend(rooms.into_iter().map(|finding| (MAP, finding)));
    findings.extend(citations::check(&files));
    for (name, finding) in &findings {
        say(&format!("{name}:{}: {}", finding.line, finding.message));
    }
    say(&format!("tidy: {} files, {} findings", files.len(), findings.len()));
    Ok(findings.is_empty())
}

/// Returns the path and the text of each file that git tracks or would add.
pub(crate) fn files() -> Result<Vec<(String, String)>> {
    let git = |args: &[&str]| -> Result<String> {
        let output = Command::new("git").args(args).output().context("failed to start git")?;
        ensure!(output.status.success(), "git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let root = std::path::Path::new(root.trim());
    let root_text = root.to_string_lossy();
    let names = git(&["-C", &root_text, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    // Files that cannot be read as text are skipped: deleted files, binary files and broken links.
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(root.join(name)).ok()?));
    Ok(names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect())
}

/// Returns the lines of a text with their numbers, counted from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Returns a line of Rust code without its comment.
fn code(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        return "";
    }
    line.find(" // ").map_or(line, |at| &line[..at])
}

/// Whether `text` contains `word` without a letter, digit or `_` before it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_'))
}

pub(crate) fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_code() {
        let table = [("  // a", ""), ("let a = 1; // b", "let a = 1;"), ("\"http://x\"", "\"http://x\"")];
        for (line, expected) in table {
            assert_eq!(code(line), expected);
        }
    }

    #[test]
    fn a_word_is_not_found_inside_another_word() {
        assert!(has_word("use tokio::x", "tokio::"));
        assert!(has_word("a(tokio::x)", "tokio::"));
        assert!(!has_word("use my_tokio::x", "tokio::"));
    }
}
