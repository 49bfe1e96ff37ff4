//! Checks that no file contains a path that exists only on one machine.

use super::{Finding, numbered};

/// Top-level folders that are specific to a user's machine or a CI machine. Each folder is split into parts, so that
/// this file does not violate its own rule.
const FOLDERS: [&[&str]; 4] = [&["", "work", ""], &["", "root", ""], &["", "home", ""], &["", "Users", ""]];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    // Tests use invented home folders, which they do not access, so tests are not checked.
    if path.contains("tests") || std::path::Path::new(path).extension().is_some_and(|it| it == "snap") {
        return Vec::new();
    }
    let folders: Vec<String> = FOLDERS.iter().map(|parts| parts.join("/")).collect();
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        if let Some(folder) = folders.iter().find(|folder| begins_a_path(line, folder)) {
            findings.push(Finding::new(number, format!("names {folder}, a path of one machine")));
        }
    }
    findings
}

/// Whether `line` contains `folder` at the beginning of an absolute path.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || "._-/}*)".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_count() {
        let folder = FOLDERS[0].join("/");
        let table = [
            (format!("see {folder}main"), 1),
            (format!("\"{folder}main\""), 1),
            (format!("target{folder}main"), 0),
            (format!("$HOME}}{folder}main"), 0),
            ("/etc/minio/certs".to_owned(), 0),
        ];
        for (text, findings) in table {
            assert_eq!(check("a.md", &text).len(), findings, "{text}");
            assert!(check("crates/engine/src/tests.rs", &text).is_empty());
        }
    }
}
